"""Counts what is asked under a trial, so that no proof need be believed.

Each worker counts for itself; what they write down adds up in the database.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from seatrial.grading.histogram import Histogram
from seatrial.server.core.clock import Wall
from seatrial.server.registry.evidence import Tally, read_header
from seatrial.server.registry.ports import EvidenceStore

MOST_KNOWN = 64
"""Ids that one worker counts under at once; anybody may send any id."""
MOST_NOTED = 1_000_000
_CLIENT_ERROR = 400


@dataclass(slots=True)
class _Count:
    requests: int = 0
    errors: int = 0
    first: float = 0.0
    last: float = 0.0
    latency: Histogram = field(default_factory=Histogram)

    def add(self, group: list[tuple[int, float, float]]) -> None:
        """Count answers: status, seconds, and when."""
        statuses, seconds, moments = zip(*group, strict=True)
        self.first = min(self.first or moments[0], *moments)
        self.last = max(self.last, *moments)
        self.requests += len(group)
        self.errors += sum(status >= _CLIENT_ERROR for status in statuses)
        self.latency.add(np.array(seconds) * 1000)


class Counter:
    """Counts in this worker, under an id of its own; lives as long as the worker."""

    def __init__(self, worker: str, wall: Wall) -> None:
        self._worker = worker
        self._wall = wall
        self._noted: list[tuple[str, str, str, int, float, float]] = []
        self._counts: dict[str, dict[tuple[str, str, str], _Count]] = {}
        self._changed: set[str] = set()

    def note(self, header: str, endpoint: str, model_id: str, status: int, seconds: float) -> None:
        """An answer under a trial is about to be sent. Only noted here, in the event loop; `flush` counts."""
        if len(self._noted) < MOST_NOTED:
            self._noted.append((header, endpoint, model_id, status, seconds, self._wall()))

    def flush(self, store: EvidenceStore, open_trials: Collection[str]) -> None:
        """Count what was noted, and write down what has changed of the trials that are open; called in a thread.

        Raises:
            StorageUnavailable: it could not be written; the next call tries again.
        """
        self._fold()
        self._forget(open_trials)
        for trial_id in sorted(self._changed & set(open_trials)):
            store.count(self._worker, trial_id, self._tallies(trial_id))
            self._changed.discard(trial_id)

    def _fold(self) -> None:
        noted, self._noted = self._noted, []
        groups: dict[tuple[str, tuple[str, str, str]], list[tuple[int, float, float]]] = {}
        for header, endpoint, model_id, status, seconds, moment in noted:
            if found := read_header(header):
                key = found[0], (found[1], endpoint, model_id)
                groups.setdefault(key, []).append((status, seconds, moment))
        for (trial_id, place), group in groups.items():
            self._counts.setdefault(trial_id, {}).setdefault(place, _Count()).add(group)
            self._changed.add(trial_id)

    def _forget(self, open_trials: Collection[str]) -> None:
        """Of what is too much the oldest; never a trial that is open, whatever ids others make up."""
        strangers = [trial_id for trial_id in self._counts if trial_id not in open_trials]
        for trial_id in strangers[: max(0, len(self._counts) - MOST_KNOWN)]:
            del self._counts[trial_id]
            self._changed.discard(trial_id)

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
