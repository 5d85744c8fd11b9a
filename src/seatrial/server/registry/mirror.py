"""A copy of the registry in memory: what serves never waits for a database, and goes on without one."""

from collections.abc import Callable, Sequence

from seatrial.server.core.chain import Head
from seatrial.server.core.clock import Monotonic
from seatrial.server.core.errors import StorageUnavailable, UnknownModel
from seatrial.server.registry.evidence import Trial
from seatrial.server.registry.model import ModelVersion, parse_model_id
from seatrial.server.registry.ports import Ledger

WELL, LOST = "ok", "unavailable"
OLD_SECONDS = 10.0
"""A copy that could not be compared with its source for so long is no good one, whatever the reason."""


class View:
    """Implements `registry.ports.Registry` as of one moment. `trials` are those that are open, by their ids."""

    def __init__(self, versions: Sequence[ModelVersion] = (), trials: Sequence[Trial] = ()) -> None:
        self._versions = {(version.name, version.version): version for version in versions}
        self.trials = {trial.trial_id: trial.model_id for trial in trials}

    def versions(self) -> Sequence[ModelVersion]:
        """Every version, by name, then by version."""
        return list(self._versions.values())

    def get(self, model_id: str) -> ModelVersion:
        """One version; raises `UnknownModel`."""
        try:
            return self._versions[parse_model_id(model_id)]
        except KeyError:
            raise UnknownModel(f"There is no model '{model_id}'.") from None


Stamp = Callable[[], int | None]
"""Differs from one call to the next where the source has changed between them; `None` where that is not known."""


class Mirror:
    """Implements `registry.ports.Registry`; as new as its last `refresh`. Lives as long as the worker.

    Args:
        source: that it follows.
        clock: measures.
        open_trials: those that are open now, of the same source.
        stamp: of the source, which is not read where nothing has changed.
    """

    def __init__(
        self,
        source: Ledger,
        clock: Monotonic,
        open_trials: Callable[[], Sequence[Trial]] = tuple,
        stamp: Stamp = lambda: None,
    ) -> None:
        self._stamp = stamp
        self._stamped: int | None = None
        self._source = source
        self._open_trials = open_trials
        self._clock = clock
        self._view = View()
        self._head: Head | None = None
        self._newest: Head | None = None
        self._seen = clock()
        self.fault = ""

    @property
    def state(self) -> str:
        """For everybody: `ok`, or `unavailable`. The fault, which may name hosts, is for the log."""
        old = self._clock() - self._seen > OLD_SECONDS
        return LOST if self.fault or old or self._head is None else WELL

    @property
    def entries(self) -> tuple[int, int]:
        """The last entry of the ledger that is followed here, and the last one that was seen: not the same, it lags."""
        return self._head.number if self._head else 0, self._newest.number if self._newest else 0

    @property
    def view(self) -> View:
        """What is known now."""
        return self._view

    def refresh(self, prepare: Callable[[View], None]) -> None:
        """Follow the source; called in a thread. Where that cannot be read the copy stays, and `fault` says why.

        `prepare` gets what is new before anybody else sees it; what it raises leaves the copy as it is.
        """
        stamp = self._stamp()
        if (
            stamp is not None and stamp == self._stamped and not self._view.trials and not self.fault
        ):  # which end by the clock
            self._seen = self._clock()
            return
        self._stamped = None
        try:
            head, trials = self._source.head(), self._open_trials()
            self._newest = head
            changed = head != self._head or {trial.trial_id for trial in trials} != self._view.trials.keys()
            view = View(self._source.versions(), trials) if changed else None
            self._seen, self.fault = self._clock(), ""
        except StorageUnavailable as error:
            self.fault = str(error)
            return
        if view is not None:
            prepare(view)
            self._view, self._head = view, head
        self._stamped = stamp

    def versions(self) -> Sequence[ModelVersion]:
        """Every version, by name, then by version."""
        return self._view.versions()

    def get(self, model_id: str) -> ModelVersion:
        """One version; raises `UnknownModel`."""
        return self._view.get(model_id)
