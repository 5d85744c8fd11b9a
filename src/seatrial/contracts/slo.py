"""The SLO file: what is measured, what is aimed at, what is still acceptable, and what a promotion needs."""

import re
from dataclasses import dataclass as plain
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationInfo, WithJsonSchema, model_validator
from pydantic.dataclasses import dataclass

SCHEMA = "seatrial/slo/v1"
UNITS: dict[str, str] = {
    "mean_ms": "ms",
    "p50_ms": "ms",
    "p90_ms": "ms",
    "p95_ms": "ms",
    "p99_ms": "ms",
    "p99_9_ms": "ms",
    "max_ms": "ms",
    "error_ratio": "%",
    "wrong_answers": "",
    "rps": "rps",
    "rps_vs_expected": "%",
    "users": "users",
    "variation": "%",
    "memory_growth": "%",
}
"""Each service level indicator that can be graded, and the unit that its limits are written in."""

Sli = Literal[
    "mean_ms",
    "p50_ms",
    "p90_ms",
    "p95_ms",
    "p99_ms",
    "p99_9_ms",
    "max_ms",
    "error_ratio",
    "wrong_answers",
    "rps",
    "rps_vs_expected",
    "users",
    "variation",
    "memory_growth",
]
Operator = Literal["<=", "<", ">=", ">"]
_LIMIT = re.compile(r"(<=|>=|<|>)\s*([+-]?)(\d+(?:\.\d+)?)\s*(%|[A-Za-z]*)")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_strict = ConfigDict(extra="forbid")


@plain(frozen=True, slots=True)
class Limit:
    """A comparison with a number, such as `<= 8`. Ratios are fractions: `< 1%` has the value 0.01."""

    operator: Operator
    value: float

    def holds(self, measured: float) -> bool:
        """Whether a measured value keeps the limit."""
        match self.operator:
            case "<=":
                return measured <= self.value
            case "<":
                return measured < self.value
            case ">=":
                return measured >= self.value
            case ">":
                return measured > self.value


def parse_limit(text: str, sli: str) -> Limit:
    """Read a limit on an SLI: `<= 8`, `<= 8 ms`, `< 0.1%`, `>= 0.95`. ValueError says what was expected."""
    unit = UNITS[sli]
    found = _LIMIT.fullmatch(text.strip())
    example = "<= 0.1%" if unit == "%" else f"<= 200 {unit}".strip()
    if found is None or found[2]:
        raise ValueError(f"a limit is an operator and a number, such as {example!r}; received {text!r}")
    written = found[4]
    if written and written != unit:
        raise ValueError(f"{sli} is in {unit or 'plain numbers'}, such as {example!r}; received {text!r}")
    value = float(found[3]) / 100 if written == "%" else float(found[3])
    return Limit(_operator(found[1]), value)


def parse_change(text: str) -> float:
    """Read a limit on a change against the champion: `<= +10%` is the ratio 1.1. ValueError says what was expected."""
    found = _LIMIT.fullmatch(text.strip())
    if found is None or (found[1], found[2], found[4]) != ("<=", "+", "%"):
        raise ValueError(f"a limit on a change is '<= +N%', such as '<= +10%'; received {text!r}")
    return 1 + float(found[3]) / 100


