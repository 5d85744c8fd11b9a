"""The lane and the documented routes are two readers of one body: they accept and refuse the same.

The running server answers predictions by `api.lane`; OpenAPI is made from `api.predict`. Every body that hypothesis
thinks of goes to both.
"""

import json
from collections.abc import Iterator
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.inprocess import caller, serving
from tests.inputs import BLANK, DENVER, Json

from seatrial.server.api.edge import Edge
from seatrial.server.api.schemas import BatchRequest, PredictRequest
from seatrial.server.core.errors import InvalidInput, InvalidJSON
from seatrial.server.wire import native, strict_json

Draw = st.DrawFn
PATHS = ("/predict", "/predict/batch")
bounded = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=120,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


class Token(str):
    """A piece of JSON, or of what looks like it, that is written as it stands."""

    __slots__ = ()


class Members(list[tuple[str, Any]]):
    """An object whose members may stand twice."""


def write(value: Json) -> str:
    """The text of a document; unlike json.dumps it can write what is wrong."""
    match value:
        case Token():
            return str(value)
        case Members():
            return "{" + ", ".join(f"{json.dumps(name)}: {write(item)}" for name, item in value) + "}"
        case dict():
            return write(Members(value.items()))
        case list():
            return "[" + ", ".join(map(write, value)) + "]"
        case _:
            return json.dumps(value)


