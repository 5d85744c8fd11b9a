"""Files that nobody should accept, each made here: other formats, traps for whoever parses, graphs that misbehave."""

import bz2
import gzip
import io
import lzma
import pickle
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from tests.fakes.onnx_models import (
    FLOAT,
    INT64,
    STRING,
    a_model,
    chain,
    constant,
    counted,
    forest,
    linear,
    repeated,
    sized,
    softmax,
    value,
)

from seatrial.server.runtimes.inspector import AT_EXTREMES

node = helper.make_node
HUGE = 25_000_000_000
"""So many float32 are 100 GB."""


class Touch:
    """Whoever loads a pickle of it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
        """What loading it does."""
        return (Path.touch, (self.marker,))


def pickled(marker: Path, protocol: int = 4) -> bytes:
    """A pickle that makes the marker when it is loaded."""
    return pickle.dumps(Touch(marker), protocol)


def zipped(*members: tuple[str, bytes]) -> bytes:
    """A zip archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def torch_like(marker: Path) -> bytes:
    """The layout of a `.pt` file."""
    return zipped(("model/data.pkl", pickled(marker)), ("model/version", b"3"))


def as_zip64(archive: bytes) -> bytes:
    """The same with the records of a large archive before its end, as PyTorch's own writer makes them."""
    end = archive.rindex(b"PK\x05\x06")
    count, size, begin = struct.unpack("<HLL", archive[end + 10 : end + 20])
    record = struct.pack("<4sQHHLLQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, begin)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    last = b"PK\x05\x06" + bytes(4) + struct.pack("<HHLLH", count, count, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return archive[:end] + record + locator + last


def numpy_objects(marker: Path) -> bytes:
    """An array of objects, which numpy would unpickle."""
    file = io.BytesIO()
    np.save(file, np.array([Touch(marker)], dtype=object), allow_pickle=True)
    return file.getvalue()


def numpy_archive(marker: Path) -> bytes:
    """An archive of such arrays."""
    return zipped(("weights.npy", numpy_objects(marker)))


FOREIGN: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "pickle": (pickled, "a Python pickle"),
    "pickle of protocol 0": (partial(pickled, protocol=0), "a Python pickle"),
    "pickle of protocol 2": (partial(pickled, protocol=2), "a Python pickle"),
    "gzip": (lambda marker: gzip.compress(pickled(marker)), "a file compressed by gzip, as joblib writes"),
    "zlib": (lambda marker: zlib.compress(pickled(marker)), "a file compressed by zlib, as joblib writes"),
    "bzip2": (lambda marker: bz2.compress(pickled(marker)), "a file compressed by bzip2, as joblib writes"),
    "xz": (lambda marker: lzma.compress(pickled(marker)), "a file compressed by xz, as joblib writes"),
    "lzma": (
        lambda marker: lzma.compress(pickled(marker), lzma.FORMAT_ALONE),
        "a file compressed by lzma, as joblib writes",
    ),
    "torch": (torch_like, "a zip archive with a pickle in it, as PyTorch writes (.pt)"),
    "npy of objects": (numpy_objects, "a NumPy array (.npy)"),
    "npz": (numpy_archive, "an archive of NumPy arrays (.npz)"),
    "zip": (lambda _: zipped(("model.onnx", linear().SerializeToString())), "a zip archive"),
    "zip before onnx": (
        lambda marker: torch_like(marker) + linear().SerializeToString(),
        "a zip archive with a pickle in it, as PyTorch writes (.pt)",
    ),
    "zip behind onnx": (
        lambda marker: linear().SerializeToString() + torch_like(marker),
        "a zip archive as well, behind what comes before",
    ),
    "zip64 behind onnx": (
        lambda marker: linear().SerializeToString() + as_zip64(torch_like(marker)),
        "a zip archive as well, behind what comes before",
    ),
    "zip in onnx": (
        lambda marker: with_metadata(torch_like(marker)),
        "a zip archive as well, behind what comes before",
    ),
    "hdf5": (lambda _: b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file, as Keras writes"),
    "safetensors": (lambda _: struct.pack("<Q", 60) + b'{"w":{"dtype":"F32"}}', "a safetensors file"),
    "gguf": (lambda _: b"GGUF" + bytes(40), "a GGUF file"),
    "tflite": (lambda _: b"\x1c\x00\x00\x00TFL3" + bytes(40), "a TensorFlow Lite file"),
    "program": (lambda _: b"\x7fELF" + bytes(40), "a program"),
    "python": (lambda _: b"import os\n\nos.system('true')\n", "Python source"),
    "web page": (lambda _: b"\n<!DOCTYPE html><title>Not found</title>", "a web page"),
    "git lfs": (
        lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
        "a pointer of Git LFS; fetch the file that it stands for",
    ),
    "empty": (lambda _: b"", "empty"),
    "random": (lambda _: b"\xff" + random.Random(1).randbytes(5000), "of a kind that is not known here"),  # noqa: S311
    "saved model": (
        lambda _: b"\x08\x01\x12\x06\x0a\x04\x2a\x02v2",
        "a message without an ONNX graph, as TensorFlow writes (saved_model.pb)",
    ),
    "graph without a model": (
        lambda _: linear().graph.SerializeToString(),
        "a message without an ONNX graph, as TensorFlow writes (saved_model.pb)",
    ),
}
"""Files that are no ONNX: how each is made, given a marker that must never be there, and what it is called."""


def with_metadata(content: bytes) -> bytes:
    """A whole ONNX file whose last bytes are something else, in a field that nobody knows."""
    length = len(content)
    varint = bytes([length & 0x7F | 0x80, length >> 7 & 0x7F | 0x80, length >> 14])
    return bytes(linear().SerializeToString()) + b"\xfa\x3f" + varint + content


def external(tensor: onnx.TensorProto, location: str) -> onnx.TensorProto:
    """The tensor, with its values in another file."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, text in (("location", location), ("offset", "0"), ("length", "16")):
        tensor.external_data.add(key=key, value=text)
    return tensor


def external_initializer(location: str) -> onnx.ModelProto:
    """A regression whose weights are elsewhere."""
    model = linear()
    external(model.graph.initializer[0], location)
    return model


def external_attribute() -> onnx.ModelProto:
    """A regression whose bias, in an attribute, is elsewhere."""
    bias = external(constant("b", [0.5]), "bias.bin")
    weights = constant("w", np.ones((4, 1), np.float32))
    return a_model([node("Constant", [], ["b"], value=bias), node("Gemm", ["x", "w", "b"], ["y"])], [weights])


def branched(*inner: onnx.NodeProto, constants: tuple[onnx.TensorProto, ...] = ()) -> onnx.ModelProto:
    """A model with nodes in both branches of an If, which give `b`."""
    branch = helper.make_graph(list(inner), "branch", [], [value("b", ("batch", 1))], list(constants))
    nodes = [
        node("ReduceSum", ["x", "axis"], ["sum"], keepdims=1),
        node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch),
    ]
    return a_model(nodes, [constant("axis", [1]), constant("yes", np.array(True))])  # noqa: FBT003 - numpy's


def external_subgraph() -> onnx.ModelProto:
    """A model with values elsewhere in a branch."""
    return branched(node("Add", ["sum", "c"], ["b"]), constants=(external(constant("c", [1.0]), "/etc/passwd"),))


def external_sparse() -> onnx.ModelProto:
    """A model whose sparse weights are elsewhere."""
    model = a_model([node("Gemm", ["x", "w"], ["y"])])
    values, indices = external(constant("w", [1.0]), "sparse.bin"), constant("i", [0])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4, 1]))
    return model


def imported_domain() -> onnx.ModelProto:
    """A model that says it needs operators of somebody's."""
    model = linear()
    model.opset_import.append(helper.make_opsetid("com.evil", 1))
    return model


def with_function(domain: str, *inner: onnx.NodeProto) -> onnx.ModelProto:
    """A model with a function of its own, which it does not call."""
    model = linear()
    imports = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function(domain, "Own", ["a"], ["b"], list(inner), imports))
    return model


