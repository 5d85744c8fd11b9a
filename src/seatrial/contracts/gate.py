"""What the gate answers: line by line, what a promotion needs, and what was found."""

from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass

from seatrial.contracts.proof import Outcome
from seatrial.contracts.record import TRIAL_HEADER

_strict = ConfigDict(extra="forbid")

GateMode = Literal["off", "warn", "enforce"]
GATED = ("staging", "production")
"""The stages that a version must prove itself for."""


@dataclass(frozen=True, config=_strict, kw_only=True)
class GateCheck:
    """One line of the gate's table: a step of what one proof must show (`need`, such as `load.high`).

    `holds` none: not looked at, since an earlier step of the same proof failed.
    """

    need: str
    step: str
    holds: bool | None
    expected: str
    received: str


@dataclass(frozen=True, config=_strict, kw_only=True)
class ProofSummary:
    """A proof that was submitted: its digest, what it is of, and what the server's own grading says."""

    digest: str
    need: str
    trial_id: str
    submitted_at: str
    who: str
    outcome: Outcome
    score: float | None


@dataclass(frozen=True, config=_strict, kw_only=True)
class SloText:
    """The SLO file that decides: its name, the SHA-256 of its text, and the text."""

    name: str
    digest: str
    text: str


@dataclass(frozen=True, config=_strict, kw_only=True)
class GateDecision:
    """Whether a version may move to a stage, and why. `needs` lists the proofs that stage asks for.

    `champion` is the version that it must not be slower than; `command` what to run for what is missing.
    """

    model_id: str
    stage: str
    new_stage: str
    allowed: bool
    mode: GateMode
    needs: tuple[str, ...]
    checks: tuple[GateCheck, ...]
    proofs: tuple[ProofSummary, ...]
    slo: SloText
    champion: str = ""
    command: str = ""
    schema: Literal["seatrial/gate/v1"] = "seatrial/gate/v1"

    @property
    def refused(self) -> tuple[GateCheck, ...]:
        """The lines that stand in the way."""
        return tuple(item for item in self.checks if item.holds is False)


@dataclass(frozen=True, config=_strict, kw_only=True)
class TrialOpened:
    """A trial that was begun: the id to send in the header `X-Seatrial-Trial`, and until when it counts."""

    trial_id: str
    model_id: str
    digest: str
    expires_at: str
    header: str = TRIAL_HEADER


decision_adapter: TypeAdapter[GateDecision] = TypeAdapter(GateDecision)
trial_adapter: TypeAdapter[TrialOpened] = TypeAdapter(TrialOpened)


def gate_schema() -> dict[str, Any]:
    """The JSON Schema of the gate's answer."""
    return decision_adapter.json_schema()
