"""The manifest of a model: what the graph tells, completed by what somebody says, who may not contradict it."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from onnx import ModelProto, TensorProto, TypeProto, ValueInfoProto
from pydantic import ValidationError

from seatrial.contracts.manifest import (
    MOST_CLASSES,
    MOST_INPUTS,
    DType,
    InputDraft,
    InputSpec,
    Label,
    Manifest,
    ManifestDraft,
    OutputSpec,
    Task,
)
from seatrial.contracts.problem import MAX_LISTED, Fault, pointer
from seatrial.server.core.errors import ModelRefused
from seatrial.server.inference.faults import faults_of
from seatrial.server.registry.candidate import Candidate
from seatrial.server.runtimes.inspection.graph import fault, refused, shown

MAX_VALUES = 1_000_000
"""Values in one example, in all its inputs: more, as JSON, no golden file holds."""
MAX_AXES = 8
"""Axes of a shape that are shown."""
MAX_DESCRIPTION = 500
MAX_NAME = 128
LABELS = ("classlabels_strings", "classlabels_int64s", "classlabels_ints", "classlabels")

_DTYPES: dict[int, DType] = {
    TensorProto.FLOAT16: "float16", TensorProto.FLOAT: "float32", TensorProto.DOUBLE: "float64",
    TensorProto.INT8: "int8", TensorProto.INT16: "int16", TensorProto.INT32: "int32", TensorProto.INT64: "int64",
    TensorProto.UINT8: "uint8", TensorProto.UINT16: "uint16", TensorProto.UINT32: "uint32",
    TensorProto.UINT64: "uint64", TensorProto.BOOL: "bool", TensorProto.STRING: "string",
}  # fmt: skip
_FLOATS = {"float16", "float32", "float64"}
_DYNAMIC = "dynamic_axes or dynamic_shapes of torch.onnx.export, [None, ...] of skl2onnx"


@dataclass(frozen=True, slots=True)
class Value:
    """An input or output of the graph. Axes that are free are `None`; no shape at all is `None` too."""

    name: str
    dtype: DType
    axes: tuple[int | None, ...] | None


def describe(model: ModelProto, candidate: Candidate) -> Manifest:
    """The whole manifest of a candidate; raises `ModelRefused`, with a fault for each thing that does not fit."""
    draft = candidate.draft
    _check_words(draft)
    inputs = _inputs(model, draft.inputs)
    if sum(math.prod(spec.shape) for spec in inputs) > MAX_VALUES:
        raise refused([fault("One example has an absurd size.", f"at most {MAX_VALUES} values", "more in all inputs")])
    output, task = _output(model, candidate)
    description = draft.description or model.doc_string or model.graph.doc_string
    try:
        return Manifest(
            name=candidate.name,
            task=task,
            inputs=inputs,
            output=output,
            digest=candidate.digest,
            licence=_plain(draft.licence),
            description=_plain(description)[:MAX_DESCRIPTION],
            metrics=draft.metrics,
            execution=draft.execution,
        )
    except ValidationError as error:
        raise disagreed(faults_of(error, "manifest")) from error


def _plain(text: str) -> str:
    """A text for people, on one line, harmless to show."""
    return shown(" ".join(text.split()), len(text))


def _check_words(draft: ManifestDraft) -> None:
    """Raise `ModelRefused` where a word of the draft that programs compare, or show as it is, cannot be printed."""
    words: list[tuple[tuple[str | int, ...], str]] = [
        (("output", "units"), draft.output.units),
        *((("metrics", name), name) for name in draft.metrics),
    ]
    for place, stated in enumerate(draft.inputs):
        words.append((("inputs", place, "units"), stated.units))
        words += [(("inputs", place, "categories", n), text) for n, text in enumerate(stated.categories)]
    text = "It has characters that cannot be printed."
    faults = [
        Fault(pointer("manifest", *(shown(str(part)) for part in where)), text, "printable characters", shown(word))
        for where, word in words
        if not word.isprintable()
    ]
    if faults:
        raise disagreed(faults)


def disagreed(faults: Sequence[Fault]) -> ModelRefused:
    """The error for a manifest that does not go with its graph."""
    return ModelRefused(f"The manifest does not fit the model: {faults[0].detail}", faults[:MAX_LISTED], len(faults))


def _inputs(model: ModelProto, stated: Sequence[InputDraft]) -> tuple[InputSpec, ...]:
    """The inputs in the order of the draft where it has them all, else in that of the graph."""
    constants = {tensor.name for tensor in model.graph.initializer}
    constants |= {tensor.values.name for tensor in model.graph.sparse_initializer}
    values = {value.name: value for value in model.graph.input if value.name not in constants}
    if not values:
        raise refused([fault("The graph has no input.", "at least one input", "none")])
    if len(values) > MOST_INPUTS:
        raise refused([fault("The graph has too many inputs.", f"at most {MOST_INPUTS}", str(len(values)))])
    graph = {name: _value(value, "input") for name, value in values.items()}
    places = {draft.name: place for place, draft in enumerate(stated)}
    faults = [
        Fault(pointer("manifest", "inputs", place, "name"), "The graph has no such input.", _one_of(graph), shown(name))
        for name, place in places.items()
        if name not in graph
    ]
    if len(places) != len(stated):
        faults.append(Fault("/manifest/inputs", "An input stands twice.", "each input once", f"{len(stated)} inputs"))
    if faults:
        raise disagreed(faults)
    order = places if len(places) == len(graph) else graph
    specs: list[InputSpec] = []
    for name in order:
        place = places.get(name)
        draft = InputDraft(name=name) if place is None else stated[place]
        try:
            specs.append(_input(graph[name], draft, place))
        except ModelRefused as error:
            faults += error.faults
    if faults:
        raise disagreed(faults) if faults[0].pointer != "/model" else refused(faults)
    return tuple(specs)


def _input(value: Value, draft: InputDraft, place: int | None) -> InputSpec:
    """One input; `place` is where the draft has it, which has nothing to say where that is nowhere."""
    where = ("manifest", "inputs", place or 0)
    if draft.dtype not in {None, value.dtype}:
        text = f"The input '{value.name}' has another dtype in the graph."
        raise disagreed([Fault(pointer(*where, "dtype"), text, value.dtype, str(draft.dtype))])
    shape = _example_shape(value, draft, pointer(*where, "shape"))
    try:
        return InputSpec(
            name=value.name,
            dtype=value.dtype,
            shape=shape,
            units=draft.units,
            description=_plain(draft.description),
            min=draft.min,
            max=draft.max,
            categories=draft.categories,
        )
    except ValidationError as error:
        raise disagreed(faults_of(error, *where)) from error


def _example_shape(value: Value, draft: InputDraft, place: str) -> tuple[int, ...]:
    """The shape of one example: the graph's without the batch axis, with what is free there as stated."""
    if not value.axes:
        had = "no shape" if value.axes is None else "a single value"
        raise refused([fault(f"The input '{value.name}' has no batch axis.", "a first axis that is free", had)])
    if value.axes[0] is not None:
        text = f"The first axis of the input '{value.name}' is the batch, and must be free ({_DYNAMIC})."
        raise refused([fault(text, "a first axis that is free", f"one fixed at {value.axes[0]}")])
    axes = value.axes[1:]
    shape = axes if draft.shape is None else draft.shape
    if len(shape) != len(axes) or any(axis not in {None, size} for axis, size in zip(axes, shape, strict=True)):
        text = f"The input '{value.name}' has another shape in the graph, without its batch axis."
        raise disagreed([Fault(place, text, _axes(axes), _axes(shape))])
    sizes = [size for size in shape if size is not None]
    if len(sizes) < len(shape):
        text = f"The input '{value.name}' has free axes besides the batch; state its shape in the manifest."
        raise refused([fault(text, "a shape without free axes", _axes(axes))])
    if not 1 <= math.prod(sizes) <= MAX_VALUES:
        text = f"One example of the input '{value.name}' has an absurd size."
        raise refused([fault(text, f"1 to {MAX_VALUES} values", _axes(axes))])
    return tuple(sizes)


