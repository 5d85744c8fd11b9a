"""Cores that this process may use."""

import os
from pathlib import Path

import pytest

from seatrial.server.core.cores import allowed_cores


def affinity() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@pytest.mark.parametrize("text", ["max 100000\n", "", "garbage", "1 2 3", "99999999 100000"])
def test_without_a_narrower_quota_the_affinity_counts(tmp_path: Path, text: str) -> None:
    """No limit, a wide one, or a file that is not understood leave the cores of the process."""
    quota = tmp_path / "cpu.max"
    quota.write_text(text)

    assert allowed_cores(quota) == affinity()


@pytest.mark.parametrize("text", ["100000 100000\n", "50000 100000", "1000 100000", "140000 100000"])
def test_a_quota_bounds_the_cores(tmp_path: Path, text: str) -> None:
    """A quota is rounded to whole cores, and there is always one."""
    quota = tmp_path / "cpu.max"
    quota.write_text(text)

    assert allowed_cores(quota) == 1


def test_without_control_groups_the_affinity_counts(tmp_path: Path) -> None:
    """A missing file is no quota."""
    assert allowed_cores(tmp_path / "none") == affinity()
