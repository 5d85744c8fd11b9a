"""What an inspection makes of a file: the manifest, read off the graph and completed; golden answers; each refusal.

Here it runs in the test's own process, on files that do no harm there. Those that might are in tests/security.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import onnx
import orjson
import pytest
from onnx import TensorProto, helper
from tests.fakes.hostile_files import REFUSED, Make
from tests.fakes.models import digest_of
from tests.fakes.onnx_models import FLOAT, INT64, STRING, a_model, answers, constant, forest, linear, softmax, value

from seatrial import zoo
from seatrial.contracts.golden import MOST_BYTES, Golden, GoldenCase, golden_as_dict, parse_golden
from seatrial.contracts.manifest import (
    MOST_CLASSES,
    MOST_INPUTS,
    InputDraft,
    InputSpec,
    ManifestDraft,
    OutputDraft,
    OutputSpec,
    parse_draft,
    parse_manifest,
)
from seatrial.server.core.errors import ModelRefused
from seatrial.server.registry.candidate import Candidate, Inspected
from seatrial.server.runtimes.inspection import graph
from seatrial.server.runtimes.inspection.draw import extremes
from seatrial.server.runtimes.inspection.examine import examine
from seatrial.server.runtimes.inspection.messages import Report
from seatrial.server.runtimes.inspector import ProcessInspector

NOTHING = ManifestDraft()
MANIFEST = (zoo.ROOT / "geoclimate" / "manifest.json").read_bytes()
DANGEROUS = ("a tree too deep", "bomb", "endless", "nested in bytes")
node = helper.make_node


def inspect(model: onnx.ModelProto | bytes, draft: ManifestDraft = NOTHING, golden: Golden | None = None) -> Report:
    content = model if isinstance(model, bytes) else model.SerializeToString()
    return examine(content, Candidate("it", digest_of(content), draft, golden))


def accepted(model: onnx.ModelProto | bytes, draft: ManifestDraft = NOTHING, golden: Golden | None = None) -> Inspected:
    report = inspect(model, draft, golden)
    assert report.verdict == "accepted", report
    assert report.inspected is not None
    return report.inspected


def two_outputs() -> onnx.ModelProto:
    """A mean and a spread."""
    nodes = [node("ReduceMean", ["x"], ["mean"], axes=[1]), node("ReduceMax", ["x"], ["top"], axes=[1])]
    return a_model(nodes, outputs=[value("mean", ("batch", 1)), value("top", ("batch", 1))])


def mixed() -> onnx.ModelProto:
    """A number, a whole number and a text an example; `z` is the first of them, and a free axis of another."""
    nodes = [node("Cast", ["n"], ["m"], to=FLOAT), node("Add", ["a", "m"], ["z"])]
    inputs = [value("a", ("batch", 1)), value("n", ("batch", 1), INT64)]
    return a_model(nodes, inputs=inputs, outputs=[value("z", ("batch", 1))])


def free_axis() -> onnx.ModelProto:
    """The sum of as many numbers as come."""
    nodes = [node("ReduceSum", ["x", "axis"], ["y"], keepdims=1)]
    return a_model(nodes, [constant("axis", [1])], inputs=[value("x", ("batch", "length"))])


def free_classes() -> onnx.ModelProto:
    """A classifier that does not say of how many classes."""
    model = softmax()
    model.graph.output[0].type.tensor_type.shape.dim[1].ClearField("dim_value")
    return model


def documented() -> onnx.ModelProto:
    """A regression with a description."""
    model = linear()
    model.doc_string = "Price of a\x1b[31m house"
    return model


X = InputSpec(name="x", dtype="float32", shape=(4,))
LABELLED = OutputSpec(name="scores", classes=("no", "yes"))


@pytest.mark.parametrize(
    ("model", "draft", "task", "inputs", "output"),
    [
        (linear(), NOTHING, "regression", (X,), OutputSpec(name="y")),
        (softmax(), NOTHING, "classification", (X,), OutputSpec(name="probabilities", classes=(0, 1, 2))),
        (forest(), NOTHING, "classification", (X,), LABELLED),
        (
            linear(),
            ManifestDraft(
                inputs=(InputDraft(name="x", units="m", min=0, max=1, shape=(4,), dtype="float32"),),
                output=OutputDraft(units="EUR"),
            ),
            "regression",
            (replace(X, units="m", min=0, max=1),),
            OutputSpec(name="y", units="EUR"),
        ),
        (
            forest(),
            ManifestDraft(task="classification", output=OutputDraft(classes=("stays", "leaves"))),
            "classification",
            (X,),
            OutputSpec(name="scores", classes=("stays", "leaves")),
        ),
        (
            two_outputs(),
            ManifestDraft(output=OutputDraft(name="top")),
            "regression",
            (X,),
            OutputSpec(name="top"),
        ),
        (
            mixed(),
            NOTHING,
            "regression",
            (InputSpec(name="a", dtype="float32", shape=(1,)), InputSpec(name="n", dtype="int64", shape=(1,))),
            OutputSpec(name="z"),
        ),
        (
            mixed(),
            ManifestDraft(inputs=(InputDraft(name="n", categories=("low", "high")), InputDraft(name="a"))),
            "regression",
            (
                InputSpec(name="n", dtype="int64", shape=(1,), categories=("low", "high")),
                InputSpec(name="a", dtype="float32", shape=(1,)),
            ),
            OutputSpec(name="z"),
        ),
        (
            mixed(),
            ManifestDraft(inputs=(InputDraft(name="n", min=3, max=5),)),
            "regression",
            (
                InputSpec(name="a", dtype="float32", shape=(1,)),
                InputSpec(name="n", dtype="int64", shape=(1,), min=3, max=5),
            ),
            OutputSpec(name="z"),
        ),
        (
            free_axis(),
            ManifestDraft(inputs=(InputDraft(name="x", shape=(7,)),)),
            "regression",
            (replace(X, shape=(7,)),),
            OutputSpec(name="y"),
        ),
        (
            free_classes(),
            ManifestDraft(output=OutputDraft(classes=("a", "b", "c"))),
            "classification",
            (X,),
            OutputSpec(name="probabilities", classes=("a", "b", "c")),
        ),
    ],
)
def test_a_manifest_is_read_off_the_graph_and_completed(
    model: onnx.ModelProto, draft: ManifestDraft, task: str, inputs: tuple[InputSpec, ...], output: OutputSpec
) -> None:
    """Inputs are in the order of the draft where it has them all; what nobody states is the graph's."""
    found = accepted(model, draft).manifest

    assert (found.task, found.inputs, found.output) == (task, inputs, output)


