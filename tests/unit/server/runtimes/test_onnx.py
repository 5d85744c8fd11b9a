"""ONNX Runtime: what fits a manifest, and each way not to. What every runtime does is in tests/ports."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from onnx import helper
from tests.fakes.onnx_models import INT64, a_model, constant, counted, repeated, sized, value

from seatrial import zoo
from seatrial.contracts.manifest import InputSpec, Manifest, OutputSpec, parse_manifest
from seatrial.server.core.errors import InferenceFailed, ModelUnusable
from seatrial.server.inference.runtime import Stop
from seatrial.server.runtimes.onnx import OnnxRuntime, load, reason

GEOCLIMATE = zoo.ROOT / "geoclimate"
DIGITS = zoo.ROOT / "digits"
FEATURES = ["latitude", "longitude", "scenario", "year"]


def manifest_of(folder: Path) -> Manifest:
    return parse_manifest((folder / "manifest.json").read_bytes())


def with_input(manifest: Manifest, place: int, **changes: object) -> Manifest:
    inputs = list(manifest.inputs)
    inputs[place] = replace(inputs[place], **changes)  # type: ignore[arg-type]
    return replace(manifest, inputs=tuple(inputs))


def with_classes(manifest: Manifest, count: int) -> Manifest:
    return replace(manifest, task="classification", output=replace(manifest.output, classes=tuple(range(count))))


def as_regression(manifest: Manifest) -> Manifest:
    return replace(manifest, task="regression", output=OutputSpec(name=manifest.output.name))


@pytest.mark.parametrize("folder", zoo.folders(), ids=lambda folder: folder.name)
def test_bundled_graphs_fit_their_manifests(folder: Path) -> None:
    """They load, and tell how they run."""
    runtime = load((folder / "model.onnx").read_bytes(), manifest_of(folder))

    assert isinstance(runtime, OnnxRuntime)
    assert runtime.configuration() == {
        "runtime": "onnxruntime",
        "runtime_version": ort.__version__,
        "provider": "cpu",
        "threads": 1,
    }


@pytest.mark.parametrize("artifact", [b"", b"not a model", b"\x80\x04pickle"])
def test_bytes_that_are_no_model_are_refused(artifact: bytes) -> None:
    """Whatever ONNX Runtime raises becomes one error of ours."""
    with pytest.raises(ModelUnusable, match="ONNX Runtime cannot load it"):
        load(artifact, manifest_of(GEOCLIMATE))


@pytest.mark.parametrize(
    ("folder", "change", "reason"),
    [
        (
            GEOCLIMATE,
            lambda manifest: with_input(manifest, 0, name="lat"),
            f"The graph has the inputs {FEATURES}, the manifest ['lat', 'longitude', 'scenario', 'year'].",
        ),
        (
            GEOCLIMATE,
            lambda manifest: replace(manifest, inputs=manifest.inputs[:2]),
            f"The graph has the inputs {FEATURES}, the manifest ['latitude', 'longitude'].",
        ),
        (
            GEOCLIMATE,
            lambda manifest: with_input(manifest, 1, dtype="float64"),
            "The input 'longitude' is float32 in the graph, float64 in the manifest.",
        ),
        (
            GEOCLIMATE,
            lambda manifest: with_input(manifest, 2, dtype="int32"),
            "The input 'year' is int64 in the graph, int32 in the manifest.",
        ),
        (
            DIGITS,
            lambda manifest: with_input(manifest, 0, shape=(28, 28)),
            "The input 'image' is [784] in the graph, (28, 28) in the manifest.",
        ),
        (
            DIGITS,
            lambda manifest: with_input(manifest, 0, shape=(783,)),
            "The input 'image' is [784] in the graph, (783,) in the manifest.",
        ),
        (
            DIGITS,
            lambda manifest: replace(manifest, output=replace(manifest.output, name="logits")),
            "The graph has no output 'logits'; it has ['probabilities'].",
        ),
        (DIGITS, lambda manifest: with_classes(manifest, 9), "which the manifest does not allow."),
        (DIGITS, as_regression, "which the manifest does not allow."),
        (GEOCLIMATE, lambda manifest: with_classes(manifest, 2), "which the manifest does not allow."),
    ],
)
def test_a_manifest_that_does_not_fit_the_graph_is_refused(
    folder: Path, change: Callable[[Manifest], Manifest], reason: str
) -> None:
    """The error names the input or output, and what each of the two says of it."""
    with pytest.raises(ModelUnusable) as caught:
        load((folder / "model.onnx").read_bytes(), change(manifest_of(folder)))

    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"latitude": np.zeros(1, np.float32)},
        {
            "latitude": np.zeros(1, np.float64),
            "longitude": np.zeros(1, np.float32),
            "year": np.zeros(1, np.int64),
            "scenario": np.zeros(1, np.int64),
        },
        {
            "latitude": np.zeros((1, 2, 3), np.float32),
            "longitude": np.zeros(1, np.float32),
            "year": np.zeros(1, np.int64),
            "scenario": np.zeros(1, np.int64),
        },
    ],
)
def test_a_run_that_fails_tells_nothing_of_the_graph(arrays: dict[str, np.ndarray]) -> None:
    """Callers hear that the model failed; the cause is for the log."""
    runtime = load((GEOCLIMATE / "model.onnx").read_bytes(), manifest_of(GEOCLIMATE))

    with pytest.raises(InferenceFailed) as caught:
        runtime.run(arrays)
    assert str(caught.value) == "The model failed on this input."
    assert caught.value.__cause__ is not None


ANY = Manifest(
    name="it",
    task="regression",
    inputs=(InputSpec(name="x", dtype="float32", shape=(4,)),),
    output=OutputSpec(name="y"),
    digest="sha256:" + "0" * 64,
)


def test_a_run_without_an_end_is_ended() -> None:
    """From another thread, at the next operator: a loop that would go on for years."""
    runtime, stop = load(counted().SerializeToString(), ANY), Stop()
    small, large = (np.full((1, 4), value, np.float32) for value in (1, 1e18))

    assert runtime.run({"x": small}, stop).tolist() == [4.0]
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(runtime.run, {"x": large}, stop)
        assert not running.done()
        stop.set()
        with pytest.raises(InferenceFailed):
            running.result(20)


def test_what_is_stopped_before_it_begins_never_does() -> None:
    """It fails at its first operator."""
    runtime, stop = load(sized("ConstantOfShape").SerializeToString(), ANY), Stop()
    stop.set()

    with pytest.raises(InferenceFailed):
        runtime.run({"x": np.full((1, 4), 1e9, np.float32)}, stop)


def test_another_number_of_answers_is_no_answer() -> None:
    """A graph whose rows depend on a value would give callers each other's answers; the cause is for the log."""
    runtime = load(repeated().SerializeToString(), ANY)
    few, more = (np.full((2, 4), value, np.float32) for value in (1, 99))

    assert runtime.run({"x": few}).tolist() == [4.0, 4.0]
    for stop in (None, Stop()):
        with pytest.raises(InferenceFailed, match=r"^The model failed on this input\.$") as caught:
            runtime.run({"x": more}, stop)
        assert str(caught.value.__cause__) == "The output 'y' has the shape (6, 1), not (2, 1)."


