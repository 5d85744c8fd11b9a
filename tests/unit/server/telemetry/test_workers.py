"""Workers that come and go: their sums stay, their files do not."""

import threading
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.mmap_dict import MmapedDict, mmap_key

from seatrial.server.telemetry.workers import ENDED, LOCK, WorkersCollector, bury

LABELS = {"route": "/predict"}


def count(folder: Path, pid: int, value: float) -> None:
    """A worker that has counted so many answers, of which one took less than half a second, and whose queue is long."""
    for file, name, labels in (
        (f"counter_{pid}", "seatrial_requests_total", LABELS),
        (f"histogram_{pid}", "seatrial_request_seconds_bucket", {**LABELS, "le": "0.5"}),
        (f"histogram_{pid}", "seatrial_request_seconds_bucket", {**LABELS, "le": "+Inf"}),
        (f"histogram_{pid}", "seatrial_request_seconds_sum", LABELS),
        (f"gauge_livesum_{pid}", "seatrial_queue_depth", {"model": "a:1"}),
    ):
        kept: Any = MmapedDict(str(folder / f"{file}.db"))  # type: ignore[no-untyped-call]
        family = name.removesuffix("_total").removesuffix("_bucket").removesuffix("_sum")
        kept.write_value(mmap_key(family, name, list(labels), list(labels.values()), "help"), value, 0)
        kept.close()


def sums(folder: Path) -> dict[str, float]:
    """What a scrape answers, by name and bound."""
    return {
        sample.name + sample.labels.get("le", ""): sample.value
        for family in WorkersCollector(folder).collect()
        for sample in family.samples
    }


def test_what_a_worker_counted_outlives_it_and_its_queue_does_not(tmp_path: Path) -> None:
    """Sums and histograms stay as they were; no file of it is left."""
    count(tmp_path, 11, 3)
    count(tmp_path, 12, 4)
    before = sums(tmp_path)
    bury(tmp_path, 11)

    assert before["seatrial_queue_depth"] == 7
    assert sums(tmp_path) == {**before, "seatrial_queue_depth": 4}
    assert before["seatrial_requests_total"] == 7
    assert before["seatrial_request_seconds_bucket0.5"] == 7
    assert before["seatrial_request_seconds_bucket+Inf"] == 14
    assert {path.name for path in tmp_path.glob("*_11.db")} == set()


@pytest.mark.proves("R32")
def test_two_hundred_restarts_leave_two_files(tmp_path: Path) -> None:
    """No sum ever falls, and a scrape reads no more than before."""
    seen = [0.0]
    for pid in range(1, 201):
        count(tmp_path, pid, 1)
        seen.append(sums(tmp_path)["seatrial_requests_total"])
        bury(tmp_path, pid)
        seen.append(sums(tmp_path)["seatrial_requests_total"])

    assert seen == sorted(seen)
    assert seen[-1] == 200
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"counter_{ENDED}.db", f"histogram_{ENDED}.db", LOCK]


def test_a_worker_that_counted_nothing_or_died_while_it_began_is_buried_too(tmp_path: Path) -> None:
    """An empty file, none at all, or one that ends in the middle of a name."""
    count(tmp_path, 11, 3)
    (tmp_path / "counter_12.db").touch()
    count(tmp_path, 13, 5)
    spoilt = tmp_path / "counter_13.db"
    content = bytearray(spoilt.read_bytes())
    used = int.from_bytes(content[:4], "little")
    content[used : used + 8] = (10_000).to_bytes(4, "little") + b"half"
    content[:4] = (used + 8).to_bytes(4, "little")
    spoilt.write_bytes(content)
    for pid in (11, 12, 13, 14):
        bury(tmp_path, pid)

    assert sums(tmp_path)["seatrial_requests_total"] == 8
    assert len(list(tmp_path.glob("*.db"))) == 2


def test_who_adds_up_meanwhile_counts_each_once(tmp_path: Path) -> None:
    """Workers are buried while scrapes go on: every one of these has the same sums."""
    for pid in range(1, 41):
        count(tmp_path, pid, 1)
    wrong: list[float] = []
    over = threading.Event()

    def scrape() -> None:
        while not over.is_set():
            found = sums(tmp_path)["seatrial_requests_total"]
            if found != 40:
                wrong.append(found)

    scraper = threading.Thread(target=scrape)
    scraper.start()
    for pid in range(1, 41):
        bury(tmp_path, pid)
    over.set()
    scraper.join()
    assert wrong == []
