"""What every runtime does (`inference.runtime.Runtime`)."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
from tests.fakes.models import a_manifest
from tests.fakes.runtime import load_echo

from seatrial import zoo
from seatrial.contracts.golden import GoldenCase, parse_golden
from seatrial.contracts.manifest import InputSpec, Manifest, parse_manifest
from seatrial.server.inference.faults import Faults
from seatrial.server.inference.runtime import Runtime
from seatrial.server.inference.signature import Arrays, Signature
from seatrial.server.runtimes import onnx

CLOSE = 1e-5
"""Absolute: batches may be added up in another order than single examples."""


@dataclass
class Subject:
    """A runtime with examples for it, and the answers that are known."""

    runtime: Runtime
    manifest: Manifest
    examples: Arrays
    answers: list[tuple[float, ...]]
    tolerance: float


@cache
def bundled(folder: Path) -> Subject:
    manifest = parse_manifest((folder / "manifest.json").read_bytes())
    golden = parse_golden((folder / manifest.golden).read_bytes())
    runtime = onnx.load((folder / "model.onnx").read_bytes(), manifest)
    return Subject(
        runtime, manifest, arrays(manifest, golden.cases), [c.output for c in golden.cases], golden.tolerance
    )


def echo(manifest: Manifest, answers: list[tuple[float, ...]]) -> Subject:
    cases = [GoldenCase(input={"x": row, "t": "t" * row, "b": row == 1}, output=(0.0,)) for row in range(len(answers))]
    return Subject(load_echo(b"", manifest), manifest, arrays(manifest, tuple(cases)), answers, 0)


def arrays(manifest: Manifest, cases: tuple[GoldenCase, ...]) -> Arrays:
    accepted = Signature(manifest).accept_batch([case.input for case in cases], Faults())
    assert accepted is not None
    return accepted


INPUTS = (
    InputSpec(name="x", dtype="int64"),
    InputSpec(name="t", dtype="string"),
    InputSpec(name="b", dtype="bool"),
)
SUBJECTS: dict[str, Callable[[], Subject]] = {
    "echo regression": lambda: echo(a_manifest(*INPUTS), [(0,), (3,), (4,), (6,)]),
    "echo classification": lambda: echo(
        a_manifest(*INPUTS, classes=("a", "b", "c")), [(1, 0, 0), (1, 0, 0), (0, 1, 0)]
    ),
    **{f"onnx {folder.name}": partial(bundled, folder) for folder in zoo.folders()},
}


@pytest.fixture(params=list(SUBJECTS))
def subject(request: pytest.FixtureRequest) -> Subject:
    """Each implementation with each kind of output."""
    return SUBJECTS[request.param]()


def test_known_answers_are_given(subject: Subject) -> None:
    """One row an example in the order of the examples: probabilities by class, or one number."""
    output = subject.runtime.run(subject.examples)
    rows, classes = len(subject.answers), len(subject.manifest.output.classes)

    assert output.shape == ((rows, classes) if classes else (rows,))
    assert output.dtype.kind == "f"
    assert np.abs(output.reshape(rows, -1) - np.array(subject.answers)).max() <= subject.tolerance


def test_probabilities_are_probabilities(subject: Subject) -> None:
    """Each row of a classification is within 0 to 1 and adds up to 1."""
    if not subject.manifest.output.classes:
        return
    output = subject.runtime.run(subject.examples)

    assert output.min() >= 0
    assert output.max() <= 1 + CLOSE
    assert np.allclose(output.sum(axis=1), 1, atol=CLOSE)


def test_an_example_has_its_answer_in_any_company(subject: Subject) -> None:
    """Alone, in a batch, or in a batch turned around, it is the same."""
    together = subject.runtime.run(subject.examples)
    turned = subject.runtime.run({name: array[::-1] for name, array in subject.examples.items()})
    alone = [
        subject.runtime.run({name: array[row : row + 1] for name, array in subject.examples.items()})
        for row in range(min(5, len(together)))
    ]

    assert np.allclose(turned[::-1], together, atol=CLOSE)
    assert np.allclose(np.concatenate(alone), together[: len(alone)], atol=CLOSE)


def test_a_run_leaves_its_input_alone(subject: Subject) -> None:
    """Arrays belong to the caller."""
    before = {name: array.copy() for name, array in subject.examples.items()}
    subject.runtime.run(subject.examples)

    assert all(np.array_equal(array, before[name]) for name, array in subject.examples.items())


def test_threads_may_run_side_by_side(subject: Subject) -> None:
    """Every one gets its own answer."""
    rows = len(subject.answers)
    expected = subject.runtime.run(subject.examples)

    def one(turn: int) -> bool:
        row = turn % rows
        output = subject.runtime.run({name: array[row : row + 1] for name, array in subject.examples.items()})
        return np.allclose(output, expected[row : row + 1], atol=CLOSE)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(one, range(64)))


def test_the_configuration_is_a_constant_json_object(subject: Subject) -> None:
    """It goes into a digest, so it has names and plain values, and does not change between runs."""
    before = subject.runtime.configuration()
    subject.runtime.run(subject.examples)

    assert before == subject.runtime.configuration()
    assert json.loads(json.dumps(before)) == before
    assert before["runtime"]