def nested(depth: int) -> onnx.ModelProto:
    """A model of Ifs within Ifs."""
    branch = helper.make_graph([node("Identity", ["x"], ["b"])], "g", [], [value("b", ("batch", 4))])
    for _ in range(depth - 2):
        inner = node("If", ["yes"], ["b"], then_branch=branch, else_branch=helper.make_graph([], "e", [], []))
        branch = helper.make_graph([inner], "g", [], [value("b", ("batch", 4))])
    nodes = [node("If", ["yes"], ["y"], then_branch=branch, else_branch=helper.make_graph([], "e", [], []))]
    return a_model(nodes, [constant("yes", np.array(True))])  # noqa: FBT003 - numpy's


def endless(body_of: str = "Add") -> onnx.ModelProto:
    """A loop without an end."""
    body = helper.make_graph(
        [node("Identity", ["on"], ["still"]), node(body_of, ["a", "a"], ["twice"])],
        "body",
        [value("i", (), INT64), value("on", (), TensorProto.BOOL), value("a", ("batch", 1))],
        [value("still", (), TensorProto.BOOL), value("twice", ("batch", 1))],
    )
    nodes = [
        node("ReduceSum", ["x", "axis"], ["sum"], keepdims=1),
        node("Loop", ["times", "yes", "sum"], ["y"], body=body),
    ]
    constants = [constant("axis", [1]), constant("yes", np.array(True)), constant("times", np.array(2**62))]  # noqa: FBT003
    return a_model(nodes, constants)


