"""Load plans: how many users, of which classes, for how long."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from seatrial.contracts.slo import DurationText, parse_duration
from seatrial.grading.toml import WrongFile, parse_toml, read_text

NAMES = ("smoke", "baseline", "medium", "high", "stress")
"""The plans that are shipped."""
UserClass = Literal["GeoClimateUser", "APIStressUser", "RealisticUser", "MNISTAPIUser", "StressTestUser"]
WAITS: dict[UserClass, tuple[float, float]] = {
    "GeoClimateUser": (1.0, 3.0),
    "APIStressUser": (0.1, 0.5),
    "RealisticUser": (2.0, 8.0),
    "MNISTAPIUser": (1.0, 3.0),
    "StressTestUser": (0.1, 0.5),
}
"""The classes of users, and how long each waits between two requests: shortest and longest, in seconds."""
TARGET_USERS = ("TargetUser",)
"""The class that asks what a target file says; it takes the place of a plan's classes."""


def check_duration(text: str) -> str:
    """A duration of at least a second, in whole seconds; ValueError says so. Locust reads no parts of seconds."""
    seconds = parse_duration(text)
    if seconds < 1 or seconds % 1:
        raise ValueError(f"expected whole seconds, at least 1s; received {text!r}")
    return text


@dataclass(frozen=True, config=ConfigDict(extra="forbid"), kw_only=True)
class Plan:
    """A load plan. `spawn_rate` is users started a second; users are shared out evenly among the classes.

    `min_samples` is what its objectives are graded from; `min_duration` what a promotion asks for.
    """

    schema: Literal["seatrial/plan/v1"]
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    users: Annotated[int, Field(ge=0, le=100_000)]
    spawn_rate: Annotated[float, Field(gt=0)]
    duration: Annotated[DurationText, AfterValidator(check_duration)]
    classes: Annotated[tuple[UserClass, ...], Field(min_length=1)]
    description: str = ""
    min_samples: Annotated[int, Field(ge=1)] = 59
    min_duration: DurationText = "0s"

    @property
    def seconds(self) -> float:
        """How long it runs."""
        return parse_duration(self.duration)


_plan: TypeAdapter[Plan] = TypeAdapter(Plan)


def read_plan(name: str) -> Plan:
    """One of the shipped plans by its name, or a plan file by its path.

    Raises:
        WrongFile: it cannot be used; a line `file:line: ...` for each fault.
    """
    if name in NAMES:
        text = files("seatrial.grading").joinpath("plans", f"{name}.toml").read_text(encoding="utf-8")
    elif not Path(name).exists():
        raise WrongFile(f"{name}: expected a plan ({', '.join(NAMES)}) or the path of a plan file; no such file")
    else:
        text = read_text(Path(name))
    return parse_toml(text, name, _plan)


def most_requests_a_second(plan: Plan) -> float:
    """What its users would send if every answer came at once: each class has its share of them, and its mean wait."""
    share = plan.users / len(plan.classes)
    return sum(share / (sum(WAITS[name]) / 2) for name in plan.classes)


def plan_schema() -> dict[str, Any]:
    """The JSON Schema of a plan file."""
    return _plan.json_schema()
