"""A model that costs what it is told to: a chain of multiplications, as long as it takes on this machine."""

import time

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

WIDTH = 256
TRIES = 5


def planted(seconds: float) -> bytes:
    """An ONNX file of a regression, `x` of 256 numbers, of which one example takes about so long in one thread."""
    links = 32
    for _ in range(TRIES):
        cost = _seconds(_chain(links))
        if abs(cost / seconds - 1) < 0.05:
            break
        links = max(1, round(links * seconds / cost))
    return _chain(links)


def _chain(links: int) -> bytes:
    weights = np.random.default_rng(1).normal(0, 1 / np.sqrt(WIDTH), (WIDTH, WIDTH)).astype(np.float32)
    nodes = []
    name = "x"
    for link in range(links):
        nodes += [
            helper.make_node("MatMul", [name, "weights"], [f"product{link}"]),
            helper.make_node("Tanh", [f"product{link}"], [f"link{link}"]),
        ]
        name = f"link{link}"
    nodes.append(helper.make_node("ReduceMean", [name, "axes"], ["y"], keepdims=0))
    graph = helper.make_graph(
        nodes,
        "planted",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N"])],
        [
            onnx.numpy_helper.from_array(weights, "weights"),
            onnx.numpy_helper.from_array(np.array([1], np.int64), "axes"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _seconds(artifact: bytes) -> float:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(artifact, options, providers=["CPUExecutionProvider"])
    example = {"x": np.ones((1, WIDTH), np.float32)}
    times = []
    for _ in range(20):
        begin = time.perf_counter()
        session.run(["y"], example)
        times.append(time.perf_counter() - begin)
    return float(np.median(times))
