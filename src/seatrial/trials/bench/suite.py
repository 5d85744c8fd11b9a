"""The benchmarks: what each asks, from how many callers at once, and how often."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from seatrial.grading.regrade import MOST_CALLERS as CALLERS
from seatrial.trials.core import questions
from seatrial.trials.core.questions import Question
from seatrial.trials.core.target import Target

SAMPLES = 300
BATCH = 32


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Asks its questions in turn, `samples` times, from `callers` at once; its name is the endpoint of its records."""

    name: str
    questions: tuple[Question, ...]
    samples: int = SAMPLES
    callers: int = 1


def benchmarks(target: Target) -> tuple[Benchmark, ...]:
    """The six benchmarks of a service, and predictions one by one and in batches; of a target file, its requests.

    Concurrent requests: 10 callers. Throughput: 10 callers without a pause, ten times as often. Consistency: the same
    prediction again and again. Predictions are of one model, the candidate where there is one: the median of two kinds
    of body would be that of neither.
    """
    if target.requests:
        return tuple(_alone([item.question]) for item in target.requests)
    model = target.models.candidate or target.models.classification
    known = questions.predictions(model)
    return (
        _alone([questions.health()]),
        _alone([questions.models()]),
        _alone([questions.metrics()]),
        _alone(known),
        _alone([questions.batch(model, BATCH)]),
        Benchmark("concurrent requests", _named("concurrent requests", known), SAMPLES, CALLERS),
        Benchmark("throughput", _named("throughput", known), 10 * SAMPLES, CALLERS),
        Benchmark("consistency", _named("consistency", known[:1])),
    )


def _alone(asked: Sequence[Question]) -> Benchmark:
    return Benchmark(asked[0].endpoint, tuple(asked))


def _named(name: str, asked: Sequence[Question]) -> tuple[Question, ...]:
    return tuple(replace(question, endpoint=name) for question in asked)
