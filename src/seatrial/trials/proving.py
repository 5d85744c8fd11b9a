"""Prove a version: everything that the gate asks for, one trial after the other, and handed in."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from seatrial.contracts.gate import GATED, GateDecision, decision_adapter
from seatrial.contracts.proof import Outcome, Proof, SloUsed
from seatrial.grading.spec import parse_slo
from seatrial.grading.toml import WrongFile
from seatrial.trials import verbs
from seatrial.trials.bench import BenchOptions
from seatrial.trials.core import probe
from seatrial.trials.core.live import Progress
from seatrial.trials.core.target import Target
from seatrial.trials.gate.keeper import Answer, ask_gate, begin_trial, submit
from seatrial.trials.report.files import PROOF

GATE_FILE = "gate.json"


@dataclass(frozen=True, slots=True)
class ProveOptions:
    """What differs from what the gate asks for, and how it is proven.

    `plan`: the load plan whose stage is meant, none for the stage that comes next. `duration` shortens the load.
    `submit` hands each proof in, and leaves out what the gate has taken already, unless it is wanted `again`.
    """

    plan: str = ""
    duration: str | None = None
    processes: int = 1
    bench: BenchOptions = field(default_factory=BenchOptions)
    submit: bool = False
    again: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """One proof of several: what it is of, where its files are, and what the server said of it."""

    need: str
    proof: Proof
    folder: Path
    answer: Answer | None = None


@dataclass(frozen=True, slots=True)
class Proven:
    """Everything that was proven, and what the gate says then; its answer from before, where nothing was handed in."""

    parts: tuple[Part, ...]
    decision: GateDecision
    submitted: bool

    @property
    def outcome(self) -> Outcome:
        """The worst of the parts; where they were handed in, no better than what the gate says."""
        outcomes = {part.proof.verdict.outcome for part in self.parts}
        if "fail" in outcomes or any(part.answer and not part.answer.taken for part in self.parts):
            return "fail"
        if "not proven" in outcomes:
            return "not proven"
        return "fail" if self.submitted and not self.decision.allowed else "pass"


def prove(
    target: Target, slo: SloUsed | None, folder: Path, options: ProveOptions, progress: Progress
) -> Iterator[Part | Proven]:
    """Prove a version, part by part; the last item is the whole.

    Args:
        target: with the candidate as its `model`.
        slo: what grades here; none takes the server's own file.
        folder: where each part gets a folder of its own, by its name.
        options: what differs.
        progress: hears how it goes.

    Raises:
        CouldNotRun: the target cannot be reached, has no gate, or does not let itself be tried.
        WrongFile: the plan cannot be used, or the gate asks for something that is not known here.
    """
    probe.require(target)
    asked = _asked(target, options.plan)
    used = slo or parse_slo(asked.slo.text, asked.slo.name)
    parts: list[Part] = []
    wanted = _needs(asked, options.plan)
    if options.submit and not options.again:
        wanted = [need for need in wanted if need not in _proven(asked)]
    for need in wanted:
        part = _prove_part(need, target, used, folder, (options, asked.champion), progress)
        parts.append(part)
        yield part
    decision = ask_gate(target, asked.new_stage) if options.submit else asked
    folder.joinpath(GATE_FILE).write_bytes(decision_adapter.dump_json(decision, indent=2))
    yield Proven(tuple(parts), decision, options.submit)


def _asked(target: Target, plan: str) -> GateDecision:
    """What the gate asks for: of the next stage, or of that which needs the plan."""
    if not plan:
        return ask_gate(target)
    decisions = [ask_gate(target, stage) for stage in GATED]
    return next((item for item in decisions if f"load.{plan}" in item.needs), decisions[-1])


def _needs(asked: GateDecision, plan: str) -> Sequence[str]:
    needs = asked.needs or ("golden",)
    if plan and f"load.{plan}" not in needs:
        return (f"load.{plan}", *(need for need in needs if not need.startswith("load.")))
    return needs


def _proven(asked: GateDecision) -> set[str]:
    """What is proven already."""
    return set(asked.needs) - {line.need for line in asked.refused}


def _prove_part(
    need: str, target: Target, slo: SloUsed, folder: Path, how: tuple[ProveOptions, str], progress: Progress
) -> Part:
    """One trial, what it showed, and what the server says of it."""
    options, champion = how
    verb, _, plan = need.partition(".")
    own = folder / need
    own.mkdir(parents=True)
    under = begin_trial(target)
    if verb == "load":
        load = verbs.LoadOptions(duration=options.duration, processes=options.processes)
        proof = verbs.load(plan, under, slo, own, load, progress)
    elif verb == "golden":
        proof = verbs.golden((target.model,), under, slo, own, progress)
    elif verb == "bench":
        rival = replace(under, model=champion) if champion else None
        proof = verbs.bench(under, rival, slo, own, options.bench, progress)
    else:
        raise WrongFile(f"the gate asks for {need!r}, which this release cannot prove; expected load, golden or bench")
    answer = submit(under, own.joinpath(PROOF).read_bytes()) if options.submit else None
    return Part(need, proof, own, answer)
