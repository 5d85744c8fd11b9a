"""How many CPU cores this process may use: its affinity, bounded by the quota of its control group."""

import os
from pathlib import Path

CGROUP_V2 = Path("/sys/fs/cgroup/cpu.max")


def allowed_cores(quota_file: Path = CGROUP_V2) -> int:
    """At least 1. `quota_file` holds `<quota> <period>` in microseconds, or `max <period>` (Linux cgroup v2)."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = quota_file.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return affinity
    return affinity if quota == "max" else max(1, min(affinity, round(int(quota) / int(period))))