def _output(model: ModelProto, candidate: Candidate) -> tuple[OutputSpec, Task]:
    """The output that answers, and with it the task: several values an example are probabilities, one is a number."""
    draft, stated = candidate.draft, candidate.draft.output
    value = _answer(model, stated.name)
    axes = (value.axes or (None,))[1:]
    labels: tuple[Label, ...] = stated.classes or _labels(model, axes)
    single = axes in {(), (1,)}
    task: Task = draft.task or ("regression" if single and not stated.classes else "classification")
    if task == "regression":
        if not single:
            raise disagreed([_shape_fault("/manifest/task", value, "one number an example, as of a regression")])
        if stated.classes:
            told = Fault("/manifest/output/classes", "A regression has no classes.", "none", f"{len(stated.classes)}")
            raise disagreed([told])
        return OutputSpec(name=value.name, units=stated.units), task
    if len(axes) != 1 or single:
        place = "/manifest/task" if draft.task else "/manifest/output/classes" if stated.classes else "/model"
        raise disagreed([_shape_fault(place, value, "a probability of each class an example")])
    size = axes[0]
    if size is None and not labels:
        text = f"The graph does not say how many classes the output '{value.name}' has; name them in the manifest."
        raise disagreed([Fault("/manifest/output/classes", text, "the classes in their order", "nothing")])
    count = len(labels) if size is None else size
    if not 2 <= count <= MOST_CLASSES:  # noqa: PLR2004 - one class is no choice
        text = f"The output '{value.name}' has too few classes, or too many."
        raise refused([fault(text, f"2 to {MOST_CLASSES} classes", str(count))])
    return OutputSpec(name=value.name, units=stated.units, classes=_classes(labels, count, stated.classes)), task


