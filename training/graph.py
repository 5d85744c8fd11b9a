"""A small writer of ONNX graphs: one flat graph, its weights inside the file."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

Tensor: TypeAlias = tuple[int, Sequence[str | int]]

OPSET = 18
IR_VERSION = 10


class Graph:
    """Collects nodes and constants, then makes them a model."""

    def __init__(self) -> None:
        """Start empty."""
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        """Add a constant and return its name."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def add(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:  # noqa: ANN401 - ONNX's own
        """Add a node with one output and return the output's name."""
        name = name or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def split(self, name: str, sizes: list[int]) -> list[str]:
        """Split a tensor along its last axis."""
        parts = [f"{name}_part_{index}" for index in range(len(sizes))]
        self.nodes.append(helper.make_node("Split", [name, self.constant(sizes, np.int64)], parts, axis=-1))
        return parts

    def finish(
        self,
        name: str,
        inputs: Mapping[str, Tensor],
        outputs: Mapping[str, Tensor],
    ) -> bytes:
        """Check the graph and return the model's file; inputs and outputs tell each tensor's type and shape."""
        given, answers = (
            [helper.make_tensor_value_info(key, kind, shape) for key, (kind, shape) in side.items()]
            for side in (inputs, outputs)
        )
        model = helper.make_model(
            helper.make_graph(self.nodes, name, given, answers, self.constants),
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="seatrial",
        )
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString())
