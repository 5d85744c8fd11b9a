"""What is asked, and how an answer is known to be right."""

import json
import math

import pytest

from seatrial.trials.core import questions
from seatrial.trials.core.models import bundled
from seatrial.trials.core.questions import Question


def answer(**members: object) -> bytes:
    return json.dumps(members).encode()


def digit(index: int = 0) -> tuple[Question, int, float]:
    """A known digit, what it is, and with what confidence."""
    output = bundled("digits").golden.cases[index].output
    best = max(range(10), key=output.__getitem__)
    return questions.predictions(bundled("digits"))[index], best, output[best]


def test_the_recorded_answer_is_right() -> None:
    """Within the model's tolerance, and not beyond it."""
    question, best, confidence = digit()

    assert question.check(200, answer(prediction=best, confidence=confidence + 0.00009)) == ""
    assert question.check(200, answer(prediction=best, confidence=confidence - 0.01)).startswith(
        "wrong answer: answer 0"
    )


@pytest.mark.parametrize("confidence", [None, True, math.nan, "0.9"])
def test_a_confidence_that_is_no_number_is_wrong(confidence: object) -> None:
    """NaN, text and booleans are no probabilities."""
    question, best, _ = digit()

    assert question.check(200, answer(prediction=best, confidence=confidence)).startswith("wrong answer")


def test_another_digit_is_wrong_with_status_200() -> None:
    """An answer meant for somebody else is a failure."""
    question, best, confidence = digit()
    fault = question.check(200, answer(prediction=(best + 1) % 10, confidence=confidence))

    expected, received = f"{best} ({confidence:.6f} +- 0.0001)", f"{(best + 1) % 10} ({confidence})"
    assert fault == f"wrong answer: answer 0 expected {expected}, received {received}"


def test_temperatures_are_compared_too() -> None:
    """A regression has a value and a tolerance."""
    question = questions.predictions(bundled("geoclimate"))[0]
    value = bundled("geoclimate").golden.cases[0].output[0]

    assert question.check(200, answer(prediction=value + 0.0005)) == ""
    assert question.check(200, answer(prediction=value + 0.01)).startswith("wrong answer")


def test_a_batch_is_checked_answer_by_answer() -> None:
    """The place of the first wrong answer is told, and a missing one is one."""
    cases = bundled("geoclimate").golden.cases
    values = [case.output[0] for case in cases[:3]]
    question = questions.batch(bundled("geoclimate"), 3)

    assert question.check(200, answer(predictions=values)) == ""
    assert question.check(200, answer(predictions=[*values[:2], 99.0])).startswith("wrong answer: answer 2 expected")
    assert question.check(200, answer(predictions=values[:2])).startswith(
        "wrong answer: predictions expected a list of 3"
    )


def test_a_batch_may_be_longer_than_the_known_inputs() -> None:
    """They are asked again from the first."""
    assert len(json.loads(questions.batch(bundled("geoclimate"), 250).body or b"")["data"]) == 250


@pytest.mark.parametrize(
    ("prediction", "confidence", "fault"),
    [
        (7, 0.5, ""),
        (10, 0.5, "wrong answer: prediction expected a digit from 0 to 9, received 10"),
        (True, 0.5, "wrong answer: prediction expected a digit from 0 to 9, received True"),
        (7, 1.5, "wrong answer: confidence expected a number from 0 to 1, received 1.5"),
        (7, None, "wrong answer: confidence expected a number from 0 to 1, received None"),
    ],
)
def test_blank_images_may_be_any_digit(prediction: object, confidence: object, fault: str) -> None:
    """But a digit from 0 to 9 and a probability."""
    empty, full = questions.blank_images(bundled("digits"))

    assert empty.check(200, answer(prediction=prediction, confidence=confidence)) == fault
    assert set(json.loads(full.body or b"")["data"]) == {1.0}


@pytest.mark.parametrize(
    ("question", "body", "fault"),
    [
        (questions.health(), b'{"status":"healthy"}', ""),
        (questions.health(), b"{}", "wrong answer: body expected an object with 'status', received b'{}'"),
        (questions.root(), b"<html>", "wrong answer: body expected JSON, received b'<html>'"),
        (questions.models(), b'[{"model_id":"a:1"}]', ""),
        (questions.models("production"), b"{}", "wrong answer: body expected a list of models, received b'{}'"),
        (questions.metrics(), b"# TYPE x counter\n", ""),
        (questions.metrics(), b"", "wrong answer: body expected metrics, received b''"),
        (questions.page("/docs"), b"anything", ""),
    ],
)
def test_pages_are_read(question: Question, body: bytes, fault: str) -> None:
    """Each endpoint has content that it must have."""
    assert question.check(200, body) == fault


@pytest.mark.parametrize(
    "question",
    [
        questions.health(),
        questions.models(),
        questions.metrics(),
        questions.page("/docs"),
        questions.blank_images(bundled("digits"))[0],
        questions.predictions(bundled("digits"))[0],
        questions.batch(bundled("digits"), 2),
    ],
)
def test_another_status_is_a_fault_whatever_the_body(question: Question) -> None:
    """It is told with what was expected."""
    assert question.check(503, b"{}") == "status 503, expected 200"
