"""A proof from measures: check, grade, decide. The same measures and SLO file always make the same proof."""

from collections.abc import Sequence
from typing import Literal

from seatrial.contracts.proof import AnswerCheck, Block, Proof, SloUsed, Verdict
from seatrial.contracts.record import Run
from seatrial.grading import versus
from seatrial.grading.grade import grade
from seatrial.grading.measures import Measures
from seatrial.grading.validity import check
from seatrial.grading.verdict import decide

Result = Literal["PASSED", "WARNED", "FAILED"]


def judge(
    run: Run, measures: Measures, slo: SloUsed, blocks: Sequence[Block] = (), answers: Sequence[AnswerCheck] = ()
) -> Proof:
    """What the measures of a run show under an SLO file. `blocks` are those in turn with a champion."""
    checks = check(run, measures)
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
        blocks=tuple(blocks),
        answers=tuple(answers),
        result=_result(verdict),
    )


def _result(verdict: Verdict) -> Result:
    """The word of in-toto's test-result predicate, which knows no third outcome: not proven has not passed."""
    if verdict.outcome != "pass":
        return "FAILED"
    return "WARNED" if verdict.marginal else "PASSED"
