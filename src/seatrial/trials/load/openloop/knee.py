"""The knee: the highest rate that a target holds. Found by doubling, then by halving the step."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

import orjson

from seatrial.contracts.proof import Outcome, Proof
from seatrial.grading.validity import STEADY
from seatrial.grading.verdict import POINTS

PRECISION = 0.05
MOST_BLOCKS = 16
LOWEST = 1.0


@dataclass(frozen=True, slots=True)
class Block:
    """One rate and whether it held. None: that could not be told. `why` says what did not hold."""

    rate: float
    held: bool | None
    why: str


@dataclass(frozen=True, slots=True)
class Knee:
    """The highest rate that held; None if none did. `blocks` are in the order of their measuring."""

    rate: float | None
    blocks: tuple[Block, ...]
    limited_by: str
    schema: Literal["seatrial/knee/v1"] = "seatrial/knee/v1"

    @property
    def outcome(self) -> Outcome:
        """`pass` where a rate held, `fail` where each that was tried is known not to."""
        if self.rate:
            return "pass"
        return "fail" if all(block.held is False for block in self.blocks) else "not proven"

    def as_json(self) -> bytes:
        """For programs: the same facts."""
        document = {**asdict(self), "outcome": self.outcome}
        return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)

    @property
    def told(self) -> str:
        """Each step, then the answer."""
        signs = {True: "held", False: "did not hold", None: "not proven"}
        lines = [f"{block.rate:10.1f} requests/s  {signs[block.held]:14} {block.why}".rstrip() for block in self.blocks]
        held = f"the highest rate that held is {self.rate:.0f} requests/s; above it," if self.rate else "no rate held:"
        return "\n".join([*lines, f"{held} {self.limited_by}"])


def judge(proof: Proof) -> tuple[bool | None, str]:
    """Whether a block held: nothing graded is below acceptable.

    What needs more samples than it has is left out, as long as some latency can be graded. A target may fail by more
    than a late generator explains; else a generator that was not up to it says nothing.
    """
    if proof.verdict.outcome == "fail":
        return False, proof.verdict.reasons[0]
    broken = [check for check in proof.checks if check.holds is False and check.name != STEADY]
    if broken:
        return None, f"{broken[0].name}: {broken[0].received}"
    if not any(grade.unit == "ms" and grade.grade in POINTS for grade in proof.grades):
        return None, f"{proof.total.requests} requests are too few to grade a latency: take a longer --duration"
    below = [grade for grade in proof.grades if grade.grade in {"marginal", "poor"}]
    if below:
        return False, f"{below[0].sli}: {below[0].value:.4g}"
    if proof.total.failures:
        return False, f"{proof.total.failures} of {proof.total.requests} failed"
    return True, ""


def find(first: float, measure: Callable[[float], Block]) -> Knee:
    """Search from the first rate, upwards if it holds and else downwards, until the step is within 5 %.

    What could not be told is measured once more: a generator may be held up for a moment. After 16 blocks, or below one
    request a second, it ends with what it has.
    """
    blocks: list[Block] = []
    held, above, rate = 0.0, 0.0, first
    while len(blocks) < MOST_BLOCKS:
        block = measure(rate)
        blocks.append(block)
        if block.held is None and not (len(blocks) > 1 and blocks[-2].rate == rate):
            continue
        if block.held:
            held = rate
        else:
            above = rate
        if held and above and above - held <= PRECISION * held:
            break
        rate = (held + above) / 2 if above else rate * 2
        if rate < LOWEST:
            break
    limits = [block for block in blocks if not block.held]
    nearest = min(limits, key=lambda block: block.rate, default=None)
    return Knee(held or None, tuple(blocks), _limit(nearest))


def _limit(nearest: Block | None) -> str:
    if nearest is None:
        return "nothing was found that does not hold"
    return f"nothing is proven ({nearest.why})" if nearest.held is None else f"it did not ({nearest.why})"
