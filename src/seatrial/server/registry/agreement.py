"""Whether a proof is of what this server saw. Nothing that a submission says of its target is taken on trust."""

from collections.abc import Iterator, Sequence

from seatrial.contracts.gate import GateCheck
from seatrial.contracts.proof import Proof
from seatrial.grading.regrade import asked, contradictions
from seatrial.server.registry.evidence import Tally, Trial, latencies, need_of, span
from seatrial.server.registry.model import ModelVersion

MOST_APART = 0.01
"""By how much the counts of both sides may differ."""
ROUNDING_MS = 0.05
"""By how much a histogram, or a clock, may make a server's latency seem longer than that of who asked."""
COMPARED = (50.0, 90.0, 95.0, 99.0, 100.0)
LEAST_OF_DURATION = 0.8
MOST_SHOWN = 300
"""Characters of a proof's own text that an answer repeats."""
PAUSE_S = 5.0
"""How long the users of a small load may all be thinking."""


def agree(  # noqa: PLR0913, PLR0917 - everything that a proof is held against
    proof: Proof,
    version: ModelVersion,
    trial: Trial | None,
    tallies: Sequence[Tally],
    serving_config_digest: str,
    slo_digest: str,
    now: float,
) -> tuple[GateCheck, ...]:
    """Every line on which a proof and this server must agree; the first that does not ends the table.

    Args:
        proof: as submitted.
        version: that it is submitted for.
        trial: of the id that it names, if there is one.
        tallies: what was counted under it.
        serving_config_digest: of how the version is served here; empty where it is not loaded.
        slo_digest: of the SLO file that decides here.
        now: Unix time in seconds.
    """
    lines: list[GateCheck] = []
    counted = tuple(tallies)
    for found in (
        _trial(proof, version, trial, now),
        _digests(proof, version, serving_config_digest, slo_digest),
        _consistent(proof),
        _counts(proof, counted),
    ):
        for line in found:
            lines.append(line)
            if not line.holds:
                return tuple(lines)
    return tuple(lines)


def _trial(proof: Proof, version: ModelVersion, trial: Trial | None, now: float) -> Iterator[GateCheck]:
    run, need = proof.run, need_of(proof)
    known = "none of that id" if trial is None else f"a trial of {trial.model_id}"
    yield _line(need, "trial", trial is not None, "a trial that this server began", f"{run.trial or 'no id'}: {known}")
    if trial is not None:
        right = trial.model_id == version.model_id == run.model
        told = f"the trial is of {trial.model_id}, the proof of {run.model or 'no model'}"
        yield _line(need, "subject", right, f"a trial and a proof of {version.model_id}", told)
        state = "it led to a proof already" if trial.closed else "it has expired"
        yield _line(need, "trial is open", trial.counts_at(now), "one proof a trial, in its time", state)


def _digests(proof: Proof, version: ModelVersion, serving: str, slo: str) -> Iterator[GateCheck]:
    need = need_of(proof)
    subject = next((item for item in proof.run.subjects if item.model_id == version.model_id), None)
    digest = subject.digest if subject else "no such subject"
    yield _line(need, "model digest", digest == version.manifest.digest, version.manifest.digest, digest)
    config = subject.serving_config_digest if subject else ""
    held = bool(serving) and config == serving
    yield _line(need, "serving config digest", held, serving or "a version that is loaded", config or "none")
    yield _line(need, "SLO digest", proof.slo.digest == slo, slo, proof.slo.digest)


def _consistent(proof: Proof) -> Iterator[GateCheck]:
    found = list(contradictions(proof))
    yield _line(need_of(proof), "records", not found, "counts and histograms of one run", "; ".join(found[:3]) or "yes")


def _counts(proof: Proof, counted: tuple[Tally, ...]) -> Iterator[GateCheck]:
    need, told = need_of(proof), asked(proof)
    requests, errors = sum(item.requests for item in counted), sum(item.errors for item in counted)
    close = _close(requests, told.requests, told.unanswered)
    yield _line(need, "requests", close, f"{requests} counted here, within 1 %", str(told.requests))
    close = _close(errors, told.refused, told.unanswered)
    yield _line(need, "errors", close, f"{errors} counted here, within 1 %", str(told.refused))
    if requests and told.latency.count:
        theirs = told.latency.percentiles(*COMPARED)
        ours = latencies(counted).percentiles(*COMPARED)
        short = [at for at, mine, their in zip(COMPARED, ours, theirs, strict=True) if their < _least(mine)]
        yield _line(
            need,
            "latency",
            not short,
            f"at least the {_list(ours)} ms (p50, p90, p95, p99, max) that it took here",
            f"{_list(theirs)} ms",
        )
    if proof.run.is_load:
        run, lasted = proof.run, span(counted)
        took = run.ended - run.started
        long_enough = lasted >= LEAST_OF_DURATION * run.duration_s - PAUSE_S
        holds = long_enough and took >= LEAST_OF_DURATION * lasted - PAUSE_S
        received = f"{lasted:.0f} s here, {took:.0f} s from its start to its end"
        yield _line(need, "duration", holds, f"{run.duration_s:g} s, as it says", received)


def _least(milliseconds: float) -> float:
    return milliseconds * (1 - MOST_APART) - ROUNDING_MS


def _close(ours: int, theirs: int, unanswered: int) -> bool:
    """Within 1 %; requests that got no answer may, or may not, have come here."""
    slack = int(max(ours, theirs) * MOST_APART)
    return theirs - unanswered - slack <= ours <= theirs + slack + unanswered


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)


def _line(need: str, step: str, holds: bool, expected: str, received: str) -> GateCheck:  # noqa: FBT001 - the answer
    return GateCheck(need=need, step=step, holds=holds, expected=expected, received=received[:MOST_SHOWN])
