"""What an answer is remembered by, for how long, and whether looking for it pays."""

from dataclasses import replace

import numpy as np
import pytest
from tests.fakes.clock import ManualClock
from tests.fakes.models import a_manifest, a_model

from seatrial.contracts.manifest import InputSpec
from seatrial.server.inference.answers import (
    ANSWER_BYTES,
    PROBE,
    REST_SECONDS,
    WINDOW,
    Answers,
    Worth,
    pack,
    unpack,
)
from seatrial.server.inference.calibration import Calibration, Cost
from seatrial.server.inference.model import LoadedModel
from seatrial.server.inference.signature import Arrays

MODEL = replace(a_model(a_manifest()), calibration=Calibration((Cost(1, 1.0),), "threads", 1))
TEXTS = a_manifest(InputSpec(name="word", dtype="string", shape=(2,)), name="texts")


def answers(clock: ManualClock, size: int = 3) -> Answers:
    return Answers(size, 60, clock)


def example(x: float, y: float) -> Arrays:
    return {"x": np.array([x], np.float32), "y": np.array([y], np.float32)}


def name_of(kept: Answers, model: LoadedModel, arrays: Arrays) -> bytes:
    assert kept.pay(model, arrays)
    return kept.key(model, arrays)


def test_a_question_is_its_model_and_its_values() -> None:
    """Whatever order they come in; each part of what is served makes another question."""
    kept = answers(ManualClock())
    question = name_of(kept, MODEL, example(1, 2))
    turned = {"y": np.array([2], np.float32), "x": np.array([1], np.float32)}
    others = [
        replace(MODEL, model_id="echo:2"),
        replace(MODEL, manifest=a_manifest(artifact=b"another file")),
        replace(MODEL, serving_config_digest="sha256:" + "1" * 64),
    ]
    names = {
        question,
        name_of(kept, MODEL, example(2, 1)),
        name_of(kept, MODEL, example(1, 2.0000002)),
        *(name_of(kept, other, example(1, 2)) for other in others),
    }

    assert name_of(kept, MODEL, turned) == question
    assert len(names) == 6


def test_texts_are_told_apart_by_what_they_say() -> None:
    """Not by where they are in memory, nor by how they would read one after the other."""
    kept, model = answers(ManualClock()), replace(MODEL, signature=a_model(TEXTS).signature)

    def asked(*words: str) -> bytes:
        return name_of(kept, model, {"word": np.array([words], object)})

    assert asked("ab", "c") == asked(f"a{chr(98)}", "c")
    assert len({asked("ab", "c"), asked("a", "bc"), asked("abc", ""), asked('a","b', "c")}) == 4


def test_an_answer_is_kept_for_its_time_and_the_oldest_goes_first() -> None:
    """What was asked for last stays longest."""
    clock = ManualClock()
    kept = answers(clock)
    names = [name_of(kept, MODEL, example(value, 0)) for value in range(4)]
    for value, name in enumerate(names[:3]):
        kept.put(name, np.array([value], np.float32))
    assert kept.find(MODEL, names[0]) == 0
    kept.put(names[3], np.array([3], np.float32))

    assert [kept.find(MODEL, name) for name in names] == [0, None, 2, 3]
    assert len(kept) == 3
    clock.advance(60)
    assert [kept.find(MODEL, name) for name in names] == [None] * 4


def test_an_answer_is_a_copy_and_not_the_run_that_it_was_in() -> None:
    """Whatever becomes of that; and what is too large is not kept."""
    kept = answers(ManualClock())
    name = name_of(kept, MODEL, example(1, 2))
    run = np.arange(64, dtype=np.float32)
    kept.put(name, run[3:4])
    run[:] = -1

    found = kept.find(MODEL, name)
    assert found is not None
    assert (found.tolist(), found.base) == ([3], None)
    kept.put(b"large", np.zeros(ANSWER_BYTES + 1, np.uint8))
    assert kept.find(MODEL, b"large") is None


