"""The native dialect: bodies to requests, in the quick way and the exact one, and results to bodies."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.models import a_manifest, a_model

from seatrial.contracts.manifest import InputSpec
from seatrial.contracts.problem import MAX_LISTED, Fault
from seatrial.server.core.errors import InferenceFailed, InvalidInput, InvalidJSON, SeatrialError
from seatrial.server.inference.faults import MAX_COUNTED, Faults
from seatrial.server.inference.model import InferResult
from seatrial.server.inference.signature import Signature
from seatrial.server.inference.types import InferRequest
from seatrial.server.wire import strict_json
from seatrial.server.wire.native import Decoder, at_this_moment, encode, request_of, without_moment

BOM = b"\xef\xbb\xbf"


def plain(value: object) -> object:
    """A decoded value with arrays as lists and numbers as floats, so that both ways compare; booleans stay."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return ("bool", value) if isinstance(value, bool) else value


def as_tuple(request: InferRequest) -> tuple[object, ...]:
    return (
        plain(request.data),
        request.model_id,
        request.model_name,
        request.return_probabilities,
        request.batch_size,
    )


def a_decoder(body: bytes) -> Decoder:
    """A decoder of the route that this body is for: a batch is never an object."""
    return Decoder(batch=not body.startswith(b'{"data": {'))


# Reading


@pytest.mark.parametrize(
    ("body", "request_"),
    [
        (b'{"data": {"a": 1, "b": 2.5, "c": "t"}}', InferRequest({"a": 1, "b": 2.5, "c": "t"})),
        (b'{"data": {"d": true, "e": null}}', InferRequest({"d": True, "e": None})),
        (b'{"data": [0.5, 1, -2]}', InferRequest([0.5, 1, -2])),
        (b'{"data": []}', InferRequest([])),
        (b'{"data": {}}', InferRequest({})),
        (b'{"data": {"a": [[1, 2], [3, 4]]}}', InferRequest({"a": [[1, 2], [3, 4]]})),
        (b'{"data": [], "model_id": "m:1"}', InferRequest([], "m:1")),
        (b'{"data": [], "return_probabilities": true}', InferRequest([], return_probabilities=True)),
        (b'{"model_name": "m", "data": []}', InferRequest([], None, "m")),
        (b'{"data": [], "model_id": null, "model_name": "m"}', InferRequest([], None, "m")),
        (b'{"data": [], "batch_size": 7}', InferRequest([], batch_size=7)),
        (b'{"data": [], "batch_size": 10000.0}', InferRequest([], batch_size=10_000)),
        (BOM + b' {"data": [1]}\n', InferRequest([1])),
    ],
)
def test_a_body_becomes_a_request(body: bytes, request_: InferRequest) -> None:
    """Every member is read; what is not named has its default."""
    request = a_decoder(body).decode(body)

    assert as_tuple(request) == as_tuple(request_)
    assert type(request.batch_size) is int
    exact = request_of(strict_json.loads(body), batch=not isinstance(request_.data, dict))
    assert as_tuple(exact) == as_tuple(request_)


@pytest.mark.parametrize(
    ("body", "shape"),
    [
        (b'{"data": [1, 2, 3]}', (3,)),
        (b'{"data": [[1, 2.5], [3, 4]]}', (2, 2)),
    ],
)
def test_arrays_of_numbers_are_read_into_numpy(body: bytes, shape: tuple[int, ...]) -> None:
    """Regular arrays of numbers do not become lists of Python numbers."""
    data = Decoder(batch=True).decode(body).data

    assert isinstance(data, np.ndarray)
    assert (data.shape, data.dtype) == (shape, np.float64)


