"""A rate: so many in so long, as settings and keys write it."""

import re
from dataclasses import dataclass

UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
MOST = 10**9

_written = re.compile(r"([1-9]\d{0,9})/(second|minute|hour|day)").fullmatch


@dataclass(frozen=True, slots=True)
class Rate:
    """`limit` calls in `window` seconds: as many at once, and then one every `window / limit` seconds."""

    limit: int
    window: int

    @property
    def interval(self) -> float:
        """Seconds until one more is allowed."""
        return self.window / self.limit

    def exceeds(self, other: "Rate") -> bool:
        """Whether it ever lets through what the other does not: more at once, or more in the long run."""
        return self.limit > other.limit or self.interval < other.interval

    def shared_by(self, workers: int) -> "Rate":
        """The share of one of so many workers, who know nothing of each other; at least one call."""
        return self if workers == 1 else Rate(max(1, self.limit // workers), self.window)

    def __str__(self) -> str:
        unit = next((name for name, seconds in UNITS.items() if seconds == self.window), f"{self.window}s")
        return f"{self.limit}/{unit}"


def parse_rate(text: str) -> Rate:
    """`600/minute` as a rate; raises `ValueError`, which says what was expected."""
    match = _written(text.strip())
    if not match or int(match[1]) > MOST:
        raise ValueError(f"expected calls per second, minute, hour or day, such as 600/minute; received {text[:50]!r}")
    return Rate(int(match[1]), UNITS[match[2]])