@pytest.mark.parametrize(("hits", "resting"), [(0, True), (99, True), (100, False), (WINDOW, False)])
def test_looking_is_left_where_it_does_not_pay(hits: int, *, resting: bool) -> None:
    """A hit saves ten times what a question costs: one in ten must be one."""
    worth = Worth(saved=10.0, look=1.0, clock=ManualClock())
    for number in range(WINDOW):
        assert not worth.resting
        worth.note(found=number < hits)

    assert worth.resting is resting


def test_after_a_rest_it_is_tried_again() -> None:
    """With fewer questions, until it pays: then as long as it does."""
    clock = ManualClock()
    worth = Worth(saved=10.0, look=1.0, clock=clock)
    for _ in range(WINDOW):
        worth.note(found=False)
    clock.advance(REST_SECONDS - 1)
    seen = [worth.resting]
    clock.advance(1)
    seen.append(worth.resting)
    assert seen == [True, False]
    for _ in range(PROBE):
        worth.note(found=False)
    assert worth.resting
    clock.advance(REST_SECONDS)
    for _ in range(PROBE):
        worth.note(found=True)
    for _ in range(WINDOW - 1):
        worth.note(found=False)
        assert not worth.resting


def test_which_models_rest_is_told() -> None:
    """Of those that are served; one that nobody holds any more is forgotten."""
    clock = ManualClock()
    kept, costly = answers(clock), a_model(a_manifest(name="costly"))
    costly = replace(costly, calibration=Calibration((Cost(1, 10.0),), "threads", 1))
    cheap = replace(MODEL, calibration=Calibration((Cost(1, 0.0),), "threads", 1))
    for model in (costly, cheap):
        name = name_of(kept, model, example(1, 2))
        kept.put(name, np.zeros(1, np.float32))
        for _ in range(WINDOW):
            assert kept.find(model, name) is not None

    assert kept.resting() == {"costly:1": False, "echo:1": True}
    assert not kept.pay(cheap, example(1, 2))
    del model, cheap
    assert kept.resting() == {"costly:1": False}


def test_a_shared_store_is_not_asked_about_cheap_models() -> None:
    """Those that the event loop runs answer more quickly; of others it is left where it does not pay."""
    kept = answers(ManualClock())
    inline = replace(MODEL, calibration=Calibration((Cost(1, 1.0),), "inline", 1))
    for model in (MODEL, inline):
        assert kept.pay(model, example(1, 2))

    assert not kept.shared_pays(inline)
    assert kept.shared_pays(MODEL)
    for _ in range(WINDOW):
        kept.note_shared(MODEL, found=False)
    assert not kept.shared_pays(MODEL)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_an_output_comes_back_as_it_was(dtype: type[np.floating]) -> None:
    """Bit by bit, in its type and shape."""
    classes = a_model(a_manifest(classes=(0, 1, 2)))
    for model, output in ((classes, np.array([[0.1, np.nan, 1]], dtype)), (MODEL, np.array([-0.0], dtype))):
        packed = pack(output)
        assert packed is not None
        found = unpack(model, packed)
        assert found is not None
        assert (found.dtype, found.shape, found.tobytes()) == (output.dtype, output.shape, output.tobytes())


def test_a_large_output_is_not_packed() -> None:
    """It would cost more than it saves."""
    assert pack(np.zeros(ANSWER_BYTES, np.uint8)) is not None
    assert pack(np.zeros(ANSWER_BYTES + 1, np.uint8)) is None


@pytest.mark.parametrize(
    "value",
    [b"", b"|", b"<f4", b"<f4|", b"<f4|\0\0\0", b"<f4|" + b"\0" * 8, b"|O|" + b"\0" * 8, b"<i4|" + b"\0" * 4, b"\xff|"],
)
def test_what_is_no_output_of_the_model_is_none(value: bytes) -> None:
    """Of another type or size, or garbage."""
    assert unpack(MODEL, value) is None
