"""Whether the work of a graph is about the same for every example: what its operators are, where sizes come from.

A run that is timed once tells of all others only then: a loop that goes on for as long as an example says, or an array
that is as large as it says, may take any time. The library that reads such files is kept out of the server, and is not
needed: of what ONNX Runtime has just loaded the nodes are looked at, as bytes, and weights are passed over. What is not
known is not steady.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

_BYTES = 2
_CONTINUES, _PAYLOAD, _LONGEST = 0x80, 0x7F, 10
_DOMAINS = {b"", b"ai.onnx", b"ai.onnx.ml"}

_SHAPED_BY_SHAPES = """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization BitShift BitwiseAnd
    BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Celu Clip Concat Constant Conv ConvInteger ConvTranspose Cosh
    CumSum DepthToSpace DequantizeLinear Det Div Dropout DynamicQuantizeLinear Einsum Elu Equal Erf Exp EyeLike
    Flatten Floor Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater
    GreaterOrEqual GridSample GroupNormalization HardSigmoid HardSwish Hardmax Identity InstanceNormalization IsInf
    IsNaN LRN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization LpPool MatMul
    MatMulInteger Max MaxPool Mean MeanVarianceNormalization Min Mish Mul Neg Not Or PRelu Pow QLinearConv
    QLinearMatMul QuantizeLinear RMSNormalization Reciprocal Relu Round ScatterElements ScatterND Selu Shape Shrink
    Sigmoid Sign Sinh Size Softmax Softplus Softsign SpaceToDepth Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu
    Transpose Trilu Where Xor ArrayFeatureExtractor Binarizer FeatureVectorizer Imputer LabelEncoder
    LinearClassifier LinearRegressor Normalizer OneHotEncoder SVMClassifier SVMRegressor Scaler TreeEnsemble
    TreeEnsembleClassifier TreeEnsembleRegressor
"""
"""Operators whose work comes from shapes. Values change it by a few times at most, as in `Pow` and `Log` of denormal
numbers; `Mod`, `Sin` and `Cos`, which are slower still for far exponents, are none of them."""
_SHAPED_BY = {
    "ConstantOfShape": (0,), "Expand": (1,), "GRU": (4,), "LSTM": (4,), "OneHot": (1,), "Pad": (1, 3), "RNN": (4,),
    "Range": (0, 1, 2), "Resize": (1, 2, 3), "Reshape": (1,), "Slice": (1, 2, 3, 4), "Split": (1,), "Squeeze": (1,),
    "Tile": (1, 2), "TopK": (1,), "Unsqueeze": (1,), "Upsample": (1,),
    **dict.fromkeys((f"Reduce{kind}" for kind in (
        "L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")), (1,)),
}  # fmt: skip
"""Operators whose work depends on the values of some inputs, by their places."""
KNOWN: dict[bytes, tuple[int, ...]] = {
    **{name.encode(): () for name in _SHAPED_BY_SHAPES.split()},
    **{name.encode(): places for name, places in _SHAPED_BY.items()},
}
_READ_TEXTS = {b"Equal", b"LabelEncoder", b"OneHotEncoder", b"Shape", b"Size"}
_KEEP_TEXTS = {b"Cast", b"Concat", b"Flatten", b"Identity", b"Reshape", b"Squeeze", b"Transpose", b"Unsqueeze"}
"""Operators that may get texts of any length, and those of them that pass them on. Others may copy them many times."""
MOST_TEXTS = 100
"""How often the texts of an example may stand in one value."""
_TREES = {b"TreeEnsemble", b"TreeEnsembleClassifier", b"TreeEnsembleRegressor"}
MAX_TREES = 16 * 2**20
"""Bytes of all trees together: in larger ones the paths may be so long that their end is not seen in 2 ms."""
_OF_SHAPES = {b"Shape", b"Size", b"Constant", b"EyeLike"}
"""Operators whose output depends on no value of an example, whatever their inputs are."""


@dataclass(slots=True)
class _Node:
    """What is looked at in a node."""

    kind: bytes = b""
    domain: bytes = b""
    inputs: list[bytes] = field(default_factory=list)
    outputs: list[bytes] = field(default_factory=list)
    size: int = 0


def is_steady(content: bytes, texts: Collection[str] = ()) -> bool:
    """Whether the time of a run depends on the number of examples alone; `False` where that is not certain.

    Args:
        content: the file.
        texts: the names of inputs that are texts, which may be of any length.
    """
    try:
        return _is_steady(memoryview(content), {name.encode(): 1 for name in texts})
    except (ValueError, IndexError):
        return False


def _is_steady(content: memoryview, texts: dict[bytes, int]) -> bool:
    nodes: list[_Node] = []
    fixed: set[bytes] = set()
    for number, part in _fields(content):
        if number == 25:  # noqa: PLR2004 - functions, whose nodes would have to be followed
            return False
        if number == 7:  # noqa: PLR2004 - the graph
            _read_graph(part, nodes, fixed)
    if sum(node.size for node in nodes if node.kind in _TREES) > MAX_TREES:
        return False
    return all(_take(node, fixed) and _take_texts(node, texts) for node in nodes)


def _take(node: _Node, fixed: set[bytes]) -> bool:
    """Whether a node is steady; what it gives is fixed where all that it gets is."""
    places = KNOWN.get(node.kind)
    if node.domain not in _DOMAINS or places is None or not _all_fixed(node.inputs, places, fixed):
        return False
    if node.kind in _OF_SHAPES or _all_fixed(node.inputs, range(len(node.inputs)), fixed):
        fixed.update(node.outputs)
    return True


def _take_texts(node: _Node, texts: dict[bytes, int]) -> bool:
    """Whether a node does hardly anything with texts; `texts` says how often an example's stand in each value."""
    times = sum(texts.get(name, 0) for name in node.inputs)
    if not times or node.kind in _READ_TEXTS:
        return True
    texts.update(dict.fromkeys(node.outputs, times))
    return node.kind in _KEEP_TEXTS and times <= MOST_TEXTS


