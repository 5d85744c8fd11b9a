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


def chain(depth: int) -> onnx.ModelProto:
    """A regression by a tree that is one path of so many levels: at each a leaf, and the next level."""
    count = 2 * depth + 1  # 2n is the level n, 2n + 1 its leaf; the last is a leaf too
    levels = range(depth)
    leaves = [*(2 * level + 1 for level in levels), 2 * depth]
    trees = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=[0] * count,
        nodes_nodeids=list(range(count)),
        nodes_featureids=[0] * count,
        nodes_modes=[part for _ in levels for part in ("BRANCH_LEQ", "LEAF")] + ["LEAF"],
        nodes_values=[0.0] * count,
        nodes_truenodeids=[place for level in levels for place in (2 * level + 1, 0)] + [0],
        nodes_falsenodeids=[place for level in levels for place in (2 * level + 2, 0)] + [0],
        target_treeids=[0] * len(leaves),
        target_nodeids=leaves,
        target_ids=[0] * len(leaves),
        target_weights=[float(place) for place in leaves],
    )
    return a_model([trees], ml=True)


def repeated(limit: float = 50.0) -> onnx.ModelProto:
    """A regression that answers each example three times where one of them is `limit` or more."""
    make = helper.make_node
    nodes = [
        make("ReduceMax", ["x"], ["top"], keepdims=0),
        make("GreaterOrEqual", ["top", "limit"], ["far"]),
        make("Cast", ["far"], ["more"], to=INT64),
        make("Mul", ["more", "two"], ["added"]),
        make("Add", ["added", "one"], ["times"]),
        make("Concat", ["times", "one"], ["repeats"], axis=0),
        make("ReduceSum", ["x", "one"], ["sum"], keepdims=1),
        make("Tile", ["sum", "repeats"], ["y"]),
    ]
    return a_model(nodes, [constant("limit", [limit]), constant("one", [1]), constant("two", [2])])
