"""What is asked of a target, and how an answer is known to be right."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import orjson

import seatrial
from seatrial.contracts.golden import GoldenCase
from seatrial.contracts.record import WRONG_ANSWER
from seatrial.trials.core.models import KnownModel

JSON = {"Content-Type": "application/json"}
HEADERS = {"User-Agent": f"seatrial/{seatrial.__version__}", "Accept": "*/*", "Accept-Encoding": "identity",
           "Cache-Control": "no-cache"}  # fmt: skip
"""What every request says of us; the libraries' own ways to leave these out cost more than to send them."""
KEEP_ALIVE_S = 2.0
"""A connection that rested longer is not used again: the server may be closing it, which would look like a failure."""
DIGITS = "digits"
MOST_SHOWN = 200
"""Signs of an answer that are told of it: what a target answers may be of any length."""
Check = Callable[[int, bytes], str]
"""Reads status and body of an answer; what is wrong with it, or an empty text."""


@dataclass(frozen=True, slots=True)
class Question:
    """One request that can be sent any number of times.

    `endpoint` is its name in records (`POST /predict`), `model` the model that it is about, if any. `check` says what
    is wrong with an answer; faults of content begin with `wrong answer`.
    """

    endpoint: str
    method: str
    path: str
    check: Check
    body: bytes | None = None
    model: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def wrong(what: str, expected: object, received: object) -> str:
    """The fault of an answer whose content is not right."""
    return f"{WRONG_ANSWER}: {what} expected {shorten(expected)}, received {shorten(received)}"


def shorten(value: object) -> str:
    """A value as text, cut off where it is long."""
    text = str(value)
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 3] + "..."


def page(path: str) -> Question:
    """A page that need only be there."""
    return Question(f"GET {path}", "GET", path, expect_ok)


def health() -> Question:
    """Is it alive and well?"""
    return Question("GET /health", "GET", "/health", partial(_expect_member, "status"))


def root() -> Question:
    """Name, version and links."""
    return Question("GET /", "GET", "/", partial(_expect_member, "name"))


def models(stage: str | None = None) -> Question:
    """Which models are there, or which in a stage?"""
    path = f"/models?stage={stage}" if stage else "/models"
    return Question("GET /models", "GET", path, _expect_models)


def metrics() -> Question:
    """Its own counts, as Prometheus reads them."""
    return Question("GET /metrics", "GET", "/metrics", _expect_metrics)


@cache
def predictions(model: KnownModel) -> tuple[Question, ...]:
    """The known inputs of a model, one by one; the answer must be the recorded one, within its tolerance."""
    return tuple(_predict(model, case) for case in model.golden.cases)


@cache
def blank_images(model: KnownModel) -> tuple[Question, Question]:
    """An image without ink and one that is all ink: any digit is right, if confidence is a probability.

    Of a classifier that reads no digits, its first and its last known input.
    """
    if model.name != DIGITS:
        return predictions(model)[0], predictions(model)[-1]

    def ask(ink: float) -> Question:
        body = orjson.dumps({**model.asked, "data": [ink] * 784})
        return Question("POST /predict", "POST", "/predict", _expect_digit, body, model.label, JSON)

    return ask(0.0), ask(1.0)


def batch(model: KnownModel, size: int) -> Question:
    """One batch of a model's known inputs, over and over up to `size`; every answer is checked."""
    cases = [model.golden.cases[index % len(model.golden.cases)] for index in range(size)]
    body = orjson.dumps({**model.asked, "data": [case.input for case in cases]})
    check = partial(_expect_batch, model, tuple(cases))
    return Question("POST /predict/batch", "POST", "/predict/batch", check, body, model.label, JSON)


def expect_ok(status: int, _: bytes) -> str:
    """Any content, with status 200."""
    return "" if status == 200 else f"status {status}, expected 200"  # noqa: PLR2004


def read_json(status: int, body: bytes) -> tuple[Any, str]:
    """The document of an answer with status 200, or what is wrong."""
    if fault := expect_ok(status, body):
        return None, fault
    try:
        return orjson.loads(body), ""
    except orjson.JSONDecodeError:
        return None, wrong("body", "JSON", repr(body[:40]))