def test_another_number_of_classes_is_no_answer() -> None:
    """Where the graph leaves it free, and a value says how many there are."""
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["top"], keepdims=0),
        helper.make_node("Cast", ["top"], ["count"], to=INT64),
        helper.make_node("Reshape", ["count", "one"], ["end"]),
        helper.make_node("Slice", ["x", "none", "end", "one"], ["y"]),
    ]
    outputs = [value("y", ("batch", "classes"))]
    model = a_model(nodes, [constant("one", [1]), constant("none", [0])], outputs=outputs)
    output = OutputSpec(name="y", classes=("a", "b", "c"))
    runtime = load(model.SerializeToString(), replace(ANY, task="classification", output=output))

    assert runtime.run({"x": np.full((2, 4), 3, np.float32)}).shape == (2, 3)
    with pytest.raises(InferenceFailed) as caught:
        runtime.run({"x": np.full((2, 4), 4, np.float32)})
    assert str(caught.value.__cause__) == "The output 'y' has the shape (2, 4), not (2, 3)."


@pytest.mark.parametrize("keepdims", [0, 1])
def test_a_number_an_example_may_have_an_axis_of_its_own(keepdims: int) -> None:
    """Or none: it is the same answer."""
    nodes = [helper.make_node("ReduceMax", ["x"], ["y"], axes=[1], keepdims=keepdims)]
    model = a_model(nodes, outputs=[value("y", ("batch", 1)[: 1 + keepdims])])
    runtime = load(model.SerializeToString(), ANY)

    assert runtime.run({"x": np.eye(4, dtype=np.float32)[:3]}).tolist() == [1.0, 1.0, 1.0]


PLACE = "/onnxruntime_src/core/a.cc:274 Status a::b<T>::Init(int, int) [with T = float; U = c<d, 6>]"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"[ONNXRuntimeError] : 1 : FAIL : {PLACE} A node cannot point to itself.", "A node cannot point to itself."),
        (
            f"Exception during initialization: {PLACE} /onnxruntime_src/b.h:2 int g() Bad.",
            "Exception during initialization: Bad.",
        ),
        ("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Got \x1b[2J\nand more", "Got ?[2J"),
        ("", "RuntimeError"),
        ("a/b " * 500, "a/b " * 75),
        ("/onnxruntime_src/" + "a" * 500, "RuntimeError"),
    ],
)
def test_a_reason_is_told_without_the_place(text: str, expected: str) -> None:
    """The library's own files and functions are nobody's business; the first line is, and in printable letters."""
    assert reason(RuntimeError(text)) == expected


@pytest.mark.parametrize("part", ["/", "/onnxruntime_src/ ", "/onnxruntime_src/x ", "[ONNXRuntimeError] : 1", "[with "])
def test_a_reason_is_found_quickly_in_any_text(part: str) -> None:
    """A file may have a part in what the library says."""
    begin = time.process_time()
    reason(RuntimeError(part * 10**5))

    assert time.process_time() - begin < 0.1