class WithoutLane:
    """The documented routes alone, given the request id that the edge would give them."""

    def __init__(self, edge: Edge) -> None:
        self._app = edge._app  # noqa: SLF001 - the part that the edge keeps from view

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection event."""
        if scope["type"] == "http":
            scope["state"] = {**scope.get("state", {}), "request_id": "documented", "headers": []}
        await self._app(scope, receive, send)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, TestClient]]:
    """A caller of the lane, and one of the documented routes, of one server."""
    with serving(tmp_path_factory.mktemp("data"), setting={"log_level": "error", "cache_size": 0}) as lane:
        yield lane, caller(cast("ASGIApp", WithoutLane(cast("Edge", lane.app))))


# What is sent: documents that are right, documents that are nearly right, any JSON, and any bytes.

TOKENS = ["NaN", "-Infinity", "1e400", "18446744073709551616", "-9223372036854775809", "01", "1.", "tru", '"\\ud800"']
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        [0, 1, -1, 0.5, 255, 2050, 39.7, "A1B", "E1", "", "digits", "geoclimate:1", Token("-0"), Token("2e3")]
    ),
    st.text(max_size=8),
    st.sampled_from(TOKENS).map(Token),
)
names = st.sampled_from(
    [
        "data",
        "image",
        "latitude",
        "year",
        "scenario",
        "model_id",
        "model_name",
        "batch_size",
        "return_probabilities",
        "x",
    ]
)
documents = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(st.tuples(names | st.text(max_size=3), inner), max_size=4).map(Members),
    ),
    max_leaves=12,
)
climates = st.fixed_dictionaries(
    {
        "latitude": st.one_of(st.floats(15, 60), st.integers(15, 60)),
        "longitude": st.one_of(st.floats(-135, -45), st.integers(-135, -45)),
        "year": st.one_of(st.integers(1860, 2099), st.integers(1860, 2099).map(float)),
        "scenario": st.sampled_from(["A1B", "E1"]),
    }
)


@st.composite
def images(draw: Draw) -> list[Any]:
    """An image, mostly blank, flat or in rows."""
    pixels: list[float] = [0] * 784 if draw(st.booleans()) else list(BLANK)
    for place in draw(st.lists(st.integers(0, 783), max_size=4)):
        pixels[place] = draw(st.floats(0, 1))
    return pixels if draw(st.booleans()) else [pixels[row * 28 : row * 28 + 28] for row in range(28)]


rows = st.one_of(climates, climates.map(lambda row: list(row.values())), images(), images().map(lambda i: {"image": i}))
options = st.fixed_dictionaries(
    {},
    optional={
        "model_id": st.sampled_from(["digits:1", "geoclimate:1", "nobody:1", "digits", None]),
        "model_name": st.sampled_from(["digits", "geoclimate", "nobody", None]),
        "return_probabilities": st.booleans(),
        "batch_size": st.sampled_from([1, 2, 3.0, 1000, 10_000, 0, 10_001]),
    },
)


@st.composite
def requests(draw: Draw) -> tuple[str, dict[str, Any]]:
    """A path and a document that its route takes, as long as its options fit its example."""
    path = draw(st.sampled_from(PATHS))
    kinds = draw(st.sampled_from([climates, climates.map(lambda row: list(row.values())), images()]))
    data = (
        draw(st.lists(cast("Any", kinds), min_size=1, max_size=3))
        if path.endswith("batch")
        else draw(cast("Any", kinds))
    )
    return path, {"data": data, **draw(options)}


@st.composite
def near_misses(draw: Draw) -> tuple[str, Any]:
    """A document that was right until one place in it was changed, doubled, added or taken away."""
    path, document = draw(requests())
    return path, _spoil(draw, document)


def _spoil(draw: Draw, value: Json) -> Json:
    """The same value with one change, somewhere."""
    if isinstance(value, dict) and value:
        return _spoil_members(draw, Members(value.items()))
    if isinstance(value, list) and value:
        return _spoil_items(draw, list(value))
    return draw(scalars)


def _spoil_members(draw: Draw, members: Members) -> Members:
    place = draw(st.integers(0, len(members) - 1))
    name, item = members[place]
    match draw(st.sampled_from(["deeper", "deeper", "deeper", "replace", "remove", "double", "add", "rename"])):
        case "deeper":
            members[place] = (name, _spoil(draw, item))
        case "replace":
            members[place] = (name, draw(documents))
        case "remove":
            del members[place]
        case "double":
            members.insert(draw(st.integers(0, len(members))), (name, item))
        case "add":
            members.append((draw(names), draw(documents)))
        case _:
            members[place] = (draw(names), item)
    return members


def _spoil_items(draw: Draw, items: list[Json]) -> list[Json]:
    place = draw(st.integers(0, len(items) - 1))
    match draw(st.sampled_from(["deeper", "deeper", "replace", "remove", "double", "wrap"])):
        case "deeper":
            items[place] = _spoil(draw, items[place])
        case "replace":
            items[place] = draw(documents)
        case "remove":
            del items[place]
        case "double":
            items.insert(place, items[place])
        case _:
            items[place] = [items[place]]
    return items


@st.composite
def damaged(draw: Draw) -> tuple[str, bytes]:
    """The bytes of a right request, some of them replaced."""
    path, document = draw(requests())
    body = bytearray(write(document).encode())
    for _ in range(draw(st.integers(1, 3))):
        begin = draw(st.integers(0, min(len(body), 60)))
        width = draw(st.integers(0, 3))
        body[begin : begin + width] = draw(
            st.binary(max_size=3) | st.sampled_from([b'"', b"[", b"]", b"{", b"}", b",", b"0"])
        )
    return path, bytes(body)


def first_steps(document: dict[str, Any]) -> set[str]:
    """The members at which a refusal points, but for two names of a model.

    pydantic looks at members together only once each is right by itself, and then points at the whole body.
    """
    alone = [fault["pointer"] for fault in document["errors"] if fault["expected"] != "only one of the two"]
    return {pointer[1:].partition("/")[0] for pointer in alone}


def compare(both: tuple[TestClient, TestClient], path: str, body: bytes) -> None:
    """Both give the same status; the same predictions, or refusals of the same kind at the same members."""
    lane, documented = (client.post(path, content=body) for client in both)
    mine, theirs = lane.json(), documented.json()

    assert (lane.status_code, mine.get("type")) == (documented.status_code, theirs.get("type")), (mine, theirs)
    if lane.status_code == 200:
        for answer in (mine, theirs):
            del answer["timestamp"], answer["inference_time_ms"]
        assert mine == theirs
    elif lane.status_code == 422:
        whole_body = any(not fault["pointer"] for fault in theirs["errors"])
        assert whole_body or first_steps(mine) == first_steps(theirs), (mine, theirs)
    elif lane.status_code == 400:
        assert (mine["offset"], mine["detail"]) == (theirs["offset"], theirs["detail"])


@bounded
@given(requests())
def test_both_answer_the_same(both: tuple[TestClient, TestClient], right: tuple[str, dict[str, Any]]) -> None:
    """Right requests, with all kinds of options, get the same predictions."""
    path, document = right
    compare(both, path, write(document).encode())


@bounded
@given(near_misses())
@example(("/predict/batch", {"data": DENVER, "model_id": "nobody:1"}))
@example(("/predict", {"data": [DENVER], "batch_size": 1}))
@example(("/predict", Members([("data", DENVER), ("data", DENVER)])))
@example(("/predict", {"data": DENVER, "model_id": "digits:1", "model_name": "digits"}))
def test_both_refuse_the_same_near_misses(both: tuple[TestClient, TestClient], miss: tuple[str, Any]) -> None:
    """Requests that are nearly right are refused, or not, alike."""
    path, document = miss
    compare(both, path, write(document).encode())


@bounded
@given(st.sampled_from(PATHS), documents)
@example("/predict", [])
@example("/predict", {})
@example("/predict", {"data": {}})
@example("/predict/batch", {"data": []})
@example("/predict/batch", {"data": {}})
def test_both_read_any_json_alike(both: tuple[TestClient, TestClient], path: str, document: object) -> None:
    """Any JSON, and what only looks like JSON, is refused alike."""
    compare(both, path, write(document).encode())


@bounded
@given(st.one_of(damaged(), st.tuples(st.sampled_from(PATHS), st.binary(max_size=40))))
@example(("/predict", b""))
@example(("/predict", b"\xef\xbb\xbf"))
@example(("/predict", b'{"data": ' + b'{"a":' * 64 + b"1" + b"}" * 64 + b"}"))
@example(("/predict", b'{"data": ' + b"[" * 64 + b"1" + b"]" * 64 + b"}"))
@example(("/predict/batch", b'{"data": [[1, 2], 3]}'))
@example(("/predict/batch", b'{"data": [[[1, 2]], [3, 4]]}'))
def test_both_read_any_bytes_alike(both: tuple[TestClient, TestClient], sent: tuple[str, bytes]) -> None:
    """Damaged bodies and arbitrary bytes are refused alike, at the same byte."""
    compare(both, *sent)


@bounded
@given(st.one_of(near_misses(), requests(), st.tuples(st.sampled_from(PATHS), documents)))
@example(("/predict/batch", {"data": {}}))
def test_the_schema_refuses_the_envelopes_that_the_wire_refuses(sent: tuple[str, Json]) -> None:
    """The pydantic models refuse a parsed document exactly where `wire.native` does."""
    path, document = sent
    batch = path.endswith("batch")
    try:
        parsed = strict_json.loads(write(document).encode())
    except InvalidJSON:
        return
    by_schema = by_wire = True
    try:
        (BatchRequest if batch else PredictRequest).model_validate(parsed)
    except ValidationError:
        by_schema = False
    try:
        native.request_of(parsed, batch=batch)
    except InvalidInput:
        by_wire = False

    assert by_schema == by_wire
