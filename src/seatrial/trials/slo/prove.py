"""A proof from records: fold, check, grade, decide. The same records and SLO file always make the same proof."""

from collections.abc import Iterable, Sequence
from typing import Literal

from seatrial.contracts.proof import AnswerCheck, Proof, SloUsed, Verdict
from seatrial.contracts.record import Run, Sample
from seatrial.trials.measure.fold import fold
from seatrial.trials.measure.pairs import Pairs
from seatrial.trials.slo import versus
from seatrial.trials.slo.grade import grade
from seatrial.trials.slo.validity import check
from seatrial.trials.slo.verdict import decide

Result = Literal["PASSED", "WARNED", "FAILED"]


def prove(
    run: Run,
    samples: Iterable[Sample],
    slo: SloUsed,
    pairs: Iterable[Sample] = (),
    answers: Sequence[AnswerCheck] = (),
) -> Proof:
    """What the records of a run show under an SLO file. `pairs` are those of blocks in turn with a champion."""
    measures = fold(samples, run)
    checks = check(run, measures)
    blocks = Pairs(pairs)
    comparisons = versus.compare(slo.document, run.plan, blocks)
    grades = grade(slo.document, run, measures, champion=bool(blocks), compared=comparisons)
    verdict = decide(slo.document.total, checks, grades, comparisons, answers, run.generator.lag_p99_ms or 0.0)
    return Proof(
        run=run,
        warm_up_s=measures.steadiness.warm_up_s,
        expected_rps=measures.expected_rps,
        checks=checks,
        total=measures.total,
        endpoints=measures.endpoints,
        history=measures.history,
        curve=measures.curve,
        failures=measures.failures,
        slo=slo,
        grades=grades,
        verdict=verdict,
        comparisons=comparisons,
        answers=tuple(answers),
        result=_result(verdict),
    )


def _result(verdict: Verdict) -> Result:
    """The word of in-toto's test-result predicate, which knows no third outcome: not proven has not passed."""
    if verdict.outcome != "pass":
        return "FAILED"
    return "WARNED" if verdict.marginal else "PASSED"
