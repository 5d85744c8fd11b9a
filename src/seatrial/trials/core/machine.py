"""The machine that a load comes from, and how busy it is."""

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

import psutil

import seatrial
from seatrial.contracts.digest import digest_of
from seatrial.contracts.record import Machine


def fingerprint() -> Machine:
    """This machine. The digest covers processor, cores, memory (to a GiB), system and Python's minor version."""
    cores = os.cpu_count() or 1
    memory = round(psutil.virtual_memory().total / 2**30)
    system = f"{platform.system()} {platform.release()}"
    python = platform.python_version()
    names = (_processor(), str(cores), str(memory), system, python.rpartition(".")[0])
    return Machine(
        cpu=names[0],
        cores=cores,
        memory_gib=memory,
        system=system,
        python=python,
        seatrial=seatrial.__version__,
        digest=digest_of("\n".join(names).encode()),
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", info.read_text(encoding="utf-8")) if info.exists() else None
    return found[1] if found else platform.processor() or platform.machine()


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """CPU seconds of the whole machine so far: stolen by the hypervisor, and all."""

    stolen: float
    total: float

    def steal_until(self, later: "CpuTimes") -> float:
        """The share of the machine's time between two readings that was stolen, 0 to 1."""
        passed = later.total - self.total
        return max(0.0, (later.stolen - self.stolen) / passed) if passed > 0 else 0.0


def steal_since(before: CpuTimes | None) -> float | None:
    """The share of the machine's time since a reading that was stolen; None where the system does not tell."""
    after = cpu_times()
    return before.steal_until(after) if before and after else None


def cpu_times() -> CpuTimes | None:
    """A reading of the machine's CPU times; None where the system does not tell stolen time."""
    times = psutil.cpu_times()
    stolen = getattr(times, "steal", None)
    return None if stolen is None else CpuTimes(stolen, sum(times))
