"""An observer that keeps what it hears."""


class RecordingObserver:
    """Implements `core.observe.Observer`; each list holds the arguments of the calls, in their order."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, str, int, float]] = []
        self.predictions: list[tuple[str, str, int, float, float]] = []
        self.refusals: list[str] = []
        self.lost: list[str] = []

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """See `Observer.answered`."""
        self.answers.append((route, method, status, seconds))

    def predicted(self, route: str, model_id: str, rows: int, infer_seconds: float, total_seconds: float) -> None:
        """See `Observer.predicted`."""
        self.predictions.append((route, model_id, rows, infer_seconds, total_seconds))

    def refused(self, reason: str) -> None:
        """See `Observer.refused`."""
        self.refusals.append(reason)

    def limits_lost(self, action: str) -> None:
        """See `Observer.limits_lost`."""
        self.lost.append(action)
