"""What a graph may be made of: operators that ship with the runtime, tensors that lie in the file, bounded depth."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import onnx
from google.protobuf.message import DecodeError
from onnx import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    OperatorSetIdProto,
    SparseTensorProto,
    TensorProto,
)

from seatrial.contracts.problem import MAX_LISTED, Fault
from seatrial.server.core.errors import ModelRefused, UnsupportedMediaType
from seatrial.server.inference.faults import MAX_SHOWN

EXPECTED = "an ONNX file"
ACCEPTED = {"Accept": "application/octet-stream, multipart/form-data"}
DOMAINS = {"", "ai.onnx", "ai.onnx.ml"}
BY_CHANCE = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"}
MAX_DEPTH = 8
"""Graphs within graphs, the outermost counted."""
MAX_NODES = 100_000
MAX_TEXT = 1000
"""Bytes of a text in a graph, such as a label: a run is not to take longer for one than for another."""
MAX_DENSE = 2**28
"""Values of a sparse tensor once it is dense, which is what the runtime makes of it."""
IR_VERSION_TAG = b"\x08"
"""The first byte of nearly every ONNX file, and of some other messages of protocol buffers."""

_bits: dict[int, int] = {TensorProto.UINT4: 4, TensorProto.INT4: 4, TensorProto.FLOAT4E2M1: 4}
_HELD = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")


@dataclass(slots=True)
class Parts:
    """Everything in a model that is checked, wherever it is nested."""

    nodes: list[NodeProto] = field(default_factory=list)
    graphs: list[GraphProto] = field(default_factory=list)
    tensors: list[TensorProto] = field(default_factory=list)
    sparse: list[SparseTensorProto] = field(default_factory=list)
    depth: int = 0


def foreign(kind: str) -> UnsupportedMediaType:
    """The error for a file that is something else."""
    return UnsupportedMediaType(f"The file is {kind}; {EXPECTED} is expected.", ACCEPTED)


def refused(faults: Iterable[Fault]) -> ModelRefused:
    """The error for a file that is an ONNX model, but none that may be served."""
    found = list(faults)
    return ModelRefused(f"The model cannot be served: {found[0].detail}", found[:MAX_LISTED], len(found))


def fault(detail: str, expected: str, received: str) -> Fault:
    """Something that is wrong with the file itself."""
    return Fault("/model", shown(detail, 300), expected, shown(received, 100))


def shown(text: str, length: int = MAX_SHOWN) -> str:
    """A text of the file, harmless to show."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:length]


def read_model(content: bytes) -> ModelProto:
    """The message in a file; nothing beside the file is read.

    Raises:
        UnsupportedMediaType: it is another kind of file.
        ModelRefused: it is an ONNX file that was cut short or damaged.
    """
    try:
        model = onnx.load_model_from_string(content)
    except (DecodeError, UnicodeDecodeError):
        if not content.startswith(IR_VERSION_TAG):
            raise foreign("of a kind that is not known here") from None
        detail = "The file begins as an ONNX file does, but cannot be read to its end."
        raise refused([fault(detail, "a whole file", "one that is cut short, damaged or nested too deeply")]) from None
    if not model.HasField("graph"):
        raise foreign("a message without an ONNX graph, as TensorFlow writes (saved_model.pb)")
    return model


def check_graph(model: ModelProto) -> None:
    """Raise `ModelRefused` for a graph that is not to be run."""
    parts = collect(model)
    if not all(isinstance(text, str) for text in _texts(model, parts)):
        raise refused([fault("A name or a text is not UTF-8.", "UTF-8", "other bytes")])
    if parts.depth > MAX_DEPTH:
        raise refused([fault("Graphs are nested too deeply.", f"at most {MAX_DEPTH} levels", f"{parts.depth} levels")])
    if len(parts.nodes) > MAX_NODES:
        raise refused([fault("The graph has too many nodes.", f"at most {MAX_NODES}", str(len(parts.nodes)))])
    if model.training_info:
        raise refused([fault("The file holds training.", "a model exported for inference", "training_info")])
    found = [
        *_foreign_operators(model, parts.nodes),
        *_by_chance(parts.nodes),
        *_bad_names(parts),
        *_bad_tensors(parts.tensors),
        *_long_texts(parts),
        *_bad_sparse(parts.sparse),
    ]
    if found:
        raise refused(found)


def check_whole(content: bytes) -> None:
    """Raise `ModelRefused` where the file breaks a rule of ONNX itself."""
    try:
        onnx.checker.check_model(content)
    except onnx.checker.ValidationError as error:
        first = next((line for line in str(error).splitlines() if line.strip()), "no reason")
        raise refused([fault(f"The file breaks a rule of ONNX: {first}", "a valid ONNX model", "this one")]) from error


def collect(model: ModelProto) -> Parts:
    """All nodes, graphs and tensors of a model. Walks without recursion, so that depth does no harm."""
    parts = Parts()
    waiting: list[tuple[GraphProto | FunctionProto, int]] = [(model.graph, 1)]
    waiting += [(function, 1) for function in model.functions]
    while waiting:
        place, depth = waiting.pop()
        parts.depth = max(parts.depth, depth)
        attributes: list[AttributeProto] = []
        if isinstance(place, GraphProto):
            parts.graphs.append(place)
            parts.tensors += place.initializer
            parts.sparse += place.sparse_initializer
        else:
            attributes += place.attribute_proto
        parts.nodes += place.node
        for node in place.node:
            attributes += node.attribute
        for attribute in attributes:
            _take_tensors(attribute, parts)
            waiting += [(graph, depth + 1) for graph in _graphs(attribute)]
    parts.tensors += [tensor for sparse in parts.sparse for tensor in (sparse.values, sparse.indices)]
    return parts


