"""Counts what is asked under a trial, so that no proof need be believed.

Each worker counts for itself; what they write down adds up in the database.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from seatrial.grading.histogram import Histogram
from seatrial.server.core.clock import Wall
from seatrial.server.registry.evidence import Tally, read_header
from seatrial.server.registry.ports import EvidenceStore

UNKNOWN_SECONDS = 3.0
"""How long answers under an unknown id are kept: a trial begun at another worker is known here within a second."""
MOST_NOTED = 100_000
MOST_PLACES = 100
"""Endpoints and models that are counted apart under one trial."""
_CLIENT_ERROR = 400


class Noted(NamedTuple):
    """One answer under an id that somebody sent."""

    trial_id: str
    phase: str
    endpoint: str
    model_id: str
    status: int
    seconds: float
    moment: float


Place = tuple[str, str, str]
"""Phase, endpoint and model."""


@dataclass(slots=True)
class _Count:
    requests: int = 0
    errors: int = 0
    first: float = 0.0
    last: float = 0.0
    latency: Histogram = field(default_factory=Histogram)

    def add(self, group: list[Noted]) -> None:
        """Count answers."""
        moments = [item.moment for item in group]
        self.first = min(self.first or moments[0], *moments)
        self.last = max(self.last, *moments)
        self.requests += len(group)
        self.errors += sum(item.status >= _CLIENT_ERROR for item in group)
        self.latency.add(np.array([item.seconds for item in group]) * 1000)


class Counter:
    """Counts in this worker, under an id of its own; lives as long as the worker.

    Anybody may send any id: what is under none of a known trial is forgotten within seconds, and never counted.
    """

    def __init__(self, worker: str, wall: Wall) -> None:
        self._worker = worker
        self._wall = wall
        self._noted: list[Noted] = []
        self._counts: dict[str, dict[Place, _Count]] = {}
        self._changed: set[str] = set()

    def note(self, header: str, endpoint: str, model_id: str, status: int, seconds: float) -> None:
        """An answer under a trial is about to be sent. Only noted here, in the event loop; `flush` counts."""
        found = read_header(header)
        if found and len(self._noted) < MOST_NOTED:
            self._noted.append(Noted(*found, endpoint, model_id, status, seconds, self._wall()))

    def flush(self, store: EvidenceStore, open_trials: Collection[str]) -> None:
        """Count what was noted, and write down what has changed of the trials that are open; called in a thread.

        Raises:
            StorageUnavailable: it could not be written; the next call tries again.
        """
        self._fold(open_trials)
        for ended in [trial_id for trial_id in self._counts if trial_id not in open_trials]:
            del self._counts[ended]
            self._changed.discard(ended)
        for trial_id in sorted(self._changed):
            store.count(self._worker, trial_id, self._tallies(trial_id))
            self._changed.discard(trial_id)

    def _fold(self, open_trials: Collection[str]) -> None:
        noted, self._noted = self._noted, []
        young = self._wall() - UNKNOWN_SECONDS
        groups: dict[tuple[str, Place], list[Noted]] = {}
        for item in noted:
            if item.trial_id in open_trials:
                groups.setdefault((item.trial_id, item[1:4]), []).append(item)
            elif item.moment > young:
                self._noted.append(item)
        for (trial_id, place), group in groups.items():
            counts = self._counts.setdefault(trial_id, {})
            if place in counts or len(counts) < MOST_PLACES:
                counts.setdefault(place, _Count()).add(group)
                self._changed.add(trial_id)

    def _tallies(self, trial_id: str) -> list[Tally]:
        return [
            Tally(
                phase=phase,
                endpoint=endpoint,
                model_id=model_id,
                requests=count.requests,
                errors=count.errors,
                histogram=count.latency.encoded(),
                first=count.first,
                last=count.last,
            )
            for (phase, endpoint, model_id), count in self._counts[trial_id].items()
        ]
