"""An observer that keeps what it hears."""

from seatrial.server.core.observe import Times


class RecordingObserver:
    """Implements `core.observe.Observer`; each list holds the arguments of the calls, in their order."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, str, int, float]] = []
        self.predictions: list[tuple[str, str, int, Times]] = []
        self.refusals: list[str] = []
        self.lost: list[str] = []
        self.runs: list[tuple[str, int]] = []
        self.looks: list[tuple[str, str]] = []
        self.departures: list[str] = []

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """See `Observer.answered`."""
        self.answers.append((route, method, status, seconds))

    def predicted(self, route: str, model_id: str, rows: int, times: Times) -> None:
        """See `Observer.predicted`."""
        self.predictions.append((route, model_id, rows, times))

    def ran(self, model_id: str, examples: int) -> None:
        """See `Observer.ran`."""
        self.runs.append((model_id, examples))

    def cached(self, model_id: str, found: str) -> None:
        """See `Observer.cached`."""
        self.looks.append((model_id, found))

    def waiting(self, model_id: str) -> None:
        """See `Observer.waiting`; nothing is kept of it."""

    def departed(self, route: str) -> None:
        """See `Observer.departed`."""
        self.departures.append(route)

    def refused(self, reason: str) -> None:
        """See `Observer.refused`."""
        self.refusals.append(reason)

    def limits_lost(self, action: str) -> None:
        """See `Observer.limits_lost`."""
        self.lost.append(action)
