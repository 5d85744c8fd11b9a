"""The native dialect: `{"data": ...}` in, `{"predictions": [...]}` out.

A body is read in two ways that agree. The quick one (simdjson, arrays of numbers straight into numpy) takes what is
plainly right; whatever it does not take goes to the exact one, which alone decides what is refused, and says why.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
import simdjson

from seatrial.contracts.problem import MAX_LISTED, Fault, pointer
from seatrial.server.core.clock import timestamp
from seatrial.server.core.errors import InferenceFailed, InvalidInput
from seatrial.server.inference.faults import MAX_COUNTED, describe
from seatrial.server.inference.model import InferResult
from seatrial.server.inference.runtime import Array
from seatrial.server.inference.types import DEFAULT_BATCH_SIZE, MAX_ROWS, InferRequest, Value
from seatrial.server.wire import strict_json

SINGLE_FIELDS = frozenset({"data", "model_id", "model_name", "return_probabilities"})
BATCH_FIELDS = SINGLE_FIELDS | {"batch_size"}

_NUL = b"\\u0000"
"""simdjson finds a member by the part of its name before this."""

_MOMENT = b'"timestamp":"'
"""Of no text in an answer: there quotes are escaped."""

QUICK_DEPTH = 8
"""Values nested deeper are left to the exact way, which knows how deep is too deep."""

QUICK_MEMBERS = 64
"""The same for larger objects: simdjson looks for a member from the beginning, each time."""

QUICK_NODES = 10 * MAX_ROWS


class _Irregular(Exception):
    """The quick way does not take this body."""


class Decoder:
    """Reads bodies of one route; one a thread, since a simdjson parser has one document at a time."""

    def __init__(self, *, batch: bool) -> None:
        self._batch = batch
        self._fields = BATCH_FIELDS if batch else SINGLE_FIELDS
        self._data: tuple[type, ...] = (list, np.ndarray) if batch else (dict, list, np.ndarray)
        self._parser = simdjson.Parser()

    def decode(self, body: bytes) -> InferRequest:
        """A request from its body; raises `InvalidJSON` or `InvalidInput`."""
        try:
            return self._quick(body)
        except (_Irregular, ValueError, TypeError, RuntimeError, KeyError):
            pass  # the exact way says what is wrong, if anything is
        return request_of(strict_json.loads(body), batch=self._batch)

    def _quick(self, body: bytes) -> InferRequest:
        document = self._parser.parse(body)
        if not isinstance(document, simdjson.Object) or len(document) > len(self._fields):
            raise _Irregular
        names = list(document.keys())
        if b"\\" in body and _NUL in body:
            raise _Irregular
        if len(names) > 1 and (len(set(names)) != len(names) or not self._fields.issuperset(names)):
            raise _Irregular
        arrays = _Arrays()
        data = arrays.value(document["data"])
        if not isinstance(data, self._data) or not arrays.account_for(body):
            raise _Irregular
        request = InferRequest(data)
        if len(names) > 1:
            _set_options(request, {name: document[name] for name in names if name != "data"})
        return request


def _set_options(request: InferRequest, options: Mapping[str, Value]) -> None:
    """Set the members beside `data`, if they are of the right type."""
    for name, value in options.items():
        if option_fault(name, value) is not None:
            raise _Irregular
        setattr(request, name, int(value) if name == "batch_size" else value)  # type: ignore[call-overload]
    if request.model_id is not None and request.model_name is not None:
        raise _Irregular


class _Arrays:
    """Converts simdjson values; counts the brackets it has accounted for.

    simdjson flattens nested arrays without a word, so the caller compares the count with that of the body: equal
    counts mean that every array was as regular as it was taken to be.
    """

    def __init__(self) -> None:
        self.brackets = 0
        self.nodes = 0

    def _spend(self, nodes: int) -> None:
        """Values that become Python objects one by one cost microseconds each: only so many."""
        self.nodes += nodes
        if self.nodes > QUICK_NODES:
            raise _Irregular

    def account_for(self, body: bytes) -> bool:
        """Whether these are all the brackets in the body."""
        # For a single one, two searches take a tenth of the time of a count.
        if self.brackets == 1:
            return body.find(b"[", body.find(b"[") + 1) < 0
        return self.brackets == body.count(b"[")

    def value(self, node: Any, depth: int = 0) -> Value:  # noqa: ANN401 - simdjson proxies or plain values
        """A plain value, or float64 arrays where there are arrays of numbers."""
        if isinstance(node, simdjson.Array):
            return self._array(node, depth)
        if isinstance(node, simdjson.Object):
            if depth > QUICK_DEPTH or len(node) > QUICK_MEMBERS:
                raise _Irregular
            self._spend(len(node))
            names = list(node.keys())
            row = {name: self.value(node[name], depth + 1) for name in names}
            if len(row) != len(names):
                raise _Irregular
            return row
        return node

    def _array(self, node: simdjson.Array, depth: int) -> Array | list[Value]:
        length = len(node)
        try:
            flat: Array = np.frombuffer(node.as_buffer(of_type="d"), np.float64)
        except TypeError:
            if length > MAX_ROWS or depth > QUICK_DEPTH:
                raise _Irregular from None
            self._spend(length)
            self.brackets += 1
            return [self.value(child, depth + 1) for child in node]
        if flat.size == length:
            self.brackets += 1
            return flat
        widths = {len(child) if isinstance(child, simdjson.Array) else -1 for child in node}
        if len(widths) != 1 or flat.size != length * next(iter(widths)):
            raise _Irregular
        self.brackets += 1 + length
        return flat.reshape(length, -1)


def option_fault(name: str, value: Value) -> Fault | None:
    """What is wrong with one of the members beside `data`."""
    if name in {"model_id", "model_name"}:
        good, expected = value is None or isinstance(value, str), "a text or null"
    elif name == "return_probabilities":
        good, expected = isinstance(value, bool), "true or false"
    else:
        whole = isinstance(value, int | float) and not isinstance(value, bool) and float(value).is_integer()
        good, expected = whole and 1 <= value <= MAX_ROWS, f"a whole number from 1 to {MAX_ROWS}"  # type: ignore[operator]
    if good:
        return None
    return Fault(pointer(name), f"'{name}' is {expected}.", expected, describe(value))


def request_of(document: Value, *, batch: bool) -> InferRequest:
    """A request from a parsed document; raises `InvalidInput` with a fault for each member that is wrong."""
    if not isinstance(document, dict):
        fault = Fault("", "The body is a JSON object with a member 'data'.", "an object", describe(document))
        raise InvalidInput("The body is not an object.", [fault])
    faults = [*_data_faults(document, batch=batch), *_member_faults(document, BATCH_FIELDS if batch else SINGLE_FIELDS)]
    if faults:
        raise InvalidInput("The request has members that are wrong.", faults[:MAX_LISTED], len(faults))
    return InferRequest(
        data=document["data"],
        model_id=document.get("model_id"),
        model_name=document.get("model_name"),
        return_probabilities=document.get("return_probabilities", False),
        batch_size=int(document.get("batch_size", DEFAULT_BATCH_SIZE)),
    )


def _data_faults(document: dict[str, Value], *, batch: bool) -> list[Fault]:
    if "data" not in document:
        expected = "an array" if batch else "an object or an array"
        return [Fault("/data", "The member 'data' is missing.", expected, "nothing")]
    data = document["data"]
    if not batch:
        if isinstance(data, dict | list):
            return []
        text = "'data' is an object of features, or an array."
        return [Fault("/data", text, "an object or an array", describe(data))]
    if not isinstance(data, list):
        return [Fault("/data", "'data' is an array of examples.", "an array", describe(data))]
    return []


def _member_faults(document: dict[str, Value], fields: frozenset[str]) -> list[Fault]:
    faults = [
        Fault(pointer(name), "The member stands twice.", "each member once", "the same member again")
        for name in getattr(document, "duplicates", ())[:MAX_COUNTED]
    ]
    known = f"one of: {', '.join(sorted(fields))}"
    for name, value in document.items():
        if len(faults) >= MAX_COUNTED:
            break
        if name not in fields:
            faults.append(Fault(pointer(name), "There is no such member.", known, describe(value)))
        elif name != "data" and (fault := option_fault(name, value)) is not None:
            faults.append(fault)
    if document.get("model_id") is not None and document.get("model_name") is not None:
        text = "A request names its model by model_id or by model_name, not by both."
        faults.append(Fault("/model_name", text, "only one of the two", describe(document["model_name"])))
    return faults


def encode(result: InferResult, *, batch: bool, probabilities: bool) -> bytes:
    """The body of the answer. Floats are written as short as their float32 allows.

    Raises:
        InferenceFailed: the model answered with NaN or infinity, which JSON does not have.
    """
    model = result.model
    answer = (_batch if batch else _single)(result, probabilities=probabilities)
    if not model.classes:
        answer["units"] = model.manifest.output.units
    answer["model_id"] = model.model_id
    answer["model_name"] = model.name
    answer["model_version"] = model.version
    answer["inference_time_ms"] = round(result.infer_seconds * 1000, 3)
    answer["timestamp"] = timestamp()
    answer["input_shape"] = (result.rows, model.signature.width)
    answer["cached"] = result.cached
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def without_moment(answer: bytes) -> tuple[bytes, bytes]:
    """What stands before and after the moment of an answer: all that would be written again."""
    before, mark, after = answer.partition(_MOMENT)
    return before + mark, after[len(timestamp()) :]


def at_this_moment(before: bytes, after: bytes) -> bytes:
    """The same answer, now."""
    return before + timestamp().encode("ascii") + after


def _single(result: InferResult, *, probabilities: bool) -> dict[str, Any]:
    """The members of one example's answer that hold what the model said."""
    output = result.output[0]
    classes = result.model.classes
    if not classes:
        _check_finite(math.isfinite(output))
        return {"predictions": (output,), "prediction": output}
    best = int(output.argmax())  # of a NaN, where there is one
    label, confidence = classes[best], output[best]
    if not 0.0 <= float(confidence) <= 1.0:
        _check_finite(math.isfinite(confidence))
        confidence = np.clip(confidence, 0, 1)
    answer = {"predictions": (label,), "prediction": label, "confidence": confidence}
    if probabilities:
        _check_finite(bool(np.isfinite(output).all()))
        answer["probabilities"] = _by_class(classes, output)
    return answer


def _batch(result: InferResult, *, probabilities: bool) -> dict[str, Any]:
    """The same for a batch."""
    output = result.output
    classes = result.model.classes
    _check_finite(bool(np.isfinite(output).all()))
    if not classes:
        return {"predictions": output}
    best = output.argmax(axis=1)
    confidences = np.clip(output[np.arange(result.rows), best], 0, 1)
    answer = {"predictions": [classes[index] for index in best.tolist()], "confidences": confidences}
    if probabilities:
        answer["probabilities"] = [_by_class(classes, row) for row in output]
    return answer


def _check_finite(finite: bool) -> None:  # noqa: FBT001 - a check, not an option
    if not finite:
        raise InferenceFailed("The model answered with a value that is not a finite number.")


def _by_class(classes: tuple[str | int, ...], row: Array) -> dict[str, Any]:
    return {str(label): value for label, value in zip(classes, row, strict=True)}
