"""A proof from records: fold them, and judge what they show."""

from collections.abc import Iterable, Sequence

from seatrial.contracts.proof import AnswerCheck, Proof, SloUsed
from seatrial.contracts.record import Run, Sample
from seatrial.grading.judge import judge
from seatrial.trials.measure.fold import fold
from seatrial.trials.measure.pairs import fold_blocks


def prove(
    run: Run,
    samples: Iterable[Sample],
    slo: SloUsed,
    pairs: Iterable[Sample] = (),
    answers: Sequence[AnswerCheck] = (),
) -> Proof:
    """What the records of a run show under an SLO file. `pairs` are those of blocks in turn with a champion."""
    return judge(run, fold(samples, run), slo, fold_blocks(pairs), answers)