def bomb(operator: str) -> onnx.ModelProto:
    """A few bytes that ask for 100 GB; or, with Tile, for 3 GB if the batch is 20."""
    total = node("ReduceSum", ["x", "axis"], ["sum"], keepdims=1)
    largest = node("ReduceMax", ["big"], ["y"], axes=[1], keepdims=1)
    axis = constant("axis", [1])
    match operator:
        case "ConstantOfShape":
            nodes = [node("ConstantOfShape", ["size"], ["big"]), node("ReduceMax", ["big"], ["top"], keepdims=0)]
            return a_model([total, *nodes, node("Add", ["sum", "top"], ["y"])], [axis, constant("size", [HUGE])])
        case "Expand":
            size = constant("size", [1, HUGE])
            return a_model([total, node("Expand", ["sum", "size"], ["big"]), largest], [axis, size])
        case _:
            size = constant("size", [1, 40_000_000])
            return a_model([total, node("Tile", ["sum", "size"], ["big"]), largest], [axis, size])


def sparse_bomb() -> onnx.ModelProto:
    """One value, of a matrix of 400 GB."""
    model = a_model([node("MatMul", ["x", "w"], ["z"]), node("ReduceMax", ["z"], ["y"], axes=[1], keepdims=1)])
    sparse = helper.make_sparse_tensor(constant("w", [1.0]), constant("i", [0]), [4, HUGE])
    model.graph.sparse_initializer.append(sparse)
    return model


def with_dims(*dims: int) -> onnx.ModelProto:
    """A regression whose weights state another size than they have."""
    model = linear()
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend(dims)
    return model


def texts_not_there() -> onnx.ModelProto:
    """A tensor of a thousand million texts, one of which is there."""
    texts: Any = [b"a"]
    tensor = helper.make_tensor("s", STRING, [1], texts)
    tensor.dims[0] = 10**9
    return of(constants=(tensor,))


def versions(ir: int = 8, opset: int = 17) -> onnx.ModelProto:
    """A regression of another age."""
    model = linear()
    model.ir_version = ir
    model.opset_import[0].version = opset
    return model


def renamed(name: str) -> onnx.ModelProto:
    """A regression whose input has another name."""
    model = linear()
    model.graph.input[0].name = name
    model.graph.node[0].input[0] = name
    return model


def fixed_batch() -> onnx.ModelProto:
    """A regression for one example at a time."""
    model = linear()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    return model


def of(*nodes: onnx.NodeProto, constants: tuple[onnx.TensorProto, ...] = ()) -> onnx.ModelProto:
    """Any nodes from `x` to `y`."""
    return a_model(nodes, constants)


def summed(*then: onnx.NodeProto) -> onnx.ModelProto:
    """The sum of each example, and what is made of it."""
    return of(node("ReduceSum", ["x", "axis"], ["sum"], keepdims=1), *then, constants=(constant("axis", [1]),))


def sequence() -> onnx.ModelProto:
    """A model that answers with a sequence."""
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, ["batch", 4]))
    return a_model([node("SequenceConstruct", ["x"], ["y"])], outputs=[helper.make_value_info("y", kind)])


def training() -> onnx.ModelProto:
    """A model with a graph to train it."""
    model = linear()
    model.training_info.add().algorithm.CopyFrom(external_subgraph().graph)
    return model


