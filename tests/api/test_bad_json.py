"""Bodies that are not JSON: 400, with the byte where reading stopped."""

import json

import pytest
from starlette.testclient import TestClient
from tests.inprocess import problem

PATHS = ("/predict", "/predict/batch")
ROW = b'{"latitude": %s, "longitude": -105, "year": 2050, "scenario": "A1B"}'


def in_row(token: bytes) -> bytes:
    """A body in which a token stands for the latitude, at byte 22."""
    return b'{"data": ' + ROW % token + b"}"


UNREADABLE: dict[str, tuple[bytes, int | None]] = {
    "empty": (b"", None),
    "white space": (b" \n\t", None),
    "not JSON at all": (b"latitude=39.7", 0),
    "a value is missing": (b'{"data": }', 9),
    "single quotes": (b"{'data': []}", 1),
    "a comma too many": (b'{"data": [1,]}', 12),
    "a colon is missing": (b'{"data" []}', 8),
    "cut off": (b'{"data": [1, 2', 14),
    "something behind": (b'{"data": [1]} []', 14),
    "a comment": (b'{"data": [1]} // ok', 14),
    "a control character in a text": (b'{"data": ["\n"]}', 11),
    "an unknown escape": (b'{"data": ["\\q"]}', 11),
    "a leading zero": (b'{"data": [01]}', 11),
    "a bare point": (b'{"data": [.5]}', 10),
    "a plus sign": (b'{"data": [+5]}', 10),
    "hexadecimal": (b'{"data": [0x1F]}', 11),
    "behind other characters": ('{"grüße": }'.encode(), 12),
    "not UTF-8": (b'{"data": ["\xff"]}', 11),
    "UTF-16": ('{"data": []}'.encode("utf-16"), 0),
    "a lone surrogate": (b'{"data": ["\\ud800"]}', None),
    "a lone surrogate in a name": (b'{"\\udc00": [1]}', None),
    "NaN": (in_row(b"NaN"), 22),
    "Infinity": (in_row(b"Infinity"), 22),
    "minus Infinity": (in_row(b"-Infinity"), 22),
    "NaN as the data": (b'{"data": NaN}', 9),
    "NaN where it is not known which": (b'{"data": [NaN, NaN]}', None),
    "1e400": (in_row(b"1e400"), 22),
    "minus 1e400": (in_row(b"-1e400"), 22),
    "a float of many digits": (in_row(b"9" * 400 + b".0"), 22),
    "2 to the 64th": (in_row(b"18446744073709551616"), 22),
    "under minus 2 to the 63rd": (in_row(b"-9223372036854775809"), 22),
    "a whole number of 5000 digits": (in_row(b"9" * 5000), 22),
    "65 arrays deep": (b'{"data": ' + b"[" * 64 + b"1" + b"]" * 64 + b"}", None),
    "a hundred thousand arrays deep": (b"[" * 100_000, None),
    "a hundred thousand objects deep": (b'{"data":' * 100_000, None),
    "65 objects deep": (b'{"a":' * 65 + b"1" + b"}" * 65, None),
    "65 objects deep in the data": (b'{"data": ' + b'{"a":' * 64 + b"1" + b"}" * 64 + b"}", None),
}


@pytest.mark.proves("S38")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_not_json_is_400_with_its_place(client: TestClient, path: str, name: str) -> None:
    """Each body that is not JSON as we read it is refused, with the byte offset where it is known."""
    body, offset = UNREADABLE[name]
    answer = problem(client.post(path, content=body), 400, "invalid-json")

    assert answer["offset"] == offset
    assert answer["errors"] == []
    assert len(answer["detail"]) < 200


@pytest.mark.parametrize("path", PATHS)
def test_the_place_counts_every_byte(client: TestClient, path: str) -> None:
    """A byte order mark counts: the offset is one into the body as it was sent."""
    answer = problem(client.post(path, content=b'\xef\xbb\xbf{"data": }'), 400, "invalid-json")

    assert answer["offset"] == 12


@pytest.mark.parametrize(
    "token", ["18446744073709551615", "-9223372036854775808", "1e308", "-1.7976931348623157e308", "5e-324", "1e-400"]
)
def test_numbers_that_fit_are_json(client: TestClient, token: str) -> None:
    """The largest integers and floats are read: the model then says that they are out of range."""
    answer = problem(client.post("/predict", content=in_row(token.encode())), 422, "invalid-input")

    assert [fault["pointer"] for fault in answer["errors"]] == ["/data/latitude"]


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"data": %s}',
        b' \r\n\t{ "data" :\n%s }\n',
        b'{"\\u0064ata": %s}',
        b'{"data": %s, "model_name": "geo\\u0063limate"}',
    ],
    ids=["byte order mark", "white space", "an escaped name", "an escaped text"],
)
def test_json_may_be_written_in_its_own_ways(client: TestClient, body: bytes) -> None:
    """A byte order mark, white space and escapes do not matter."""
    assert client.post("/predict", content=body % ROW % b"39.7").status_code == 200


def test_deep_is_what_is_nested_not_what_is_written(client: TestClient) -> None:
    """Brackets within texts and many arrays side by side are not deep."""
    rows = [["[" * 100, -105, 2050, "A1B"]] * 100
    answer = problem(client.post("/predict/batch", content=json.dumps({"data": rows})), 422, "invalid-input")

    assert answer["errors"][0]["pointer"] == "/data/0/0"
