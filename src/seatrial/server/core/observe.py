"""The port through which the server tells what happens; telemetry implements it, tests record it."""

from typing import Protocol


class Observer(Protocol):
    """Hears of every answer. Calls are cheap and never raise."""

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """A response was sent; `route` is the pattern (`/models/{model_id}`), never the raw path."""

    def predicted(self, route: str, model_id: str, rows: int, infer_seconds: float, total_seconds: float) -> None:
        """A prediction of `rows` examples was answered with 200; nothing else is told of it."""

    def refused(self, reason: str) -> None:
        """A request was refused; `reason` is the slug of the problem."""

    def limits_lost(self, action: str) -> None:
        """The store of limits could not be asked; `action` is what was done: `counted here`, or `refused`."""