def difference(model: KnownModel, case: GoldenCase, prediction: object, confidence: object) -> float:
    """How far an answer is from the recorded one, in the units of the model's tolerance; infinite for a wrong class."""
    if not model.manifest.output.classes:
        return gap(case.output[0], prediction)
    best = likeliest(case.output)
    if isinstance(prediction, bool) or prediction != model.manifest.output.classes[best]:
        return math.inf
    return gap(case.output[best], confidence)


def likeliest(output: Sequence[float]) -> int:
    """The index of the class with the highest probability."""
    return max(range(len(output)), key=output.__getitem__)


def gap(expected: object, received: object) -> float:
    """How far two numbers are apart; infinitely, where one is missing or no finite number."""
    if isinstance(received, bool) or not isinstance(received, int | float) or not isinstance(expected, int | float):
        return math.inf
    return abs(received - expected) if math.isfinite(received) else math.inf


def _predict(model: KnownModel, case: GoldenCase) -> Question:
    body = orjson.dumps({**model.asked, "data": case.input})
    return Question("POST /predict", "POST", "/predict", partial(_expect_answer, model, case), body, model.label, JSON)


def _expect_member(name: str, status: int, body: bytes) -> str:
    document, fault = read_json(status, body)
    if fault:
        return fault
    if not isinstance(document, dict) or not document.get(name):
        return wrong("body", f"an object with {name!r}", repr(body[:60]))
    return ""


def _expect_models(status: int, body: bytes) -> str:
    document, fault = read_json(status, body)
    if fault:
        return fault
    if not isinstance(document, list) or not all(isinstance(item, dict) and "model_id" in item for item in document):
        return wrong("body", "a list of models", repr(body[:60]))
    return ""


def _expect_metrics(status: int, body: bytes) -> str:
    if fault := expect_ok(status, body):
        return fault
    return "" if b"# TYPE " in body else wrong("body", "metrics", repr(body[:60]))


def _expect_digit(status: int, body: bytes) -> str:
    document, fault = read_json(status, body)
    if fault:
        return fault
    prediction, confidence = members(document, "prediction", "confidence")
    if not _is_digit(prediction):
        return wrong("prediction", "a digit from 0 to 9", prediction)
    if isinstance(confidence, bool) or not isinstance(confidence, int | float) or not 0 <= confidence <= 1:
        return wrong("confidence", "a number from 0 to 1", confidence)
    return ""


def _is_digit(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 9  # noqa: PLR2004


def _expect_answer(model: KnownModel, case: GoldenCase, status: int, body: bytes) -> str:
    document, fault = read_json(status, body)
    if fault:
        return fault
    prediction, confidence = members(document, "prediction", "confidence")
    return _compare(model, [case], [prediction], [confidence])


def _expect_batch(model: KnownModel, cases: Sequence[GoldenCase], status: int, body: bytes) -> str:
    document, fault = read_json(status, body)
    if fault:
        return fault
    given, confidences = members(document, "predictions", "confidences")
    if not isinstance(given, list) or len(given) != len(cases):
        return wrong("predictions", f"a list of {len(cases)}", repr(given)[:60])
    if not isinstance(confidences, list) or len(confidences) != len(cases):
        confidences = [None] * len(cases)
    return _compare(model, cases, given, confidences)


def members(document: object, *names: str) -> tuple[Any, ...]:
    """Members of an object by name; None for what is not there, or where it is no object."""
    return tuple(document.get(name) if isinstance(document, dict) else None for name in names)


def _compare(
    model: KnownModel, cases: Iterable[GoldenCase], given: Iterable[object], confidences: Iterable[object]
) -> str:
    for index, (case, prediction, confidence) in enumerate(zip(cases, given, confidences, strict=True)):
        if difference(model, case, prediction, confidence) > model.golden.tolerance:
            return wrong(f"answer {index}", _tell(model, case), f"{prediction} ({confidence})")
    return ""


def _tell(model: KnownModel, case: GoldenCase) -> str:
    if not model.manifest.output.classes:
        return f"{case.output[0]} +- {model.golden.tolerance}"
    best = likeliest(case.output)
    return f"{model.manifest.output.classes[best]} ({case.output[best]:.6f} +- {model.golden.tolerance})"