def _classes(labels: tuple[Label, ...], count: int, stated: tuple[Label, ...]) -> tuple[Label, ...]:
    classes = labels or tuple(range(count))
    place, faults = "/manifest/output/classes" if stated else "/model", []
    if len(classes) != count:
        faults.append(Fault(place, "There is another number of classes in the graph.", str(count), str(len(classes))))
    if len({str(label) for label in classes}) != len(classes):
        faults.append(Fault(place, "Two classes have the same name.", "each class once", f"{len(classes)} classes"))
    if any(isinstance(label, str) and not (label.isprintable() and len(label) <= MAX_NAME) for label in classes):
        text = "A class has control characters in its name, or is too long."
        faults.append(Fault(place, text, f"printable names of at most {MAX_NAME}", "one that is not"))
    if faults:
        raise disagreed(faults)
    return classes


def _answer(model: ModelProto, name: str | None) -> Value:
    """The output that answers: the one that is named, or the only one of floating-point numbers."""
    outputs = list(model.graph.output)
    names = [value.name for value in outputs]
    if name is not None:
        found = next((value for value in outputs if value.name == name), None)
        if found is None:
            text = "The graph has no such output."
            raise disagreed([Fault("/manifest/output/name", text, _one_of(names), shown(name))])
        value = _value(found, "output")
        if value.dtype not in _FLOATS:
            raise refused([fault(f"The output '{value.name}' is no answer.", "floating-point numbers", value.dtype)])
        return value
    floats = [value for value in outputs if _DTYPES.get(value.type.tensor_type.elem_type) in _FLOATS]
    candidates = [_value(value, "output") for value in floats]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        text = "Several outputs could be the answer; name one in the manifest."
        raise disagreed([Fault("/manifest/output/name", text, _one_of([v.name for v in candidates]), "nothing")])
    for value in outputs:
        _value(value, "output")  # which says what a sequence or a map is to be
    raise refused(
        [fault("The graph has no output of floating-point numbers.", "probabilities, or a value", _one_of(names))]
    )


def _value(value: ValueInfoProto, role: str) -> Value:
    """A tensor of a graph; anything else is refused, with a word on how to mend it."""
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        what = {None: "nothing", "sequence_type": "a sequence", "map_type": "a map"}.get(kind, "of another type")
        if _zipmap(value.type):
            what = "a sequence of maps"
        mend = " Convert with options={'zipmap': False}." if what.endswith(("maps", "sequence", "map")) else ""
        raise refused([fault(f"The {role} '{shown(value.name)}' is no tensor.{mend}", "a tensor", what)])
    tensor = value.type.tensor_type
    dtype = _DTYPES.get(tensor.elem_type)
    if dtype is None:
        known = tensor.elem_type in TensorProto.DataType.values()
        received = TensorProto.DataType.Name(tensor.elem_type) if known else str(tensor.elem_type)
        text = f"The {role} '{value.name}' has a dtype that is not served."
        raise refused([fault(text, _one_of(_DTYPES.values()), received)])
    if not 1 <= len(value.name) <= MAX_NAME:
        text = f"An {role} has a name that is too long, or none."
        raise refused([fault(text, f"1 to {MAX_NAME} characters", value.name)])
    if not tensor.HasField("shape"):
        return Value(value.name, dtype, None)
    axes = tuple(axis.dim_value if axis.HasField("dim_value") else None for axis in tensor.shape.dim)
    return Value(value.name, dtype, axes)


def _zipmap(kind: TypeProto) -> bool:
    return bool(kind.HasField("sequence_type") and kind.sequence_type.elem_type.HasField("map_type"))


def _labels(model: ModelProto, axes: tuple[int | None, ...]) -> tuple[Label, ...]:
    """The labels of a classifier in the graph, if there are as many as the output has classes."""
    for labels in _label_lists(model):
        if len(axes) == 1 and len(labels) == (axes[0] or len(labels)):
            return labels
    return ()


def _label_lists(model: ModelProto) -> Iterator[tuple[Label, ...]]:
    for node in model.graph.node:
        if node.domain == "ai.onnx.ml":
            for attribute in node.attribute:
                if attribute.name in LABELS and (attribute.strings or attribute.ints):
                    try:
                        texts = tuple(text.decode() for text in attribute.strings)
                    except UnicodeDecodeError:
                        raise refused([fault("A label is not UTF-8.", "UTF-8", "other bytes")]) from None
                    yield texts or tuple(attribute.ints)


def _shape_fault(place: str, value: Value, expected: str) -> Fault:
    shape = "an unknown shape" if value.axes is None else f"the shape {_axes(value.axes)}"
    return Fault(place, f"The output '{value.name}' has {shape} in the graph.", expected, shape)


def _axes(axes: Sequence[int | None]) -> str:
    shown_axes = ["free" if axis is None else str(axis) for axis in axes[:MAX_AXES]]
    more = [f"and {len(axes) - MAX_AXES} more"] if len(axes) > MAX_AXES else []
    return f"({', '.join(shown_axes + more)})"


def _one_of(names: Iterable[str]) -> str:
    listed = [shown(name) for name in names]
    return f"one of {', '.join(listed[:MAX_LISTED])}" if len(listed) > 1 else (listed[0] if listed else "none")