def _graphs(attribute: AttributeProto) -> Iterator[GraphProto]:
    if attribute.HasField("g"):
        yield attribute.g
    yield from attribute.graphs


def _take_tensors(attribute: AttributeProto, parts: Parts) -> None:
    if attribute.HasField("t"):
        parts.tensors.append(attribute.t)
    if attribute.HasField("sparse_tensor"):
        parts.sparse.append(attribute.sparse_tensor)
    parts.tensors += attribute.tensors
    parts.sparse += attribute.sparse_tensors


def _foreign_operators(model: ModelProto, nodes: list[NodeProto]) -> Iterator[Fault]:
    """Operators of domains that do not ship with the runtime, where they are imported, defined or used."""
    expected = f"one of {', '.join(repr(domain) for domain in sorted(DOMAINS))}"
    imports: list[OperatorSetIdProto] = list(model.opset_import)
    for function in model.functions:
        imports += function.opset_import
        if function.domain not in DOMAINS:
            detail = f"The function '{shown(function.name)}' is of another domain."
            yield fault(detail, expected, repr(shown(function.domain)))
    for domain in sorted({item.domain for item in imports} - DOMAINS):
        yield fault("Operators of another domain are imported.", expected, repr(shown(domain)))
    for domain, kind in sorted({(node.domain, node.op_type) for node in nodes if node.domain not in DOMAINS}):
        yield fault(f"The operator '{shown(kind)}' is of another domain.", expected, repr(shown(domain)))


def _texts(model: ModelProto, parts: Parts) -> Iterator[str | bytes]:
    """Every text that is read here or in what follows; the library gives bytes where they are no UTF-8."""
    yield from (model.doc_string, model.graph.doc_string)
    for function in model.functions:
        yield from (function.name, function.domain)
        yield from (item.domain for item in function.opset_import)
    yield from (item.domain for item in model.opset_import)
    for graph in parts.graphs:
        yield from (graph.name, *(value.name for value in (*graph.input, *graph.output)))
    for node in parts.nodes:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)
    for tensor in parts.tensors:
        yield tensor.name
        yield from (text for entry in tensor.external_data for text in (entry.key, entry.value))


def _by_chance(nodes: list[NodeProto]) -> Iterator[Fault]:
    """Operators whose answers differ from one time to the next: no known answer could ever be held against them."""
    for kind in sorted({node.op_type for node in nodes} & BY_CHANCE):
        yield fault(f"The operator '{kind}' draws by chance.", "the same answer each time", kind)


def _bad_names(parts: Parts) -> Iterator[Fault]:
    """Names that would do something to a terminal or a log."""
    for graph in parts.graphs:
        values = (*graph.input, *graph.output, *graph.initializer)
        for name in (graph.name, *(value.name for value in values)):
            if not name.isprintable():
                yield fault("A name has control characters.", "printable characters", repr(name))
    for node in parts.nodes:
        for name in (node.name, node.op_type, *node.input, *node.output):
            if not name.isprintable():
                yield fault("A node has a name with control characters.", "printable characters", repr(name))


def _bad_tensors(tensors: Iterable[TensorProto]) -> Iterator[Fault]:
    for tensor in tensors:
        name = shown(tensor.name) or "without a name"
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            place = next((item.value for item in tensor.external_data if item.key == "location"), "no place")
            detail = f"The values of the tensor '{name}' are not in the file; export the model into one file."
            yield fault(detail, "values in the file", f"a reference to '{shown(place)}'")
            continue
        if tensor.HasField("segment"):
            yield fault(f"The tensor '{name}' is a segment of another.", "a whole tensor", "a segment")
        elif not _as_large_as_stated(tensor):
            size = " x ".join(map(str, tensor.dims[:8])) or "one value"
            yield fault(f"The tensor '{name}' has another size than it states.", size, _held(tensor))


def _long_texts(parts: Parts) -> Iterator[Fault]:
    texts = (text for tensor in parts.tensors for text in tensor.string_data)
    attributes = (attribute for node in parts.nodes for attribute in node.attribute)
    more = (text for attribute in attributes for text in (attribute.s, *attribute.strings))
    longest = max((len(text) for text in (*texts, *more)), default=0)
    if longest > MAX_TEXT:
        yield fault("A text in the graph is too long.", f"at most {MAX_TEXT} bytes", f"{longest} bytes")


def _bad_sparse(tensors: Iterable[SparseTensorProto]) -> Iterator[Fault]:
    for tensor in tensors:
        if not 0 < math.prod(tensor.dims) <= MAX_DENSE:
            text = f"The sparse tensor '{shown(tensor.values.name)}' would be absurdly large."
            yield fault(text, f"1 to {MAX_DENSE} values", " x ".join(map(str, tensor.dims[:8])))


def _as_large_as_stated(tensor: TensorProto) -> bool:
    """Whether a tensor holds as many values as its shape says, so that nobody makes room for what is not there."""
    if any(size < 0 for size in tensor.dims):
        return False
    count: int = math.prod(tensor.dims)
    if tensor.HasField("raw_data"):
        bits = _bits.get(tensor.data_type)
        if bits is None:
            try:
                bits = 8 * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
            except (KeyError, TypeError, ValueError):
                return False
        return len(tensor.raw_data) == -(-count * bits // 8)
    held: int = sum(len(getattr(tensor, name)) for name in _HELD)
    if tensor.data_type in {TensorProto.COMPLEX64, TensorProto.COMPLEX128}:
        return held == 2 * count
    return held in {count, -(-count * _bits.get(tensor.data_type, 8) // 8)}


def _held(tensor: TensorProto) -> str:
    if tensor.HasField("raw_data"):
        return f"{len(tensor.raw_data)} bytes"
    return f"{sum(len(getattr(tensor, name)) for name in _HELD)} values"
