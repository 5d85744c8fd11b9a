"""A timer that goes off when a test says so."""

from collections.abc import Callable


class ManualTimer:
    """Calls that are to be made later, as an event loop's `call_later` takes them."""

    def __init__(self) -> None:
        self.due: list[tuple[float, Callable[[], None]]] = []

    def __call__(self, seconds: float, call: Callable[[], None]) -> None:
        """Set the timer."""
        self.due.append((seconds, call))

    def ring(self) -> None:
        """Make all calls that are due, whenever that is."""
        due, self.due = self.due, []
        for _, call in due:
            call()
