"""Ask for every known answer, one by one, then in batches of each size; a batch must not change an answer."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import orjson

from seatrial.contracts.proof import AnswerCheck
from seatrial.contracts.record import Generator, Run, Sample, Subject
from seatrial.trials.core import probe
from seatrial.trials.core.client import Client, Clock, client, run
from seatrial.trials.core.errors import CouldNotRun
from seatrial.trials.core.live import Progress, Window
from seatrial.trials.core.machine import fingerprint
from seatrial.trials.core.models import KnownModel
from seatrial.trials.core.questions import JSON, Question, difference, gap, members, read_json, wrong
from seatrial.trials.core.target import Target
from seatrial.trials.measure.gone import require_still_there
from seatrial.trials.measure.records import FILE_NAME, write_samples

TIMEOUT_S = 30.0
Output = tuple[Any, Any]
"""The prediction and the confidence of one answer; None for what it has not."""


@dataclass(frozen=True, slots=True)
class Golden:
    """The facts of a run, and what became of each model's known answers."""

    run: Run
    answers: tuple[AnswerCheck, ...]


@dataclass
class _Tally:
    """How many answers of one kind were right, and the worst difference among them."""

    cases: int = 0
    right: int = 0
    worst: float = 0.0
    example: str = ""

    def add(self, difference: float, tolerance: float, told: str) -> None:
        """Count one answer; `told` says what came, should it be wrong."""
        self.cases += 1
        self.right += difference <= tolerance
        self.worst = max(self.worst, difference)
        if difference > tolerance and not self.example:
            self.example = told


@dataclass
class _State:
    """What was asked so far."""

    progress: Progress
    began: float = field(default_factory=time.time)
    samples: list[Sample] = field(default_factory=list)
    window: Window = field(default_factory=Window)

    def add(self, sample: Sample) -> None:
        """Keep one request, and tell."""
        self.samples.append(sample)
        self.window.add(sample.start, sample.latency_ms, ok=sample.ok)
        self.progress(self.window.live("golden answers", time.time() - self.began, users=1))


def run_golden(model_ids: Sequence[str], target: Target, folder: Path, progress: Progress) -> Golden:
    """Check the known answers of models, or of all in production; records go to `folder`.

    Raises:
        CouldNotRun: the target accepts no connection, or tells no known answers of a model.
    """
    probe.require(target)
    subjects = probe.models(target)
    wanted = tuple(model_ids) or tuple(subject.model_id for subject in subjects)
    if not wanted:
        raise CouldNotRun(f"{target.url} lists no model in production at /models; name one with --model")
    known = [probe.known_model(target, model_id) for model_id in wanted]
    state = _State(progress)
    answers = run(_check(known, target, state))
    write_samples(folder / FILE_NAME, state.samples)
    require_still_there(target, folder / FILE_NAME)
    facts = _run(target, state, tuple(subject for subject in subjects if subject.model_id in wanted))
    return Golden(facts, tuple(answers))


def _run(target: Target, state: _State, subjects: tuple[Subject, ...]) -> Run:
    ended = time.time()
    return Run(
        verb="golden",
        plan="golden",
        target=target.url,
        model=target.model,
        trial=target.trial,
        started=state.began,
        ended=ended,
        duration_s=ended - state.began,
        generator=Generator(kind="closed loop", processes=1),
        machine=fingerprint(),
        subjects=subjects,
        min_samples=1,
    )


def inputs_of(model: KnownModel) -> tuple[dict[str, Any], ...]:
    """The known inputs, in order."""
    return tuple(case.input for case in model.golden.cases)


async def _check(known: Sequence[KnownModel], target: Target, state: _State) -> list[AnswerCheck]:
    found = []
    async with client(target, Clock.start(), "golden", TIMEOUT_S) as sender:
        for model in known:
            singles = [await _ask(sender, state, model, [example], "/predict") for example in inputs_of(model)]
            alone = [answers[0] for answers in singles]
            found += [_one_by_one(model, alone), await _in_batches(sender, state, model, alone)]
    return found


def _one_by_one(model: KnownModel, alone: Sequence[Output]) -> AnswerCheck:
    tally = _Tally()
    for index, (case, received) in enumerate(zip(model.golden.cases, alone, strict=True)):
        told = f"case {index}: {_tell(received)}"
        tally.add(difference(model, case, *received), model.golden.tolerance, told)
    return _answer_check(model, "one by one, against the record", tally)


async def _in_batches(sender: Client, state: _State, model: KnownModel, alone: Sequence[Output]) -> AnswerCheck:
    tally = _Tally()
    for size in range(1, len(inputs_of(model)) + 1):
        for start in range(0, len(inputs_of(model)), size):
            part = inputs_of(model)[start : start + size]
            answers = await _ask(sender, state, model, part, "/predict/batch")
            for index, received in enumerate(answers, start):
                expected = alone[index]
                told = f"case {index} in a batch of {len(part)}: {_tell(received)}, alone {_tell(expected)}"
                tally.add(_apart(expected, received), model.golden.tolerance, told)
    return _answer_check(model, "in batches of every size, against alone", tally)


def _tell(output: Output) -> str:
    return f"{output[0]}" if output[1] is None else f"{output[0]} ({output[1]})"


def _answer_check(model: KnownModel, check: str, tally: _Tally) -> AnswerCheck:
    return AnswerCheck(
        model_id=model.model_id,
        check=check,
        cases=tally.cases,
        right=tally.right,
        worst=min(tally.worst, 1e308),
        tolerance=model.golden.tolerance,
        example=tally.example,
    )


def _apart(expected: Output, received: Output) -> float:
    """How far two answers of the target are from each other."""
    if expected[1] is None:
        return gap(expected[0], received[0])
    return gap(expected[1], received[1]) if expected[0] == received[0] else math.inf


async def _ask(
    sender: Client, state: _State, model: KnownModel, examples: Sequence[dict[str, Any]], path: str
) -> list[Output]:
    """The answers to some examples; of a failed request, nothing for each."""
    kept: list[Output] = []
    single = path == "/predict"
    body = orjson.dumps({"model_id": model.model_id, "data": examples[0] if single else list(examples)})

    def check(status: int, answer: bytes) -> str:
        document, fault = read_json(status, answer)
        if fault:
            return fault
        kept.extend(_outputs(document, single=single))
        return "" if len(kept) == len(examples) else wrong("predictions", len(examples), len(kept))

    sample = await sender.ask(Question(f"POST {path}", "POST", path, check, body, model.model_id, JSON))
    state.add(sample)
    return kept if len(kept) == len(examples) else [(None, None)] * len(examples)


def _outputs(document: object, *, single: bool) -> Iterator[Output]:
    """The answers in a document; whatever else it is has none."""
    if single:
        prediction, confidence = members(document, "prediction", "confidence")
        yield prediction, confidence
        return
    predictions, confidences = members(document, "predictions", "confidences")
    if isinstance(predictions, list):
        yield from zip_longest(predictions, confidences if isinstance(confidences, list) else ())
