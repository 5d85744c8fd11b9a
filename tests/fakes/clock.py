"""A clock that stands still until a test moves it."""


class ManualClock:
    """Seconds on the monotonic clock, as `core.clock.Monotonic`."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """What the clock shows."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