def parse_duration(text: str) -> float:
    """Read a duration in seconds: `500ms`, `20s`, `5m`, `24h`. ValueError says what was expected."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"a duration is a number and ms, s, m, h or d, such as '60s'; received {text!r}")
    return float(found[1]) * _SECONDS[found[2]]


def _within(stricter: Limit, other: Limit) -> bool:
    """Whether the first lies on the good side of the second, or on it."""
    return stricter.value <= other.value if stricter.operator[0] == "<" else stricter.value >= other.value


def _operator(text: str) -> Operator:
    operators: dict[str, Operator] = {"<=": "<=", "<": "<", ">=": ">=", ">": ">"}
    return operators[text]


def _limit_of_sli(text: str, info: ValidationInfo) -> str:
    if "sli" in info.data:
        parse_limit(text, info.data["sli"])
    return text


def _pattern(expression: str) -> WithJsonSchema:
    """For editors; whoever reads a file here gets a better answer than that it does not match."""
    return WithJsonSchema({"type": "string", "pattern": rf"^\s*{expression}\s*$"})


def _checked(parse: Any) -> AfterValidator:  # noqa: ANN401 - any reader of a text
    def check(text: str) -> str:
        parse(text)
        return text

    return AfterValidator(check)


LimitText = Annotated[str, AfterValidator(_limit_of_sli), _pattern(r"(<=|>=|<|>)\s*\d+(\.\d+)?\s*(%|[A-Za-z]*)")]
ChangeText = Annotated[str, _checked(parse_change), _pattern(r"<=\s*\+\d+(\.\d+)?\s*%")]
DurationText = Annotated[str, _checked(parse_duration), _pattern(r"\d+(\.\d+)?\s*(ms|s|min|m|h|d)")]


@dataclass(frozen=True, config=_strict, kw_only=True)
class Objective:
    """One line of the table: an indicator, where it is taken, and its limits.

    `endpoint` none is the whole run; `plan` none is every run. Latency is graded as corrected for coordinated omission.
    Between `acceptable` and `poor` the grade is marginal; without `poor` everything below acceptable is poor.
    `versus_champion` limits how much slower than the champion a benchmark may be.
    """

    sli: Sli
    endpoint: str | None = None
    plan: str | tuple[str, ...] | None = None
    target: LimitText | None = None
    acceptable: LimitText | None = None
    poor: LimitText | None = None
    versus_champion: ChangeText | None = None
    min_samples: Annotated[int, Field(ge=1)] | None = None
    critical: bool = False

    @model_validator(mode="after")
    def _limits_are_in_order(self) -> "Objective":
        if self.versus_champion and UNITS[self.sli] != "ms":
            raise ValueError(f"versus_champion compares latency, such as p50_ms; received it for {self.sli}")
        if self.critical and not (self.limit or self.versus_champion):
            raise ValueError("what is critical needs a target or an acceptable limit to be below")
        self._check_order()
        return self

    def _check_order(self) -> None:
        target = parse_limit(self.target, self.sli) if self.target else None
        acceptable = parse_limit(self.acceptable, self.sli) if self.acceptable else None
        if target and acceptable:
            if target.operator[0] != acceptable.operator[0]:
                raise ValueError("target and acceptable point in opposite directions")
            if not _within(target, acceptable):
                raise ValueError(f"target ({self.target}) must be at least as strict as acceptable ({self.acceptable})")
        lenient = acceptable or target
        if self.poor and lenient:
            poor = parse_limit(self.poor, self.sli)
            if poor.operator[0] == lenient.operator[0] or not _within(lenient, poor):
                raise ValueError(
                    f"poor ({self.poor}) begins where it is worse than {self.limit}: "
                    f"write it as {'>' if lenient.operator[0] == '<' else '<'} and a value beyond that"
                )

    @property
    def limit(self) -> str | None:
        """What must hold at least: the acceptable limit, or else the target."""
        return self.acceptable or self.target

    def applies_to(self, plan: str) -> bool:
        """Whether a run of this plan is graded by it."""
        return self.plan is None or plan == self.plan or (isinstance(self.plan, tuple) and plan in self.plan)


@dataclass(frozen=True, config=_strict, kw_only=True)
class Promotion:
    """What a promotion to a stage needs: proofs, by name, and how old they may be."""

    needs: Annotated[tuple[str, ...], Field(min_length=1)]
    max_age: DurationText


_TOTAL = re.compile(r"score\s*>=\s*(\d+(?:\.\d+)?)%(?:\s+and no critical below acceptable)?")


def parse_condition(text: str) -> float:
    """The score from 0 to 1 of `score >= 90%`.

    It may say `and no critical below acceptable`, which holds whether it is said or not.
    """
    found = _TOTAL.fullmatch(text.strip())
    if found is None:
        raise ValueError(
            f"expected 'score >= N%', or 'score >= N% and no critical below acceptable'; received {text!r}"
        )
    return float(found[1]) / 100


ConditionText = Annotated[str, _checked(parse_condition)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid", populate_by_name=True), kw_only=True)
class Total:
    """The score with which the table passes, and with which it is marginal; otherwise it fails."""

    passing: ConditionText = Field("score >= 90% and no critical below acceptable", alias="pass")
    marginal: ConditionText = "score >= 75%"


_DEFAULT_TOTAL = TypeAdapter(Total).validate_python({})


@dataclass(frozen=True, config=_strict, kw_only=True)
class Slo:
    """An SLO file. `promotion` is by stage.

    `machine`: the fingerprint of the one that its limits of time and rate were set for; elsewhere they are not graded.
    """

    schema: Literal["seatrial/slo/v1"]
    objective: Annotated[tuple[Objective, ...], Field(min_length=1)]
    machine: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None
    promotion: dict[Literal["staging", "production"], Promotion] = Field(default_factory=dict)
    total: Total = _DEFAULT_TOTAL


slo_adapter: TypeAdapter[Slo] = TypeAdapter(Slo)


def slo_schema() -> dict[str, Any]:
    """The JSON Schema of an SLO file."""
    return slo_adapter.json_schema(by_alias=True)