def truncated() -> bytes:
    """Half a file."""
    content = bytes(softmax(50, 50).SerializeToString())
    return content[: len(content) // 2]


def deep_bytes() -> bytes:
    """A file nested as deep as no library follows."""
    content = b""
    for _ in range(5000):
        for tag in (0x32, 0x2A, 0x0A):  # attribute.g, node.attribute, graph.node
            content = bytes([tag]) + _varint(len(content)) + content
        if len(content) > 60_000:
            break
    return b"\x08\x08\x3a" + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


OUTSIDE = "The values of the tensor '{}' are not in the file; export the model into one file."
DOMAIN = "The operator 'Evil' is of another domain."
SIZE = "The tensor 'w' has another size than it states."
MEMORY = "The model needs more than 2 GiB of memory to be loaded and run."
BATCH = (
    "The first axis of the input 'x' is the batch, and must be free "
    "(dynamic_axes or dynamic_shapes of torch.onnx.export, [None, ...] of skl2onnx)."
)
NONE = (
    "The output 'probabilities' has no probabilities: a graph for a classification ends in Softmax or the like, "
    "one for a regression in one number an example."
)
DEEP = "The inspection of the model was ended by SIG"
"""SIGSEGV, or on macOS SIGBUS: its stack is over."""
EVIL = node("Evil", ["sum"], ["b"], domain="com.evil")
Make = Callable[[], onnx.ModelProto | bytes]

REFUSED: dict[str, tuple[Make, str, str]] = {
    "truncated": (
        truncated,
        "The file begins as an ONNX file does, but cannot be read to its end.",
        "one that is cut short, damaged or nested too deeply",
    ),
    "nested in bytes": (
        deep_bytes,
        "The file begins as an ONNX file does, but cannot be read to its end.",
        "one that is cut short, damaged or nested too deeply",
    ),
    "external, absolute": (
        lambda: external_initializer("/etc/passwd"), OUTSIDE.format("w"), "a reference to '/etc/passwd'"
    ),
    "external, upwards": (
        lambda: external_initializer("../../etc/passwd"), OUTSIDE.format("w"), "a reference to '../../etc/passwd'"
    ),
    "external, a link": (lambda: external_initializer("link.bin"), OUTSIDE.format("w"), "a reference to 'link.bin'"),
    "external, beside": (
        lambda: external_initializer("weights.bin"), OUTSIDE.format("w"), "a reference to 'weights.bin'"
    ),
    "external, in an attribute": (external_attribute, OUTSIDE.format("b"), "a reference to 'bias.bin'"),
    "external, in a subgraph": (external_subgraph, OUTSIDE.format("c"), "a reference to '/etc/passwd'"),
    "external, sparse": (external_sparse, OUTSIDE.format("w"), "a reference to 'sparse.bin'"),
    "external, in a function": (
        lambda: with_function("", node("Constant", [], ["b"], value=external(constant("f", [1.0]), "f.bin"))),
        OUTSIDE.format("f"),
        "a reference to 'f.bin'",
    ),
    "domain imported": (imported_domain, "Operators of another domain are imported.", "'com.evil'"),
    "domain of a node": (lambda: summed(node("Evil", ["sum"], ["y"], domain="com.evil")), DOMAIN, "'com.evil'"),
    "domain in a subgraph": (lambda: branched(EVIL), DOMAIN, "'com.evil'"),
    "domain in a function": (lambda: with_function("", EVIL), DOMAIN, "'com.evil'"),
    "domain of a function": (
        lambda: with_function("com.evil", node("Identity", ["a"], ["b"])),
        "The function 'Own' is of another domain.",
        "'com.evil'",
    ),
    "unknown operator": (
        lambda: summed(node("Evil", ["sum"], ["y"])),
        "The file breaks a rule of ONNX: No Op registered for Evil with domain_version of 17",
        "this one",
    ),
    "bomb by ConstantOfShape": (lambda: bomb("ConstantOfShape"), MEMORY, "this file"),
    "bomb by Expand": (lambda: bomb("Expand"), MEMORY, "this file"),
    "bomb by Tile": (lambda: bomb("Tile"), MEMORY, "this file"),
    "bomb of a sparse tensor": (sparse_bomb, "The sparse tensor 'w' would be absurdly large.", "4 x 25000000000"),
    "endless loop": (
        endless, "The model did not load and answer within 8 s (2 s of a processor).", "this file"
    ),
    "endless where an example says so": (
        counted, f"The model did not load and answer within 8 s (2 s of a processor){AT_EXTREMES}.", "this file"
    ),
    "bomb where an example says so": (lambda: sized("Expand"), f"{MEMORY[:-1]}{AT_EXTREMES}.", "this file"),
    "a tree too deep for a thread": (lambda: chain(10_901), DEEP, "this file"),
    "a tree too deep for a small thread": (lambda: chain(3000), DEEP, "this file"),
    "nested graphs": (lambda: nested(20), "Graphs are nested too deeply.", "20 levels"),
    "training": (training, "The file holds training.", "training_info"),
    "size too large": (lambda: with_dims(1_000_000, 1_000_000), SIZE, "16 bytes"),
    "texts that are not there": (
        texts_not_there,
        "The tensor 's' has another size than it states.",
        "1 values",
    ),
    "size below zero": (lambda: with_dims(-1, 1), SIZE, "16 bytes"),
    "new ir": (
        lambda: versions(ir=99),
        "The file breaks a rule of ONNX: Your model ir_version 99 is higher than the checker's",
        "this one",
    ),
    "new opset": (
        lambda: versions(opset=999),
        "ONNX Runtime cannot load it: ONNX Runtime only *guarantees* support for models stamped with official released",
        "this one",
    ),
    "NaN": (
        lambda: summed(node("Sub", ["sum", "sum"], ["zero"]), node("Div", ["zero", "zero"], ["y"])),
        "The output 'y' is not always a number.",
        "NaN or infinity",
    ),
    "logits": (lambda: softmax(end="Identity"), NONE, "-2.152 to 2.337, with a sum of -2.322"),
    "multi-label": (lambda: softmax(end="Sigmoid"), NONE, ""),
    "fixed batch": (fixed_batch, BATCH, "one fixed at 1"),
    "no batch": (
        lambda: a_model([node("Identity", ["x"], ["y"])], inputs=[value("x", ())], outputs=[value("y", ())]),
        "The input 'x' has no batch axis.",
        "a single value",
    ),
    "no input": (
        lambda: of(node("Identity", ["x"], ["y"]), constants=(constant("x", [[1.0]]),)),
        "The graph has no input.",
        "none",
    ),
    "sequence": (sequence, "The output 'y' is no tensor. Convert with options={'zipmap': False}.", "a sequence"),
    "zipmap": (
        lambda: forest(zipmap=True),
        "The output 'maps' is no tensor. Convert with options={'zipmap': False}.",
        "a sequence of maps",
    ),
    "control characters": (lambda: renamed("x\x1b[2J"), "A name has control characters.", r"'x\x1b[2J'"),
    "by chance": (
        lambda: summed(node("RandomUniformLike", ["sum"], ["y"])),
        "The operator 'RandomUniformLike' draws by chance.",
        "RandomUniformLike",
    ),
    "across the batch": (
        lambda: summed(
            node("ReduceMean", ["sum"], ["mean"], axes=[0], keepdims=1), node("Sub", ["sum", "mean"], ["y"])
        ),
        "The same example gets another answer in another batch, or at another time.",
        "",
    ),
    "one answer for all": (
        lambda: summed(node("ReduceMean", ["sum"], ["y"], axes=[0], keepdims=1)),
        "The model failed on a batch of 20: The output 'y' has the shape (1, 1), not (20, 1).",
        "none",
    ),
    "three answers where an example says so": (
        repeated,
        "The model gives an example another number of answers: The output 'y' has the shape (3, 1), not (1, 1)",
        "another shape",
    ),
    "fails": (
        lambda: of(
            node("ReduceSum", ["x", "axis"], ["sum"], keepdims=0),
            node("Cast", ["sum"], ["place"], to=INT64),
            node("Gather", ["table", "place"], ["y"], axis=0),
            constants=(constant("axis", [1]), constant("table", [[1.0]])),
        ),
        "The model failed on a batch of 20: Non-zero status code returned while running Gather node.",
        "none",
    ),
}  # fmt: skip
"""ONNX files that are refused: how each is made, the first fault, and what was received."""
