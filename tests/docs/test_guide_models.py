"""The models of the how-to pages: each file answers as the framework that trained it, which no test needs."""

import json
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from seatrial.contracts.digest import digest_of
from seatrial.contracts.golden import Golden, parse_golden
from seatrial.contracts.manifest import InputSpec, Manifest, OutputSpec
from seatrial.server.inference.faults import Faults
from seatrial.server.inference.signature import Signature
from seatrial.server.runtimes.onnx import load

ROOT = Path(__file__).resolve().parents[2]
GUIDES = ROOT / "docs" / "how-to"
NAMES = {"from-scikit-learn": "iris", "from-pytorch": "penguins", "from-xgboost": "tumours"}

every_guide = pytest.mark.parametrize("guide", NAMES)


def graph_of(guide: str) -> onnx.ModelProto:
    return onnx.load(GUIDES / guide / "model.onnx", load_external_data=False)


def tensor(value: onnx.ValueInfoProto) -> dict[str, Any]:
    """Type and shape of one example, as the graph states them."""
    kind = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name
    return {"dtype": dtype, "shape": tuple(axis.dim_value for axis in kind.shape.dim[1:])}


def recorded(guide: str) -> Golden:
    return parse_golden((GUIDES / guide / "recorded.json").read_bytes())


def stated(guide: str) -> dict[str, Any]:
    return tomllib.loads((GUIDES / guide / "manifest.toml").read_text(encoding="utf-8"))


@cache
def manifest_of(guide: str) -> Manifest:
    """What the author of the model says, completed by what the graph tells."""
    said = stated(guide)
    tensors = {value.name: tensor(value) for value in graph_of(guide).graph.input}
    return Manifest(
        name=NAMES[guide],
        task="classification" if "classes" in said["output"] else "regression",
        inputs=tuple(InputSpec(**tensors[entry["name"]], **entry) for entry in said["inputs"]),
        output=OutputSpec(**said["output"]),
        digest=digest_of((GUIDES / guide / "model.onnx").read_bytes()),
        licence=said["licence"],
        description=said["description"],
    )


def answers(guide: str, examples: list[Any]) -> NDArray[Any]:
    """What the server's own reader and runtime make of them, a row an example."""
    manifest = manifest_of(guide)
    arrays = Signature(manifest).accept_batch(examples, Faults())
    assert arrays is not None
    output: NDArray[Any] = load((GUIDES / guide / "model.onnx").read_bytes(), manifest).run(arrays)
    return output.reshape(len(examples), -1)


@every_guide
def test_the_file_answers_as_its_framework_did(guide: str) -> None:
    """In one batch and one by one, within the tolerance of the record."""
    golden = recorded(guide)
    examples = [case.input for case in golden.cases]
    expected = np.array([case.output for case in golden.cases])
    together = answers(guide, examples)
    alone = np.concatenate([answers(guide, [example]) for example in examples])

    assert together.shape == alone.shape == expected.shape
    assert np.abs(together - expected).max() <= golden.tolerance
    assert np.abs(alone - expected).max() <= golden.tolerance


@every_guide
def test_the_record_can_tell_a_wrong_answer(guide: str) -> None:
    """Forty inputs or more, answers that differ, a tolerance far below what they differ by, and the truth of each."""
    golden = recorded(guide)
    outputs = np.array([case.output for case in golden.cases])

    assert len(golden.cases) >= 40
    assert golden.tolerance <= 1e-4 * outputs.std(axis=0).min()
    if classes := manifest_of(guide).output.classes:
        assert {case.label for case in golden.cases} == set(classes)


@pytest.mark.parametrize("guide", ["from-scikit-learn", "from-xgboost"])
def test_classes_have_their_names(guide: str) -> None:
    """In the order of the graph's columns: nine of ten answers are the truth."""
    classes, cases = manifest_of(guide).output.classes, recorded(guide).cases
    rows = answers(guide, [case.input for case in cases])
    right = [classes[int(row.argmax())] == case.label for row, case in zip(rows, cases, strict=True)]

    assert sum(right) >= 0.9 * len(cases)


@every_guide
def test_the_file_is_small_and_whole(guide: str) -> None:
    """Below 200 kB, its weights within it, only operators of ONNX itself, no trace of where it was made."""
    file, model = GUIDES / guide / "model.onnx", graph_of(guide)
    onnx.checker.check_model(model, full_check=True)

    assert file.stat().st_size < 200_000
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx", "ai.onnx.ml"}
    assert {entry.domain for entry in model.opset_import} <= {"", "ai.onnx", "ai.onnx.ml"}
    assert all(weights.data_location == onnx.TensorProto.DEFAULT for weights in model.graph.initializer)
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)


@every_guide
def test_batches_may_have_any_size(guide: str) -> None:
    """The first axis of each input and output is free."""
    graph = graph_of(guide).graph
    first = [value.type.tensor_type.shape.dim[0] for value in (*graph.input, *graph.output)]

    assert not any(axis.HasField("dim_value") for axis in first)


@every_guide
def test_the_page_shows_the_manifest(guide: str) -> None:
    """As it is committed, and the commands name the model that the card names."""
    page = (GUIDES / f"{guide}.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)

    assert tomllib.loads(shown) == stated(guide)
    assert f"--name {NAMES[guide]} --manifest manifest.toml" in page
    assert f"scripts/train {NAMES[guide]}" in (GUIDES / guide / "card.md").read_text(encoding="utf-8")
    assert (ROOT / "training" / NAMES[guide] / "train.py").is_file()


@every_guide
def test_the_answer_of_the_page_is_that_of_the_model(guide: str) -> None:
    """What the page asks is one of the recorded inputs, and what it prints is what the model answers to that."""
    page = (GUIDES / f"{guide}.md").read_text(encoding="utf-8")
    (asked,) = (json.loads(body) for body in re.findall(r"--json '(.*?)' ", page))
    (printed,) = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", page, re.DOTALL))
    (row,) = answers(guide, [asked["data"]])
    (case,) = (case for case in recorded(guide).cases if asked["data"] in (case.input, *case.input.values()))

    assert asked["model_id"] == printed["model_id"] == f"{NAMES[guide]}:1"
    assert row == pytest.approx(case.output, abs=recorded(guide).tolerance)
    if classes := manifest_of(guide).output.classes:
        assert printed["prediction"] == classes[int(row.argmax())]
        assert printed["confidence"] == pytest.approx(row.max(), abs=1e-5)
        if "probabilities" in printed:
            assert printed["probabilities"] == pytest.approx(dict(zip(classes, row.tolist(), strict=True)), abs=1e-5)
    else:
        assert printed["prediction"] == pytest.approx(row[0], abs=1e-2)
