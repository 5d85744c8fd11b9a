"""ONNX Runtime, the one place that imports it.

Its wheels report usage to their makers by default, from the moment of import. This server tells nobody anything, so
that is switched off first; the library's own call for it comes too late.
"""

import os
import re
from collections.abc import Mapping
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime as ort

from seatrial.contracts.manifest import Manifest
from seatrial.server.core.errors import InferenceFailed, ModelUnusable
from seatrial.server.inference.runtime import Array, Stop
from seatrial.server.runtimes.steady import is_steady

_DTYPES = {
    "tensor(float16)": "float16",
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
    "tensor(string)": "string",
    **{f"tensor({name})": name for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")},
}

SILENT = 4
"""What goes wrong is told by errors; lines of the library's own on our standard error would be a caller's to write."""

SOURCE = "onnxruntime_src/"
"""In the name of each file of its makers that the library puts before its reasons, with a function in it."""
MAX_PLACES = 3
MAX_READ = 10_000
MAX_AXES = 8
_code = re.compile(r"\[ONNXRuntimeError\] : \d{1,5} : \w{1,50} : ")


class WrongShapeError(ValueError):
    """An answer that is not one answer an example."""


class OnnxRuntime:
    """An ONNX Runtime session on the CPU; lives as long as its model is loaded.

    One thread a run, no spinning: requests, not operators, are what runs side by side.
    """

    def __init__(self, artifact: bytes, manifest: Manifest) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = SILENT
        try:
            self._session = ort.InferenceSession(artifact, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no common root but Exception
            raise ModelUnusable(f"ONNX Runtime cannot load it: {reason(error)}") from error
        self.steady = is_steady(artifact, {spec.name for spec in manifest.inputs if spec.dtype == "string"})
        self._outputs = [manifest.output.name]
        self._flat = manifest.task == "regression"
        self._width = len(manifest.output.classes) or 1
        self._check_inputs(manifest)
        self._check_output(manifest)

    def run(self, arrays: Mapping[str, Array], stop: Stop | None = None) -> Array:
        """See `Runtime.run`. Who waits for nothing but the answer pays for nothing else."""
        try:
            output: Array = (
                self._session.run(self._outputs, arrays)[0] if stop is None else self._run_until(stop, arrays)
            )
        except Exception as error:  # the same
            raise InferenceFailed("The model failed on this input.") from error
        rows = len(next(iter(arrays.values())))
        if output.shape == (rows, self._width):
            return output.reshape(rows) if self._flat else output
        if self._flat and output.shape == (rows,):
            return output
        name, wanted = self._outputs[0], (rows, self._width)
        text = f"The output '{name}' has the shape {output.shape}, not {wanted}."
        raise InferenceFailed("The model failed on this input.") from WrongShapeError(text)

    def _run_until(self, stop: Stop, arrays: Mapping[str, Array]) -> Array:
        options = ort.RunOptions()
        with stop.ending(lambda: setattr(options, "terminate", True)):
            output: Array = self._session.run(self._outputs, arrays, options)[0]
        return output

    def configuration(self) -> dict[str, Any]:
        """Library, provider and threads."""
        return {"runtime": "onnxruntime", "runtime_version": ort.__version__, "provider": "cpu", "threads": 1}

    def _check_inputs(self, manifest: Manifest) -> None:
        graph = {node.name: (_DTYPES.get(node.type, node.type), node.shape) for node in self._session.get_inputs()}
        stated = {spec.name: spec for spec in manifest.inputs}
        if set(graph) != set(stated):
            raise ModelUnusable(f"The graph has the inputs {sorted(graph)}, the manifest {sorted(stated)}.")
        for name, spec in stated.items():
            dtype, shape = graph[name]
            if dtype != spec.dtype:
                raise ModelUnusable(f"The input '{name}' is {dtype} in the graph, {spec.dtype} in the manifest.")
            if not _compatible(shape[1:], spec.shape):
                raise ModelUnusable(
                    f"The input '{name}' is {_shown(shape[1:])} in the graph, {spec.shape} in the manifest."
                )

    def _check_output(self, manifest: Manifest) -> None:
        graph = {node.name: node.shape for node in self._session.get_outputs()}
        name = manifest.output.name
        if name not in graph:
            raise ModelUnusable(f"The graph has no output '{name}'; it has {sorted(graph)}.")
        wanted = ((len(manifest.output.classes),),) if manifest.output.classes else ((), (1,))
        if not any(_compatible(graph[name][1:], shape) for shape in wanted):
            raise ModelUnusable(
                f"The output '{name}' has the shape {_shown(graph[name])}, which the manifest does not allow."
            )


def _compatible(graph: list[int | str | None], stated: tuple[int, ...]) -> bool:
    """Whether a shape of the graph (free axes are names or None) allows the stated one."""
    pairs = zip(graph, stated, strict=False)
    return len(graph) == len(stated) and all(not isinstance(axis, int) or axis == size for axis, size in pairs)


def _shown(axes: list[int | str | None]) -> str:
    """The first of them, as a list."""
    return f"{axes[:MAX_AXES]}{' and more' if len(axes) > MAX_AXES else ''}"


def reason(error: Exception) -> str:
    """The first line of an error of the library, without the places in its own source."""
    text = _code.sub("", str(error)[:MAX_READ])
    for _ in range(MAX_PLACES):
        text = _without_place(text)
    first = (text.strip() or type(error).__name__).splitlines()[0]
    return "".join(letter if letter.isprintable() else "?" for letter in first[:300])


def _without_place(text: str) -> str:
    """Without the first place in the library's source: `/onnxruntime_src/a.cc:1 void f(int) [with T = int] `."""
    found = text.find(SOURCE)
    if found < 0:
        return text
    begin = text.rfind(" ", 0, found) + 1
    _, end, rest = text[found:].partition(") ")
    if end and rest.startswith("[with "):
        rest = rest.partition("] ")[2]
    return text[:begin] + rest


def load(artifact: bytes, manifest: Manifest) -> OnnxRuntime:
    """Load an ONNX model; raises `ModelUnusable` where it does not fit its manifest. See `RuntimeLoader`."""
    return OnnxRuntime(artifact, manifest)