def test_the_description_is_the_graphs_own_where_nobody_gives_one() -> None:
    """Without what would do something to a terminal."""
    assert accepted(documented()).manifest.description == "Price of a?[31m house"
    assert accepted(documented(), ManifestDraft(description="mine")).manifest.description == "mine"


@pytest.mark.parametrize(
    ("model", "draft", "pointer", "expected", "received"),
    [
        (linear(), {"inputs": [{"name": "z"}]}, "/manifest/inputs/0/name", "x", "z"),
        (linear(), {"inputs": [{"name": "x"}, {"name": "x"}]}, "/manifest/inputs", "each input once", "2 inputs"),
        (linear(), {"inputs": [{"name": "x", "dtype": "int64"}]}, "/manifest/inputs/0/dtype", "float32", "int64"),
        (linear(), {"inputs": [{"name": "x", "shape": [5]}]}, "/manifest/inputs/0/shape", "(4)", "(5)"),
        (linear(), {"inputs": [{"name": "x", "shape": []}]}, "/manifest/inputs/0/shape", "(4)", "()"),
        (linear(), {"output": {"name": "z"}}, "/manifest/output/name", "y", "z"),
        (linear(), {"output": {"classes": ["a"]}}, "/manifest/output/classes", "a probability of each class an example",
         "the shape (free, 1)"),
        (linear(), {"task": "classification"}, "/manifest/task", "a probability of each class an example",
         "the shape (free, 1)"),
        (linear(), {"task": "regression", "output": {"classes": ["a"]}}, "/manifest/output/classes", "none", "1"),
        (softmax(), {"task": "regression"}, "/manifest/task", "one number an example, as of a regression",
         "the shape (free, 3)"),
        (softmax(), {"output": {"classes": ["a", "b"]}}, "/manifest/output/classes", "3", "2"),
        (softmax(), {"output": {"classes": ["a", "b", "a"]}}, "/manifest/output/classes", "each class once",
         "3 classes"),
        (softmax(), {"output": {"classes": [1, "1", 2]}}, "/manifest/output/classes", "each class once", "3 classes"),
        (softmax(), {"output": {"classes": ["a", "b", "\u001b"]}}, "/manifest/output/classes",
         "printable names of at most 128", "one that is not"),
        (forest(), {"output": {"name": "label"}}, "/model", "floating-point numbers", "string"),
        (two_outputs(), {}, "/manifest/output/name", "one of mean, top", "nothing"),
        (free_axis(), {}, "/model", "a shape without free axes", "(free)"),
        (free_classes(), {}, "/manifest/output/classes", "the classes in their order", "nothing"),
    ],
)  # fmt: skip
def test_a_manifest_that_contradicts_the_graph_is_refused(
    model: onnx.ModelProto, draft: dict[str, Any], pointer: str, expected: str, received: str
) -> None:
    """The fault points to what was said, and tells what the graph says."""
    report = inspect(model, parse_draft(json.dumps(draft).encode()))

    assert report.verdict == "refused"
    assert [(fault.pointer, fault.expected, fault.received) for fault in report.faults] == [
        (pointer, expected, received)
    ]


