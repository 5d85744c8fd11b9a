"""The metrics of several workers: each keeps its own in files of a folder, and a scrape of any answers with the sums.

A worker that ends is buried by the supervisor: what it counted is added to what all that have ended did, so that no sum
ever falls, and its files go, so that a scrape after a thousand restarts costs as much as after none.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from prometheus_client.core import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

LOCK = "lock"
ENDED = 0
"""The process id under which those that have ended are summed; of no process."""
SUMMED = ("counter", "histogram")


class WorkersCollector(Collector):
    """The sums of all workers in a folder. What a worker has only just begun is empty, and is not read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        """Each metric, summed."""
        with _locked(self._folder, fcntl.LOCK_SH):
            files = [str(path) for path in self._folder.glob("*.db") if path.stat().st_size]
            yield from MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]


def bury(folder: Path, pid: int) -> None:
    """Keep what an ended worker counted, and remove its files; what it was doing, such as queues, ended with it."""
    with _locked(folder, fcntl.LOCK_EX):
        for kind in SUMMED:
            _add(folder / f"{kind}_{pid}.db", folder / f"{kind}_{ENDED}.db")
        for file in folder.glob(f"*_{pid}.db"):
            file.unlink()


def _add(counted: Path, sums: Path) -> None:
    if not counted.exists() or not counted.stat().st_size:
        return
    total = MmapedDict(str(sums))  # type: ignore[no-untyped-call]
    with suppress(RuntimeError):  # it was killed while it wrote a new name; what stands before that counts
        for key, value, moment, _ in MmapedDict.read_all_values_from_file(str(counted)):  # type: ignore[no-untyped-call]
            total.write_value(key, total.read_value(key)[0] + value, moment)  # type: ignore[no-untyped-call]
    total.close()  # type: ignore[no-untyped-call]


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    """While a worker is buried nobody adds up: it would count twice, or not at all."""
    with (folder / LOCK).open("ab") as lock:
        fcntl.flock(lock, how)
        yield