@pytest.mark.parametrize(
    "data",
    [
        "[[1], 2]",
        "[1, [2]]",
        "[[1, 2], [3]]",
        "[[1, 2], [3, [4]]]",
        "[[], []]",
        "[[1, []], [2, 3]]",
        "[[[1, 2]], [[3, 4]]]",
        "[[1, 2], [3, 4, []]]",
        "[true, 1]",
        "[1, null]",
        '[1, "2"]',
        "[[1, 2], [3, false]]",
        "[18446744073709551615, 1]",
        "[-9223372036854775808, 0.5]",
        '{"a": [[1], 2], "b": "]["}',
        '{"a": "[", "b": [[1, 2], [3]]}',
        '{"[": [1, 2]}',
        "[{}, 1]",
    ],
)
def test_arrays_are_never_flattened(data: str) -> None:
    """Ragged, deep and mixed arrays keep the structure that was sent."""
    body = f'{{"data": {data}}}'.encode()

    assert plain(a_decoder(body).decode(body).data) == plain(json.loads(data))


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        (b"[]", [Fault("", "The body is a JSON object with a member 'data'.", "an object", "array of 0")]),
        (b"3", [Fault("", "The body is a JSON object with a member 'data'.", "an object", "3")]),
        (b"null", [Fault("", "The body is a JSON object with a member 'data'.", "an object", "null")]),
        (b"{}", [Fault("/data", "The member 'data' is missing.", "an array", "nothing")]),
        (
            b'{"data": 3}',
            [Fault("/data", "'data' is an array of examples.", "an array", "3")],
        ),
        (
            b'{"data": null}',
            [Fault("/data", "'data' is an array of examples.", "an array", "null")],
        ),
        (
            b'{"data": "1,2"}',
            [Fault("/data", "'data' is an array of examples.", "an array", '"1,2"')],
        ),
        (
            b'{"data": [], "modelname": "m"}',
            [
                Fault(
                    "/modelname",
                    "There is no such member.",
                    "one of: batch_size, data, model_id, model_name, return_probabilities",
                    '"m"',
                )
            ],
        ),
        (
            b'{"data": [], "model_id": 3}',
            [Fault("/model_id", "'model_id' is a text or null.", "a text or null", "3")],
        ),
        (
            b'{"data": [], "model_name": ["m"]}',
            [Fault("/model_name", "'model_name' is a text or null.", "a text or null", "array of 1")],
        ),
        (
            b'{"data": [], "return_probabilities": 1}',
            [Fault("/return_probabilities", "'return_probabilities' is true or false.", "true or false", "1")],
        ),
        (
            b'{"data": [], "return_probabilities": null}',
            [Fault("/return_probabilities", "'return_probabilities' is true or false.", "true or false", "null")],
        ),
        (
            b'{"data": [], "model_id": "m:1", "model_name": "m"}',
            [
                Fault(
                    "/model_name",
                    "A request names its model by model_id or by model_name, not by both.",
                    "only one of the two",
                    '"m"',
                )
            ],
        ),
        (
            b'{"data": [1], "data": [2]}',
            [Fault("/data", "The member stands twice.", "each member once", "the same member again")],
        ),
        (
            b'{"data": [], "model_id": "a:1", "model_id": "a:1"}',
            [Fault("/model_id", "The member stands twice.", "each member once", "the same member again")],
        ),
        *[
            (
                f'{{"data": [], "batch_size": {sent}}}'.encode(),
                [
                    Fault(
                        "/batch_size",
                        "'batch_size' is a whole number from 1 to 10000.",
                        "a whole number from 1 to 10000",
                        sent,
                    )
                ],
            )
            for sent in ("0", "-1", "10001", "2.5", "true", "null", '"7"', "1e+300")
        ],
    ],
)
def test_a_wrong_envelope_gets_its_faults(body: bytes, faults: list[Fault]) -> None:
    """Each member that is missing, unknown, repeated or of the wrong type is pointed to."""
    with pytest.raises(InvalidInput) as caught:
        Decoder(batch=True).decode(body)

    assert list(caught.value.faults) == faults
    assert caught.value.total == len(faults)


def test_batch_size_is_no_member_of_a_single_prediction() -> None:
    """Only `/predict/batch` takes it."""
    with pytest.raises(InvalidInput) as caught:
        Decoder(batch=False).decode(b'{"data": [], "batch_size": 7}')

    assert [(fault.pointer, fault.expected) for fault in caught.value.faults] == [
        ("/batch_size", "one of: data, model_id, model_name, return_probabilities")
    ]


def test_all_faults_of_an_envelope_are_counted() -> None:
    """Of 30 unknown members 20 are listed."""
    body = json.dumps({"data": []} | {f"m{index}": 0 for index in range(30)}).encode()
    with pytest.raises(InvalidInput) as caught:
        Decoder(batch=True).decode(body)

    assert (len(caught.value.faults), caught.value.total) == (MAX_LISTED, 30)