@pytest.mark.parametrize(
    ("draft", "pointer"),
    [
        (InputDraft(name="x", min=2, max=1), "/manifest/inputs/0"),
        (InputDraft(name="x", categories=("a", "b")), "/manifest/inputs/0"),
    ],
)
def test_an_input_that_contradicts_itself_is_refused(draft: InputDraft, pointer: str) -> None:
    """The fault points to it."""
    report = inspect(linear(), ManifestDraft(inputs=(draft,)))

    assert [fault.pointer for fault in report.faults] == [pointer]


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        (lambda model: setattr(kind_of(model), "elem_type", TensorProto.BFLOAT16), "The input 'x' has a dtype that is"),
        (lambda model: kind_of(model).ClearField("shape"), "The input 'x' has no batch axis."),
        (
            lambda model: setattr(kind_of(model).shape.dim[1], "dim_value", 0),
            "One example of the input 'x' has an absurd",
        ),
        (
            lambda model: setattr(kind_of(model).shape.dim[1], "dim_value", 10**12),
            "One example of the input 'x' has an",
        ),
        (lambda model: model.graph.ClearField("output"), "The graph has no output of floating-point numbers."),
    ],
)
def test_a_signature_that_is_not_served_is_refused(change: Callable[[onnx.ModelProto], object], detail: str) -> None:
    """It says which input or output, and why."""
    model = linear()
    change(model)
    report = inspect(model)

    assert (report.verdict, report.faults[0].pointer) == ("refused", "/model")
    assert report.faults[0].detail.startswith(detail)


def kind_of(model: onnx.ModelProto) -> Any:  # noqa: ANN401 - a message
    return model.graph.input[0].type.tensor_type


@pytest.mark.parametrize(
    ("draft", "pointer"),
    [
        ({"output": OutputDraft(units="m\x1b[2J")}, "/manifest/output/units"),
        ({"metrics": {"a\nb": 1.0}}, "/manifest/metrics/a?b"),
        ({"inputs": (InputDraft(name="x", units="\u202ekm"),)}, "/manifest/inputs/0/units"),
        ({"inputs": (InputDraft(name="x", categories=("low", "h\x07")),)}, "/manifest/inputs/0/categories/1"),
    ],
)
def test_words_that_cannot_be_printed_are_refused(draft: dict[str, Any], pointer: str) -> None:
    """Units, categories and figures are compared by programs; none is changed on its way in."""
    report = inspect(linear(), ManifestDraft(**draft))

    assert (report.verdict, [fault.pointer for fault in report.faults]) == ("refused", [pointer])


