"""What the processes of Locust write while they run: read as it grows, and put together at the end."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from seatrial.contracts.record import Beat
from seatrial.trials.core.live import Live, Window


class Tail:
    """The whole lines that were added to a file since the last look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def lines(self) -> list[bytes]:
        """What is new; a line that is not finished waits for the next look."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return whole.splitlines()


@dataclass
class Watch:
    """A run as it goes on, from the files in a folder."""

    folder: Path
    duration_s: float
    _tails: dict[Path, Tail] = field(default_factory=dict)
    _window: Window = field(default_factory=Window)
    _users: dict[Path, int] = field(default_factory=dict)
    _started: float = 0.0

    def look(self) -> Live:
        """Read what is new."""
        for path in sorted(self.folder.glob("*.jsonl")):
            tail = self._tails.setdefault(path, Tail(path))
            for line in tail.lines():
                (self._sample if path.name.startswith("samples") else self._note)(path, orjson.loads(line))
        phase = "load" if self._started else "starting the generator"
        elapsed = time.time() - self._started if self._started else 0.0
        return self._window.live(phase, elapsed, self.duration_s, sum(self._users.values()))

    def _sample(self, _: Path, sample: dict[str, Any]) -> None:
        self._window.add(sample["start"], sample["latency_ms"], ok=sample["ok"])

    def _note(self, path: Path, note: dict[str, Any]) -> None:
        if note["kind"] == "start":
            self._started = max(self._started, note["time"])
        elif note["kind"] == "beat":
            self._users[path] = note["users"]


@dataclass(frozen=True, slots=True)
class Swarm:
    """What all processes told: when the run began and ended, beats summed, and the generator's own figures."""

    started: float
    ended: float
    beats: tuple[Beat, ...]
    ceiling_rps: float | None
    lag_p99_ms: float | None
    cpu: float | None
    faults: tuple[str, ...]


def gather(folder: Path, processes: int, exit_code: int) -> Swarm:
    """Put the notes of all processes together. A process that did not end properly is a fault of the generator."""
    notes = {path: [orjson.loads(line) for line in path.read_bytes().splitlines()] for path in _files(folder, "notes")}
    by_kind = {kind: _of_kind(notes, kind) for kind in ("start", "beat", "ceiling", "end")}
    faults = [text for note in by_kind["end"] for text in note["exceptions"]]
    if len(by_kind["end"]) < processes:
        faults.append(
            f"{len(by_kind['end'])} of {processes} generator processes ended properly (exit code {exit_code})"
        )
    now = time.time()
    lags = [note["lag_p99_ms"] for note in by_kind["end"] if note["lag_p99_ms"] is not None]
    return Swarm(
        started=max((note["time"] for note in by_kind["start"]), default=now),
        ended=max((note["time"] for note in by_kind["end"]), default=now),
        beats=tuple(_summed(notes)),
        ceiling_rps=sum(note["rps"] for note in by_kind["ceiling"]) if by_kind["ceiling"] else None,
        lag_p99_ms=max(lags, default=None),
        cpu=max((_busiest(of) for of in notes.values()), default=None),
        faults=tuple(faults),
    )


def sample_files(folder: Path) -> list[Path]:
    """The samples of all processes."""
    return _files(folder, "samples")


def _files(folder: Path, kind: str) -> list[Path]:
    return sorted(folder.glob(f"{kind}-*.jsonl"))


def _of_kind(notes: dict[Path, list[dict[str, Any]]], kind: str) -> list[dict[str, Any]]:
    return [note for of in notes.values() for note in of if note["kind"] == kind]


def _busiest(notes: list[dict[str, Any]]) -> float:
    """The CPU share of a process, averaged over its run; the first beat has nothing to compare with."""
    shares = [note["cpu"] for note in notes if note["kind"] == "beat"][1:]
    return sum(shares) / len(shares) if shares else 0.0


def _summed(notes: dict[Path, list[dict[str, Any]]]) -> Iterator[Beat]:
    """One beat a second: users of all processes, and the load of the busiest."""
    latest: dict[Path, dict[str, Any]] = {}
    beats = [(note["time"], path, note) for path, of in notes.items() for note in of if note["kind"] == "beat"]
    second = None
    for moment, path, note in sorted(beats, key=lambda beat: beat[0]):
        latest[path] = note
        if second is None or moment >= second + 1 or len(notes) == 1:
            second = moment
            users = sum(item["users"] for item in latest.values())
            yield Beat(time=moment, users=users, cpu=max(item["cpu"] for item in latest.values()))