def _all_fixed(inputs: Sequence[bytes], places: Collection[int], fixed: set[bytes]) -> bool:
    """Whether the inputs at these places, where they are there, are the same for every example."""
    return all(place >= len(inputs) or not inputs[place] or inputs[place] in fixed for place in places)


def _read_graph(content: memoryview, nodes: list[_Node], fixed: set[bytes]) -> None:
    """The nodes of a graph, and the names of its constants."""
    for number, part in _fields(content):
        if number == 1:
            nodes.append(_node(part))
        elif number == 5:  # noqa: PLR2004 - an initializer
            fixed.add(_name(part))


def _node(content: memoryview) -> _Node:
    node = _Node(size=len(content))
    for number, part in _fields(content):
        match number:
            case 1:
                node.inputs.append(bytes(part))
            case 2:
                node.outputs.append(bytes(part))
            case 4:
                node.kind = bytes(part)
            case 7:
                node.domain = bytes(part)
    return node


def _name(tensor: memoryview) -> bytes:
    """The last that is given counts, as for whoever reads the whole."""
    return next(reversed([bytes(part) for number, part in _fields(tensor) if number == 8]), b"")  # noqa: PLR2004


def _fields(content: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and bytes of each field of a message that has bytes; others are passed over. Nothing is copied."""
    place, end = 0, len(content)
    while place < end:
        tag, place = _varint(content, place)
        length = 0
        match tag & 7:
            case 0:
                _, place = _varint(content, place)
            case 1:
                length = 8
            case 5:
                length = 4
            case 2:
                length, place = _varint(content, place)
            case _:
                raise ValueError("a kind of field that ONNX has not")
        if place + length > end:
            raise ValueError("a field that is cut short")
        if tag & 7 == _BYTES:
            yield tag >> 3, content[place : place + length]
        place += length


def _varint(content: memoryview, place: int) -> tuple[int, int]:
    """A number of variable length, and the place behind it."""
    value = 0
    for count in range(_LONGEST):
        byte = content[place + count]
        value |= (byte & _PAYLOAD) << 7 * count
        if byte < _CONTINUES:
            return value, place + count + 1
    raise ValueError("a number without an end")