def test_texts_for_people_are_on_one_line() -> None:
    """Descriptions and licences may come with breaks; what else cannot be printed is shown as such."""
    draft = ManifestDraft(
        description="Price\n  of a\thouse\x1b[31m",
        licence="MIT\r\n\u202eas is",
        inputs=(InputDraft(name="x", description="\nfour\nnumbers\n"),),
    )
    manifest = accepted(linear(), draft).manifest

    assert (manifest.description, manifest.licence) == ("Price of a house?[31m", "MIT ?as is")
    assert manifest.inputs[0].description == "four numbers"


@pytest.mark.parametrize("place", ["input", "node", "document", "domain", "weights"])
def test_a_text_that_is_no_utf_8_is_refused(place: str) -> None:
    """Wherever it stands; the library hands it out as bytes."""
    model = linear()
    model.doc_string = "@@" if place == "document" else ""
    model.graph.node[0].name = "@@" if place == "node" else ""
    model.graph.node[0].domain = "@@" if place == "domain" else ""
    model.graph.initializer[0].name = "@@" if place == "weights" else "w"
    model.graph.input[0].name = "@@" if place == "input" else "x"
    report = inspect(model.SerializeToString().replace(b"@@", b"\xff\xfe"))

    assert [fault.detail for fault in report.faults] == ["A name or a text is not UTF-8."]


def test_a_label_that_is_no_utf_8_is_refused() -> None:
    """It would be shown to callers, and written into answers."""
    report = inspect(forest(labels=("no", "@@")).SerializeToString().replace(b"@@", b"\xff\xfe"))

    assert [fault.detail for fault in report.faults] == ["A label is not UTF-8."]


@pytest.mark.parametrize("model", [forest(labels=("no", "y" * 1001)), forest(zipmap=True, labels=("no", "y" * 1001))])
def test_a_long_text_in_the_graph_is_refused(model: onnx.ModelProto) -> None:
    """Nobody has such a label."""
    assert [fault.received for fault in inspect(model).faults] == ["1001 bytes"]


def test_a_shape_without_an_end_is_shown_in_part() -> None:
    """A graph may have as many axes as it likes."""
    model = linear()
    for _ in range(10_000):
        model.graph.output[0].type.tensor_type.shape.dim.add().dim_value = 1
    report = inspect(model)

    assert report.faults[0].received == "the shape (free, 1, 1, 1, 1, 1, 1, 1, and 9994 more)"
    assert len(repr(report)) < 1000


