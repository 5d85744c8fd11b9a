"""Which graphs are as much work for every example, and which are only as long as somebody wishes."""

import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from tests.fakes.hostile_files import branched, endless, with_function
from tests.fakes.onnx_models import (
    INT64,
    STRING,
    a_model,
    chain,
    constant,
    counted,
    forest,
    linear,
    sized,
    softmax,
    value,
)

from seatrial import zoo
from seatrial.server.runtimes import steady
from seatrial.server.runtimes.steady import KNOWN, is_steady

node = helper.make_node
GUIDES = Path(__file__).resolve().parents[4] / "docs" / "how-to"
REAL = [*(folder / "model.onnx" for folder in zoo.folders()), *sorted(GUIDES.glob("*/model.onnx"))]


def of(*nodes: onnx.NodeProto, constants: tuple[onnx.TensorProto, ...] = ()) -> onnx.ModelProto:
    return a_model(nodes, constants, inputs=[value("x", ("batch", 4)), value("n", ("batch",), INT64)])


AXES = constant("axes", [1])


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.parent.name)
def test_models_of_every_day_are_steady(path: Path) -> None:
    """The bundled ones, and what the guides export from scikit-learn, PyTorch and XGBoost."""
    assert is_steady(path.read_bytes())


@pytest.mark.parametrize(
    "model",
    [
        linear(),
        softmax(),
        forest(),
        of(node("Reshape", ["x", "axes"], ["y"]), constants=(AXES,)),
        of(node("Shape", ["x"], ["size"]), node("ConstantOfShape", ["size"], ["y"])),
        of(
            node("Shape", ["x"], ["size"]),
            node("Gather", ["size", "axes"], ["one"]),
            node("Mul", ["one", "axes"], ["more"]),
            node("Expand", ["x", "more"], ["y"]),
            constants=(AXES,),
        ),
        of(node("Constant", [], ["size"], value=AXES), node("Tile", ["x", "size"], ["y"])),
        of(node("Resize", ["x", "", "axes"], ["y"]), constants=(AXES,)),
        of(node("ReduceSum", ["x"], ["y"])),
    ],
)
def test_sizes_that_come_from_shapes_and_constants_are_steady(model: onnx.ModelProto) -> None:
    """Whatever is computed from them."""
    assert is_steady(model.SerializeToString())


def twice_named() -> bytes:
    """A constant of two names, of which the last counts; the first is that of something computed."""
    model = of(node("Abs", ["n"], ["size"]), node("ConstantOfShape", ["size"], ["y"]), constants=(AXES,))
    tensor = model.graph.initializer[0]
    name = helper.make_tensor("size", INT64, [1], [1])
    for part in ("data_type", "dims", "int64_data"):
        name.ClearField(part)
    both: bytes = name.SerializeToString() + tensor.SerializeToString()
    del model.graph.initializer[:]
    graph: bytes = b"\x2a" + bytes([len(both)]) + both
    whole: bytes = model.SerializeToString()
    return whole + b"\x3a" + bytes([len(graph)]) + graph


@pytest.mark.parametrize(
    "content",
    [
        *(
            model.SerializeToString()
            for model in (
                endless(),
                counted(),
                branched(),
                with_function(""),
                *map(sized, ("ConstantOfShape", "Expand", "Range", "Tile")),
                of(node("Reshape", ["x", "n"], ["y"])),
                of(node("Slice", ["x", "axes", "n"], ["y"]), constants=(AXES,)),
                of(node("Resize", ["x", "", "", "n"], ["y"])),
                of(node("Abs", ["n"], ["m"]), node("TopK", ["x", "m"], ["y", "places"])),
                of(node("OneHot", ["n", "n", "x"], ["y"])),
                of(node("Mod", ["x", "x"], ["y"], fmod=1)),
                of(node("Sin", ["x"], ["y"])),
                of(node("Cos", ["x"], ["y"])),
                of(node("NonZero", ["x"], ["y"])),
                of(node("Compress", ["x", "n"], ["y"])),
                of(node("StringConcat", ["x", "x"], ["y"])),
                of(node("Evil", ["x"], ["y"])),
                of(node("Abs", ["x"], ["y"], domain="com.evil")),
                of(node("Tile", ["x", "late"], ["y"]), node("Constant", [], ["late"], value=AXES)),
            )
        ),
        twice_named(),
        b"\x3a\x05\x0a",
        b"\x3b\x3c",
        b"\xff" * 20,
    ],
)
def test_what_may_take_any_time_is_not_steady(content: bytes) -> None:
    """Loops and branches, sizes that an example says, what is not known, and what cannot be read."""
    assert not is_steady(content)


TEXTS = [value("t", ("batch", 1), STRING)]
ENCODE = node("OneHotEncoder", ["u"], ["y"], domain="ai.onnx.ml", cats_strings=["a", "b"])


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([node("Identity", ["t"], ["u"]), ENCODE], True),
        ([node("Concat", ["t", "t"], ["u"], axis=1), ENCODE], True),
        ([node("LabelEncoder", ["t"], ["n"], domain="ai.onnx.ml"), node("Expand", ["n", "axes"], ["y"])], True),
        ([node("Expand", ["t", "axes"], ["u"]), ENCODE], False),
        ([node("Gather", ["t", "axes"], ["u"]), ENCODE], False),
        ([*(node("Concat", [f"t{n}" if n else "t"] * 2, [f"t{n + 1}"], axis=1) for n in range(7))], False),
    ],
)
def test_texts_may_be_read_but_not_copied(nodes: list[onnx.NodeProto], expected: bool) -> None:  # noqa: FBT001
    """A caller may send long ones."""
    content = a_model(nodes, (AXES,), inputs=TEXTS, ml=True).SerializeToString()

    assert is_steady(content, {"t"}) == expected
    assert is_steady(content)


def test_trees_are_steady_up_to_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree may be a single long path, on which no known input has gone."""
    content = (GUIDES / "from-xgboost" / "model.onnx").read_bytes()
    monkeypatch.setattr(steady, "MAX_TREES", len(content) // 2)

    assert not is_steady(content)


def test_trees_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many nodes, each of which is small, the paths are as long as those of one."""
    trees = chain(100).graph.node[0]
    monkeypatch.setattr(steady, "MAX_TREES", trees.ByteSize() + 100)
    second = onnx.NodeProto()
    second.CopyFrom(trees)
    second.output[0] = "z"

    assert is_steady(a_model([trees], ml=True).SerializeToString())
    assert not is_steady(a_model([trees, second], ml=True).SerializeToString())


def test_every_operator_is_one_of_onnx() -> None:
    """A name that is misspelt would be of no use to anybody."""
    assert {kind.decode() for kind in KNOWN} <= {schema.name for schema in onnx.defs.get_all_schemas()}


def test_weights_are_passed_over() -> None:
    """A large file costs no more than its nodes do: nothing of it is copied."""
    content = linear(np.zeros(1_000_000).tolist()).SerializeToString()
    tracemalloc.start()
    try:
        assert is_steady(content)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