@pytest.mark.parametrize(
    ("body", "offset"),
    [
        (b"", None),
        (b'{"data": [1, NaN]}', 13),
        (b'{"data": [1e400]}', 10),
        (b'{"data": [18446744073709551616]}', 10),
        (b'{"data": [1, ]}', 13),
        (b'{"data": "\xff"}', 10),
        (b'{"data": [1]} {}', 14),
        (b'{"data": ["\\ud800"]}', None),
    ],
)
def test_what_is_not_json_is_refused_by_the_letter(body: bytes, offset: int | None) -> None:
    """The exact way alone says what is wrong, and at which byte."""
    with pytest.raises(InvalidJSON) as caught:
        Decoder(batch=True).decode(body)

    assert caught.value.offset == offset


@pytest.mark.parametrize("levels", [65, 200, 2000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_deep_nesting_is_refused_in_both_ways(levels: int, opening: str, closing: str) -> None:
    """The limit of 64 levels holds for bodies of texts and objects too, which the quick way could read."""
    body = f'{{"data": {opening * levels}"t"{closing * levels}}}'.encode()

    with pytest.raises(InvalidJSON, match="nested deeper than 64 levels"):
        Decoder(batch=True).decode(body)


def test_very_many_members_are_read_in_one_pass() -> None:
    """An object of 100 000 features takes no search from the beginning for each; that would take minutes."""
    body = b'{"data": {' + b",".join(b'"%x": 1' % name for name in range(100_000)) + b"}}"

    assert Decoder(batch=False).decode(body).data == {f"{name:x}": 1 for name in range(100_000)}


def test_very_many_wrong_members_are_not_all_told() -> None:
    """Faults are counted up to a thousand."""
    body = b"{" + b",".join(b'"%x": 1' % name for name in range(100_000)) + b"}"
    with pytest.raises(InvalidInput) as caught:
        Decoder(batch=False).decode(body)

    assert len(caught.value.faults) == MAX_LISTED
    assert caught.value.total <= MAX_COUNTED + 1


def test_names_are_read_whole() -> None:
    """A name with a NUL character is another name than its beginning."""
    body = rb'{"data": {"a\u0000b": 1, "a": 2}}'

    assert Decoder(batch=False).decode(body).data == {"a\0b": 1, "a": 2}


@pytest.mark.parametrize("data", ['{"x": 1, "x": 2}', '[{"x": 1, "y": 0, "x": 1}]', '{"y": [{"x": 1, "\\u0078": 2}]}'])
def test_features_that_stand_twice_are_left_for_the_signature_to_see(data: str) -> None:
    """The quick way has no eye for them and steps aside, so that none is silently dropped."""
    body = f'{{"data": {data}}}'.encode()
    read = a_decoder(body).decode(body).data

    while not hasattr(read, "duplicates"):
        read = read[0] if isinstance(read, list) else read["y"]  # type: ignore[index]
    assert read.duplicates == ("x",)


def test_a_decoder_keeps_nothing_of_a_body() -> None:
    """Requests stay as they are while the decoder reads others, and after bodies that were refused."""
    decoder = Decoder(batch=False)
    first = decoder.decode(b'{"data": {"x": [1, 2, 3]}, "model_name": "m"}')
    for body in (b'{"data": [[1], 2]}', b"{", b'{"data": [1, 2], "nobody": [3]}', b'{"data": [9, 9, 9]}'):
        try:
            decoder.decode(body)
        except (InvalidInput, InvalidJSON):
            continue

    assert as_tuple(first) == ({"x": [1, 2, 3]}, None, "m", False, 1000)
    assert as_tuple(decoder.decode(b'{"data": [1.5]}')) == ([1.5], None, None, False, 1000)


# Properties of reading: the quick way agrees with the exact one, or steps aside

SIGNATURES = [
    Signature(a_manifest(InputSpec(name="x", dtype="float32"), InputSpec(name="y", dtype="int64"))),
    Signature(a_manifest(InputSpec(name="x", dtype="float32", shape=(4,)))),
    Signature(a_manifest(InputSpec(name="x", dtype="string"), InputSpec(name="y", dtype="bool"))),
    Signature(a_manifest(InputSpec(name="x", dtype="uint8", shape=(2, 2)), InputSpec(name="y", dtype="float64"))),
]

numbers = (
    st.integers(-9, 9)
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([2**53 + 1, 0.5, 1e39, 5e-324])
)
blocks = st.integers(0, 4).flatmap(
    lambda width: st.lists(st.lists(numbers, min_size=width, max_size=width), max_size=4)
)
values = st.recursive(
    numbers | st.text('[]{}",a\\\0', max_size=4) | st.booleans() | st.none() | st.lists(numbers, max_size=4) | blocks,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("xyz["), inner, max_size=3),
    max_leaves=12,
)
rows = st.fixed_dictionaries({"x": values, "y": values}) | st.fixed_dictionaries({"x": values})
envelopes = st.fixed_dictionaries(
    {"data": rows | values | blocks | st.lists(rows, max_size=4)},
    optional={
        "model_id": st.none() | st.text(max_size=3),
        "model_name": st.sampled_from(["m", None, 1]),
        "return_probabilities": st.sampled_from([True, False, 1]),
        "batch_size": st.sampled_from([1, 7.0, 10_000, 10_001, True, None, 2**63]),
        "other": values,
    },
)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """JSON texts of requests, some with a few bytes changed."""
    spaces = draw(st.sampled_from([None, 1]))
    body = bytearray(json.dumps(draw(envelopes), indent=spaces, ensure_ascii=draw(st.booleans())).encode())
    for _ in range(draw(st.sampled_from([0, 0, 1, 2, 5]))):
        at = draw(st.integers(0, len(body)))
        width = draw(st.integers(0, 3))
        body[at : at + width] = draw(
            st.sampled_from(
                [
                    *(bytes([mark]) for mark in b'[]{}",:-+.eE019 \\tn\x00\xff'),
                    b'"data":1,',
                    b"NaN",
                    b"1e999",
                    b"[]",
                    b"",
                ]
            )
        )
    return bytes(body)


def tried(read: Callable[[bytes], InferRequest], body: bytes) -> InferRequest | SeatrialError:
    """The request, or why there is none."""
    try:
        return read(body)
    except (InvalidJSON, InvalidInput) as error:
        return error


def outcome_of(signature: Signature, request: InferRequest, *, batch: bool) -> object:
    """The arrays, or the faults, of what a signature makes of a request."""
    faults = Faults()
    arrays = (signature.accept_batch if batch else signature.accept)(request.data, faults)
    if arrays is None:
        return faults.counts, [(fault.pointer, fault.detail) for fault in faults.listed]
    return {name: (str(array.dtype), array.tolist()) for name, array in arrays.items()}


@settings(max_examples=600)
@given(body=bodies(), batch=st.booleans())
def test_both_ways_of_reading_agree(body: bytes, *, batch: bool) -> None:
    """A body gives the same request, and the same answer of every signature, or the same refusal."""
    request = tried(Decoder(batch=batch).decode, body)
    exact = tried(lambda text: request_of(strict_json.loads(text), batch=batch), body)
    if isinstance(exact, SeatrialError):
        assert repr(request) == repr(exact)
        return

    assert isinstance(request, InferRequest)
    assert as_tuple(request) == as_tuple(exact)
    for signature in SIGNATURES:
        assert outcome_of(signature, request, batch=batch) == outcome_of(signature, exact, batch=batch)


# Writing


def a_result(classes: tuple[str | int, ...], output: list[Any]) -> InferResult:
    model = a_model(a_manifest(name="m", classes=classes), version=4)
    return InferResult(model, np.array(output, np.float32), len(output), 0.25, 0.0123456, 0.5)


def written(result: InferResult, *, batch: bool = False, probabilities: bool = False) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(encode(result, batch=batch, probabilities=probabilities))
    assert answer.pop("timestamp").endswith("Z")
    common = {"model_id": "m:4", "model_name": "m", "model_version": 4, "inference_time_ms": 12.346, "cached": False}
    assert {name: answer.pop(name) for name in common} == common
    assert answer.pop("input_shape") == [result.rows, 2]
    return answer


def test_the_answer_of_a_regression() -> None:
    """One example has `prediction` and `units`; numbers are as short as float32 allows."""
    assert written(a_result((), [20.1])) == {"predictions": [20.1], "prediction": 20.1, "units": "metres"}


def test_the_answer_of_a_regression_batch() -> None:
    """A batch has `predictions` in the order of its rows, and no single `prediction`."""
    assert written(a_result((), [20.1, -3, 0.5]), batch=True) == {"predictions": [20.1, -3, 0.5], "units": "metres"}


@pytest.mark.parametrize("classes", [("cat", "dog"), (0, 1)])
def test_the_answer_of_a_classification(classes: tuple[str | int, ...]) -> None:
    """One example has the most probable class and its probability."""
    assert written(a_result(classes, [[0.2, 0.8]])) == {
        "predictions": [classes[1]],
        "prediction": classes[1],
        "confidence": 0.8,
    }


def test_probabilities_are_given_by_class_when_asked_for() -> None:
    """Classes are the names of an object, also where they are numbers."""
    answer = written(a_result((7, "x"), [[0.75, 0.25]]), probabilities=True)

    assert answer["probabilities"] == {"7": 0.75, "x": 0.25}


def test_the_answer_of_a_classification_batch() -> None:
    """A batch has a class, a confidence, and if asked the probabilities, for each row."""
    result = a_result(("a", "b"), [[0.25, 0.75], [0.5, 0.5], [1, 0]])

    assert written(result, batch=True) == {"predictions": ["b", "a", "a"], "confidences": [0.75, 0.5, 1]}
    assert written(result, batch=True, probabilities=True)["probabilities"] == [
        {"a": 0.25, "b": 0.75},
        {"a": 0.5, "b": 0.5},
        {"a": 1, "b": 0},
    ]


@pytest.mark.parametrize(("output", "confidence"), [([1.0000001, 0], 1), ([-0.5, -0.25], 0), ([0.5, 0.25], 0.5)])
def test_confidence_is_clamped(output: list[float], confidence: float) -> None:
    """A confidence is never outside of 0 to 1, alone and in a batch."""
    assert written(a_result(("a", "b"), [output]))["confidence"] == confidence
    assert written(a_result(("a", "b"), [output]), batch=True)["confidences"] == [confidence]


NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("classes", "output"),
    [
        ((), [NAN]),
        ((), [INFINITY]),
        ((), [-INFINITY]),
        (("a", "b"), [[0.5, NAN]]),
        (("a", "b"), [[NAN, NAN]]),
        (("a", "b"), [[0.5, INFINITY]]),
    ],
)
@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("probabilities", [False, True])
def test_an_answer_that_json_cannot_say_is_a_failure(
    classes: tuple[str, ...], output: list[Any], *, batch: bool, probabilities: bool
) -> None:
    """NaN and infinity are the model's failure, and never written."""
    with pytest.raises(InferenceFailed, match="not a finite number"):
        encode(a_result(classes, output), batch=batch, probabilities=probabilities)


def test_one_bad_row_fails_the_batch() -> None:
    """All or nothing."""
    with pytest.raises(InferenceFailed):
        encode(a_result((), [1.0, NAN, 2.0]), batch=True, probabilities=False)


def test_an_infinity_among_probabilities_that_are_asked_for_is_a_failure() -> None:
    """It would have to be written."""
    with pytest.raises(InferenceFailed):
        encode(a_result(("a", "b"), [[0.5, -INFINITY]]), batch=False, probabilities=True)


@pytest.mark.parametrize("label", ["seven", '","timestamp":"', '"timestamp":"', "timestamp"])
def test_an_answer_is_written_again_but_for_its_moment(label: str) -> None:
    """Whatever its labels are."""
    manifest = a_manifest(name="m", classes=(label, "other"))
    result = InferResult(a_model(manifest), np.array([[0.75, 0.25]], np.float32), 1, 0.0, 0.0, 0.0, cache="hit")
    answer = encode(result, batch=False, probabilities=True)
    again = at_this_moment(*without_moment(answer))
    first, second = json.loads(answer), json.loads(again)

    assert len(again) == len(answer)
    assert first.pop("timestamp") <= second.pop("timestamp")
    assert first == second
    assert first["prediction"] == label
