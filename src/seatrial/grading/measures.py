"""The figures of a run, as they are graded."""

from dataclasses import dataclass
from typing import NamedTuple

from seatrial.contracts.proof import CurvePoint, Failure, Interval, Measure

ALL = "all"
"""The name of the measure of the whole run."""
OTHER = "other"
"""The kind of payload that is about no model."""


class Scope(NamedTuple):
    """What a measure is of: an endpoint, or one kind of payload sent to it."""

    endpoint: str
    payload: str = ""


@dataclass(frozen=True, slots=True)
class Steadiness:
    """Seconds from the start that are warm-up, and whether the rest is steady. None: too short to tell."""

    warm_up_s: float
    steady: bool | None
    told: str


@dataclass(frozen=True, slots=True)
class Measures:
    """All figures of a run. `expected_rps` follows from users, think time and latency; None in an open loop."""

    steadiness: Steadiness
    expected_rps: float | None
    total: Measure
    endpoints: tuple[Measure, ...]
    history: tuple[Interval, ...]
    curve: tuple[CurvePoint, ...]
    failures: tuple[Failure, ...]
