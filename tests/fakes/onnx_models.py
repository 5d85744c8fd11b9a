"""Small ONNX files, made by `onnx.helper`: a regression, a classifier, and graphs around any nodes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING
Axes = Sequence[int | str | None]
FREE: Axes = ("batch", 4)
ONE: Axes = ("batch", 1)


def constant(name: str, values: Any) -> onnx.TensorProto:  # noqa: ANN401 - what numpy takes
    """An initializer; whole numbers become int64, others float32."""
    array = np.asarray(values)
    return numpy_helper.from_array(array.astype(np.float32) if array.dtype == np.float64 else array, name)


def value(name: str, axes: Axes | None, kind: int = FLOAT) -> onnx.ValueInfoProto:
    """An input or output."""
    return helper.make_tensor_value_info(name, kind, axes)


def a_model(
    nodes: Sequence[onnx.NodeProto],
    constants: Sequence[onnx.TensorProto] = (),
    *,
    inputs: Sequence[onnx.ValueInfoProto] | None = None,
    outputs: Sequence[onnx.ValueInfoProto] | None = None,
    ml: bool = False,
) -> onnx.ModelProto:
    """A model from `x`, four numbers an example, to `y`, one number an example, unless others are given."""
    graph = helper.make_graph(
        nodes, "graph", inputs or [value("x", FREE)], outputs or [value("y", ONE)], list(constants)
    )
    imports = [helper.make_opsetid("", 17)] + ([helper.make_opsetid("ai.onnx.ml", 3)] if ml else [])
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def linear(weights: Sequence[float] = (1.0, 2.0, 3.0, 4.0), bias: float = 0.5) -> onnx.ModelProto:
    """A linear regression: `y` is `x` times the weights, plus the bias."""
    column = np.asarray(weights, np.float32).reshape(-1, 1)
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["y"])]
    inputs = [value("x", ("batch", len(column)))]
    return a_model(nodes, [constant("w", column), constant("b", [bias])], inputs=inputs)


def softmax(classes: int = 3, inputs: int = 4, *, end: str = "Softmax") -> onnx.ModelProto:
    """A classifier: `probabilities` of the classes. With another operator at its end they are none."""
    weights = np.random.default_rng(1).standard_normal((inputs, classes)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["z"]), helper.make_node(end, ["z"], ["probabilities"])]
    outputs = [value("probabilities", ("batch", classes))]
    return a_model(nodes, [constant("w", weights)], inputs=[value("x", ("batch", inputs))], outputs=outputs)


def forest(*, zipmap: bool = False, labels: Sequence[str] = ("no", "yes")) -> onnx.ModelProto:
    """A classifier as scikit-learn's converter makes them: labels and probabilities; with `zipmap`, as maps."""
    classifier = helper.make_node(
        "LinearClassifier",
        ["x"],
        ["label", "scores"],
        domain="ai.onnx.ml",
        classlabels_strings=list(labels),
        coefficients=[0.1 * place for place in range(4 * len(labels))],
        intercepts=[0.0] * len(labels),
        multi_class=0,
        post_transform="SOFTMAX",
    )
    if not zipmap:
        outputs = [value("label", ("batch",), STRING), value("scores", ("batch", len(labels)))]
        return a_model([classifier], outputs=outputs, ml=True)
    to_maps = helper.make_node("ZipMap", ["scores"], ["maps"], domain="ai.onnx.ml", classlabels_strings=list(labels))
    kind = helper.make_map_type_proto(STRING, helper.make_tensor_type_proto(FLOAT, []))
    maps = helper.make_value_info("maps", helper.make_sequence_type_proto(kind))
    return a_model([classifier, to_maps], outputs=[value("label", ("batch",), STRING), maps], ml=True)


def answers(model: onnx.ModelProto, rows: Sequence[Sequence[float]]) -> list[list[float]]:
    """What the first output is by another implementation than the server's."""
    (output,) = ReferenceEvaluator(model).run(None, {"x": np.asarray(rows, np.float32)})
    return np.asarray(output, np.float64).tolist()  # type: ignore[no-any-return]


def counted() -> onnx.ModelProto:
    """A loop that goes round as often as the sum of the example says: cheap for small numbers, else endless."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["still"]), helper.make_node("Identity", ["a"], ["same"])],
        "body",
        [value("i", (), INT64), value("on", (), TensorProto.BOOL), value("a", ONE)],
        [value("still", (), TensorProto.BOOL), value("same", ONE)],
    )
    nodes = [
        helper.make_node("ReduceSum", ["x", "axis"], ["sum"], keepdims=1),
        helper.make_node("ReduceMax", ["sum"], ["top"], keepdims=0),
        helper.make_node("Cast", ["top"], ["times"], to=INT64),
        helper.make_node("Loop", ["times", "yes", "sum"], ["y"], body=body),
    ]
    return a_model(nodes, [constant("axis", [1]), constant("yes", np.array(True))])  # noqa: FBT003 - numpy's


def sized(operator: str) -> onnx.ModelProto:
    """A regression that makes an array as large as the example says, and takes its largest value."""
    make = helper.make_node
    begin = [make("ReduceSum", ["x", "axis"], ["sum"], keepdims=1), make("ReduceMax", ["sum"], ["top"], keepdims=0)]
    begin += [make("Cast", ["top"], ["times"], to=INT64), make("Reshape", ["times", "axis"], ["size"])]
    middle = {
        "ConstantOfShape": make("ConstantOfShape", ["size"], ["big"]),
        "Expand": make("Expand", ["top", "size"], ["big"]),
        "Range": make("Range", ["zero", "times", "one"], ["big"]),
        "Tile": make("Tile", ["some", "size"], ["big"]),
    }[operator]
    end = [make("Cast", ["big"], ["wide"], to=FLOAT), make("ReduceSum", ["wide"], ["whole"], keepdims=0)]
    end += [make("Mul", ["whole", "nothing"], ["none"]), make("Add", ["sum", "none"], ["y"])]
    constants = [constant("axis", [1]), constant("zero", np.array(0)), constant("one", np.array(1))]
    constants += [constant("some", [1.0]), constant("nothing", np.array(0.0))]
    return a_model([*begin, middle, *end], constants)
