"""The port through which the server tells what happens; telemetry implements it, tests record it."""

from typing import NamedTuple, Protocol


class Times(NamedTuple):
    """Where the seconds of a prediction went."""

    parse: float
    queue: float
    infer: float
    encode: float
    total: float


class Observer(Protocol):
    """Hears of every answer. Calls are cheap and never raise."""

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """A response was sent; `route` is the pattern (`/models/{model_id}`), never the raw path."""

    def predicted(self, route: str, model_id: str, rows: int, times: Times) -> None:
        """A prediction of `rows` examples was answered with 200; nothing else is told of it."""

    def ran(self, model_id: str, examples: int) -> None:
        """A model was run on so many examples at once, and answered."""

    def cached(self, model_id: str, found: str) -> None:
        """An answer was looked for: a `hit`, a `miss`, or `joined`: it was being computed for somebody else."""

    def waiting(self, model_id: str) -> None:
        """A request began to wait for a thread of a model."""

    def departed(self, route: str) -> None:
        """A caller hung up before the answer."""

    def refused(self, reason: str) -> None:
        """A request was refused; `reason` is the slug of the problem."""

    def limits_lost(self, action: str) -> None:
        """The store of limits could not be asked; `action` is what was done: `counted here`, or `refused`."""


class Ran(NamedTuple):
    """What was run for a prediction; moments are on the monotonic clock. What was remembered took no time."""

    model_id: str
    rows: int
    together: int
    cache: str
    queued: float
    begun: float
    ended: float


class Tracer(Protocol):
    """Hears of every request to predict, where requests are traced."""

    def request(
        self, route: str, traceparent: bytes | None, status: int, started: float, ended: float, ran: Ran | None = None
    ) -> None:
        """A request was answered; `traceparent` is the header of W3C Trace Context that came with it."""