def test_too_many_nodes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever they are nested."""
    monkeypatch.setattr(graph, "MAX_NODES", 1)
    report = inspect(softmax())

    assert [(fault.detail, fault.received) for fault in report.faults] == [("The graph has too many nodes.", "2")]


@pytest.mark.parametrize(
    ("make", "detail"),
    [case[:2] for name, case in REFUSED.items() if not name.startswith(DANGEROUS)],
    ids=[name for name in REFUSED if not name.startswith(DANGEROUS)],
)
def test_a_hostile_file_is_refused(make: Make, detail: str) -> None:
    """Each that does no harm to who looks into it, for the reason that the server gives."""
    report = inspect(make())

    assert (report.verdict, report.faults[0].pointer) == ("refused", "/model")
    assert report.faults[0].detail.startswith(detail)


def test_missing_memory_is_no_fault_of_the_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it runs out, it is told as that."""

    def short(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(onnx.checker, "check_model", short)

    assert inspect(linear()).verdict == "starved"


def test_an_error_that_nobody_expected_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its text, harmless to show."""

    def fail(_: object) -> None:
        raise OSError("no\x1b way")

    monkeypatch.setattr(onnx.checker, "check_model", fail)
    report = inspect(linear())

    assert (report.verdict, report.summary) == ("refused", "The inspection failed: OSError: no? way")


def test_golden_answers_are_those_of_the_model() -> None:
    """Twenty, checked against another implementation, to a tolerance relative to the largest."""
    golden = accepted(linear((100.0, -20.0, 3.0, 0.5), 7.0)).golden
    right = answers(linear((100.0, -20.0, 3.0, 0.5), 7.0), [case.input["x"] for case in golden.cases])
    largest = max(abs(row[0]) for row in right)

    assert len(golden.cases) == 20
    assert golden.tolerance == pytest.approx(1e-4 * largest, rel=0.01)
    for case, row in zip(golden.cases, right, strict=True):
        assert case.output == pytest.approx(tuple(row), abs=golden.tolerance / 10)


def test_golden_answers_of_a_classification_are_probabilities() -> None:
    """To an absolute tolerance."""
    golden = accepted(softmax()).golden

    assert golden.tolerance == 1e-4
    assert {round(sum(case.output), 6) for case in golden.cases} == {1.0}


def test_golden_inputs_are_drawn_from_the_signature() -> None:
    """Within their bounds, which are the first two; from their categories; the same for the same file."""
    draft = ManifestDraft(
        inputs=(InputDraft(name="a", min=0.3337, max=0.33385), InputDraft(name="n", categories=("low", "mid", "high")))
    )
    first, second = accepted(mixed(), draft).golden, accepted(mixed(), draft).golden
    drawn = [case.input["a"] for case in first.cases]

    assert first == second
    assert drawn[:2] == [0.3337, 0.33385]
    assert all(0.3337 <= number <= 0.33385 for number in drawn)
    assert {case.input["n"] for case in first.cases} == {"low", "mid", "high"}
    assert [case.input["n"] for case in first.cases[:2]] == ["low", "high"]


@pytest.mark.parametrize(
    ("bounds", "inside"),
    [
        ({"min": 5}, lambda number: number >= 5),
        ({"max": -5}, lambda number: number <= -5),
        ({}, lambda number: -10 < number < 10),
    ],
)
@pytest.mark.parametrize("name", ["a", "n"])
def test_a_bound_of_one_side_holds(name: str, bounds: dict[str, Any], inside: Callable[[float], bool]) -> None:
    """Of floats and of whole numbers."""
    draft = ManifestDraft(inputs=(InputDraft(name=name, **bounds),))
    cases = accepted(mixed(), draft).golden.cases

    assert all(inside(case.input[name]) for case in cases)
    assert len({case.input[name] for case in cases}) > 1


def test_large_examples_make_fewer_golden_answers() -> None:
    """So that the file stays small, but one at least, which has values of more than one kind."""

    def cases(size: int) -> tuple[GoldenCase, ...]:
        return accepted(free_axis(), ManifestDraft(inputs=(InputDraft(name="x", shape=(size,)),))).golden.cases

    assert [len(case.input["x"]) for case in cases(150_000)] == [150_000] * 3
    (single,) = cases(3 * 512 * 512)
    assert (len(single.input["x"]), len(set(single.input["x"])) > 50) == (3 * 512 * 512, True)


def test_golden_answers_that_are_made_are_no_larger_than_those_that_come() -> None:
    """Whoever may read can ask for them: examples beyond 4 MiB are left out; one at least must fit."""
    words = ("a" * 200, "b" * 200)

    def inspected(count: int) -> Report:
        draft = ManifestDraft(inputs=(InputDraft(name="words", categories=words),))
        nodes = [node("Cast", ["words"], ["w"], to=FLOAT), node("ReduceSum", ["w", "axis"], ["y"])]
        inputs = [value("words", ("batch", count), INT64)]
        return inspect(a_model(nodes, [constant("axis", [1])], inputs=inputs), draft)

    some, none = inspected(5_000), inspected(50_000)

    assert some.inspected is not None
    assert len(some.inspected.golden.cases) == 4
    assert len(orjson.dumps(golden_as_dict(some.inspected.golden))) < MOST_BYTES
    assert (none.verdict, none.faults[0].pointer) == ("refused", "/model")
    assert none.faults[0].detail.startswith("One example, as JSON, is too large for golden answers")
    assert none.faults[0].expected == f"at most {MOST_BYTES} bytes"


@pytest.mark.parametrize("labelled", [False, True])
def test_classes_have_a_limit_of_their_own(labelled: bool) -> None:  # noqa: FBT001 - a case
    """Their names stand in the manifest, which whoever may read can ask for. A graph has no more than a draft."""

    def classifier(count: int) -> onnx.ModelProto:
        return forest(labels=[f"number {label}" for label in range(count)]) if labelled else softmax(count)

    most = accepted(classifier(MOST_CLASSES)).manifest
    report = inspect(classifier(MOST_CLASSES + 1))

    assert len(most.output.classes) == MOST_CLASSES
    assert report.verdict == "refused"
    assert [(fault.pointer, fault.expected, fault.received) for fault in report.faults] == [
        ("/model", "2 to 10000 classes", "10001")
    ]


def test_a_graph_with_too_many_inputs_is_refused() -> None:
    """Each has a part of the manifest."""
    names = [f"x{place}" for place in range(MOST_INPUTS + 1)]
    model = a_model([node("Sum", names, ["y"])], inputs=[value(name, ("batch", 1)) for name in names])

    assert [(fault.detail, fault.received) for fault in inspect(model).faults] == [
        ("The graph has too many inputs.", "1001")
    ]


@pytest.mark.parametrize(("size", "verdict"), [(1_000_000, "accepted"), (1_000_001, "refused")])
def test_the_largest_example_is_inspected_and_a_larger_one_refused(size: int, verdict: str) -> None:
    """With what would do; all in its limits of memory and time."""
    content = free_axis().SerializeToString()
    with TemporaryFile() as file:
        file.write(content)
        file.flush()
        draft = ManifestDraft(inputs=(InputDraft(name="x", shape=(size,), min=0, max=0),))
        try:
            found = ProcessInspector().inspect(file, Candidate("it", digest_of(content), draft))
        except ModelRefused as error:
            assert (verdict, error.faults[0].expected) == ("refused", "1 to 1000000 values")  # noqa: PT017
        else:
            assert (verdict, len(found.golden.cases)) == ("accepted", 1)


def test_several_large_inputs_are_one_large_example() -> None:
    """Whose values are counted together."""
    model = a_model(
        [
            node("ReduceSum", ["a", "axis"], ["p"]),
            node("ReduceSum", ["b", "axis"], ["q"]),
            node("Add", ["p", "q"], ["y"]),
        ],
        [constant("axis", [1])],
        inputs=[value("a", ("batch", 600_000)), value("b", ("batch", 600_000))],
    )

    assert inspect(model).faults[0].detail == "One example has an absurd size."


def test_a_model_may_fail_on_the_extremes() -> None:
    """A table that has a row for each place that is asked, and no other; whoever asks for another is told."""
    nodes = [node("Gather", ["table", "n"], ["m"]), node("Add", ["a", "m"], ["y"])]
    inputs = [value("a", ("batch", 1)), value("n", ("batch", 1), INT64)]
    heard: list[str] = []
    model = a_model(nodes, [constant("table", [0.5, 1.5])], inputs=inputs).SerializeToString()
    report = examine(model, Candidate("it", digest_of(model), NOTHING), lambda: heard.append("extremes"))

    assert (report.verdict, heard) == ("accepted", ["extremes"])


def test_extremes_are_what_callers_may_send_at_most() -> None:
    """The bounds, where there are some; else those of the dtype, and of whole numbers in JSON."""
    specs = (
        InputSpec(name="float", dtype="float32"),
        InputSpec(name="half", dtype="float16", max=1.0),
        InputSpec(name="whole", dtype="int64"),
        InputSpec(name="byte", dtype="uint8", min=2, shape=(2,)),
        InputSpec(name="kind", dtype="int32", categories=("a", "b", "c")),
        InputSpec(name="flag", dtype="bool"),
        InputSpec(name="text", dtype="string"),
    )
    found = list(extremes(replace(parse_manifest(MANIFEST), inputs=specs)))
    largest = float(np.finfo(np.float32).max)

    assert [arrays["float"].tolist() for arrays in found] == [[-largest], [largest], [-(2.0**31)], [2.0**31]]
    assert [arrays["half"].tolist() for arrays in found] == [[-65504.0], [1.0], [-65504.0], [1.0]]
    assert [arrays["whole"].tolist() for arrays in found] == [[1 - 2**53], [2**53 - 1], [-(2**31)], [2**31]]
    assert [arrays["byte"].tolist() for arrays in found] == [[[2, 2]], [[255, 255]]] * 2
    assert [arrays["kind"].tolist() for arrays in found] == [[0], [2]] * 2
    assert [arrays["flag"].tolist() for arrays in found] == [[False], [True]] * 2
    assert [len(arrays["text"][0]) for arrays in found] == [0, 10_001] * 2


def test_whole_numbers_need_one_between_their_bounds() -> None:
    """Else nobody could ask the model."""
    draft = ManifestDraft(inputs=(InputDraft(name="n", min=0.2, max=0.8),))

    assert inspect(mixed(), draft).faults[0].detail == "No whole number lies within the bounds of 'n'."


def test_texts_and_booleans_are_drawn_too() -> None:
    """A text input without categories gets short texts."""
    nodes = [
        node("Cast", ["flag"], ["number"], to=FLOAT),
        node("Equal", ["word", "word"], ["same"]),
        node("Cast", ["same"], ["one"], to=FLOAT),
        node("Add", ["number", "one"], ["y"]),
    ]
    inputs = [value("flag", ("batch", 1), TensorProto.BOOL), value("word", ("batch", 1), STRING)]
    model = a_model(nodes, inputs=inputs)
    model.opset_import[0].version = 19
    cases = accepted(model).golden.cases

    assert {(case.input["flag"], case.output[0]) for case in cases} == {(False, 1.0), (True, 2.0)}
    assert {case.input["word"] for case in cases} == {"a", "b"}


def given(*cases: tuple[object, float], tolerance: float = 1e-6) -> Golden:
    return Golden(
        cases=tuple(GoldenCase(input={"x": x}, output=(output,)) for x, output in cases),
        tolerance=tolerance,
    )


def test_golden_answers_that_came_are_kept_where_they_hold() -> None:
    """As they are, with their tolerance; one is enough."""
    golden = given(([1.0, 0.0, 0.0, 0.0], 1.5))

    assert accepted(linear(), golden=golden).golden == golden


@pytest.mark.parametrize(
    ("golden", "pointer"),
    [
        (given(([1.0, 0.0, 0.0, 0.0], 1.5), ([0.0, 1.0, 0.0, 0.0], 2.6)), "/golden"),
        (given(([1.0, 0.0, 0.0, 0.0], 1.5), ([1.0, 0.0], 1.5)), "/golden/cases/1/input/x"),
        (given(([1.0, 0.0, 0.0, float("nan")], 1.5)), "/golden/cases/0/input/x"),
        (given(("text", 1.5)), "/golden/cases/0/input/x"),
    ],
)
def test_golden_answers_that_do_not_hold_are_refused(golden: Golden, pointer: str) -> None:
    """The fault points to the case, or says how many differ."""
    report = inspect(linear(), golden=golden)

    assert (report.verdict, report.faults[0].pointer) == ("refused", pointer)


def test_half_precision_has_a_tolerance_of_its_own() -> None:
    """Its steps are larger than what is allowed to others."""
    nodes = [node("ReduceMean", ["x"], ["y"], axes=[1], keepdims=1)]
    half = TensorProto.FLOAT16
    model = a_model(nodes, inputs=[value("x", ("batch", 4), half)], outputs=[value("y", ("batch", 1), half)])
    golden = accepted(model).golden
    largest = max(abs(case.output[0]) for case in golden.cases)

    assert golden.tolerance == pytest.approx(4 * np.finfo(np.float16).eps * largest, rel=0.01)


@pytest.mark.parametrize("name", ["digits", "geoclimate"])
def test_a_bundled_model_gets_its_own_manifest_back(name: str) -> None:
    """Its manifest as a draft, over its graph, is the manifest; and it reproduces its golden answers."""
    folder = zoo.ROOT / name
    text = (folder / "manifest.json").read_bytes()
    content = (folder / "model.onnx").read_bytes()
    golden = parse_golden((folder / "golden.json").read_bytes())
    draft = replace(parse_draft(text), name=None)
    found = accepted(content, draft, golden)

    assert replace(found.manifest, name=name) == parse_manifest(text)
    assert found.golden == golden
