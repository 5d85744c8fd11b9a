"""Strict JSON: what is read, what is refused, and where it stands."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.server.core.errors import InvalidJSON
from seatrial.server.wire.strict_json import MAX_DEPTH, JSONObject, loads

BOM = b"\xef\xbb\xbf"

documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=30,
)


@given(document=documents, ascii_only=st.booleans(), indent=st.sampled_from([None, 2]))
def test_every_document_is_read_back(document: object, *, ascii_only: bool, indent: int | None) -> None:
    """What any JSON writer writes is read as the same values of the same types."""
    read = loads(json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode())

    assert repr(read) == repr(document)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"9223372036854775807", 2**63 - 1),
        (b"18446744073709551615", 2**64 - 1),
        (b"-9223372036854775808", -(2**63)),
        (b"-0", 0),
        (b"1.7976931348623157e308", 1.7976931348623157e308),
        (b"1e-400", 0.0),
        (b"1E+2", 100.0),
        (b' \t\r\n{"a" : [ ] }\n', {"a": []}),
        (BOM + b'{"a":1}', {"a": 1}),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"\\\\ud800"', "\\ud800"),
        ("\U0001f600".encode().join([b'"', b'"']), "\U0001f600"),
        (b'"\\u0000"', "\0"),
        (b'""', ""),
        (b'"NaN"', "NaN"),
    ],
)
def test_the_edges_of_what_is_read(body: bytes, value: object) -> None:
    """64-bit numbers, white space, a byte order mark, pairs of surrogates and escapes are read."""
    assert loads(body) == value


@pytest.mark.parametrize(
    ("body", "offset", "reason"),
    [
        (b"", None, "The body is empty; a JSON object was expected"),
        (b" \n\t", None, "The body is empty; a JSON object was expected"),
        (BOM, None, "The body is empty; a JSON object was expected"),
        (b'{"a":"\xff"}', 6, "The body is not UTF-8"),
        (b'{"a":"\xc3"}', 6, "The body is not UTF-8"),
        (b'"\xed\xa0\x80"', 1, "The body is not UTF-8"),
        (b'{"a":1}x', 7, "The body is not JSON: Extra data"),
        (b'{"a":}', 5, "The body is not JSON: Expecting value"),
        (b'{"\xc3\xa9":}', 6, "The body is not JSON: Expecting value"),
        (b'{"a" 1}', 5, "The body is not JSON: Expecting ':' delimiter"),
        (b"[1 2]", 3, "The body is not JSON: Expecting ',' delimiter"),
        (b"{'a':1}", 1, "The body is not JSON: Expecting property name enclosed in double quotes"),
        (b'"abc', 0, "The body is not JSON: Unterminated string starting at"),
        (b'"a\tb"', 2, "The body is not JSON: Invalid control character at"),
        (b'"\\x"', 1, "The body is not JSON: Invalid \\escape"),
        (b"01", 1, "The body is not JSON: Extra data"),
        (b"+1", 0, "The body is not JSON: Expecting value"),
        (b".5", 0, "The body is not JSON: Expecting value"),
        (b"True", 0, "The body is not JSON: Expecting value"),
        (b'{"a":NaN}', 5, "The number NaN is not JSON"),
        (b"[Infinity]", 1, "The number Infinity is not JSON"),
        (b"[1, -Infinity]", 4, "The number -Infinity is not JSON"),
        (b"[1, 1e400]", 4, "The number 1e400 does not fit a 64-bit float"),
        (b"[-1e400]", 1, "The number -1e400 does not fit a 64-bit float"),
        (b"[18446744073709551616]", 1, "The number 18446744073709551616 does not fit a 64-bit integer"),
        (b"[-9223372036854775809]", 1, "The number -9223372036854775809 does not fit a 64-bit integer"),
        (b"1" * 5000, 0, f"The number {'1' * 40} does not fit a 64-bit integer"),
        (b'["NaN", NaN]', None, "The number NaN is not JSON"),
        (b'"\\ud800"', None, "A text holds a lone surrogate, which is no Unicode character"),
        (b'"\\udc00\\ud800"', None, "A text holds a lone surrogate, which is no Unicode character"),
        (b'{"\\uDFFF":1}', None, "A text holds a lone surrogate, which is no Unicode character"),
        (b"[[[" + b'["\\ud800"]' + b"]]]", None, "A text holds a lone surrogate, which is no Unicode character"),
    ],
)
def test_a_refusal_says_why_and_where(body: bytes, offset: int | None, reason: str) -> None:
    """The offset counts bytes from the start of the body, and is left out where it is not known."""
    with pytest.raises(InvalidJSON) as caught:
        loads(body)

    assert caught.value.offset == offset
    where = "" if offset is None else f" (at byte {offset})"
    assert str(caught.value).startswith(reason)
    assert str(caught.value).endswith(where)


@pytest.mark.parametrize(
    ("body", "offset"),
    [(b'{"a":}', 8), (b'{"a":"\xff"}', 9), (b'{"a":NaN}', 8)],
)
def test_a_byte_order_mark_counts_in_the_offset(body: bytes, offset: int) -> None:
    """The offset is that of the body as it was sent, with its mark of three bytes."""
    with pytest.raises(InvalidJSON) as caught:
        loads(BOM + body)

    assert caught.value.offset == offset


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")])
def test_nesting_has_a_limit(opening: bytes, closing: bytes) -> None:
    """64 levels are read; one more is refused, and so are a hundred thousand."""
    levels = MAX_DEPTH // (opening.count(b"[") + opening.count(b"{"))

    loads(opening * levels + b"0" + closing * levels)
    for deeper in (levels + 1, 100_000):
        with pytest.raises(InvalidJSON, match="nested deeper than 64 levels"):
            loads(opening * deeper + b"0" + closing * deeper)


def test_brackets_in_texts_and_side_by_side_are_not_depth() -> None:
    """Only open brackets count, and none within a text."""
    body = b'["' + b"[{" * 100 + b'", "\\"' + b"[" * 100 + b'"' + b",[]" * 100 + b"]"

    assert loads(body) == ["[{" * 100, '"' + "[" * 100, *([[]] * 100)]


def test_an_unending_text_is_refused_without_looking_twice() -> None:
    """A body of escaped quotes that never ends is refused in time that grows with its length, not with its square."""
    body = b"[" * (MAX_DEPTH + 1) + b'"' + b'\\"' * 1_000_000

    with pytest.raises(InvalidJSON):
        loads(body)


@pytest.mark.parametrize(
    ("body", "value", "duplicates"),
    [
        (b'{"a":1,"b":2,"a":3}', {"a": 3, "b": 2}, ("a",)),
        (b'{"a":1,"b":2,"b":2,"a":1,"a":1}', {"a": 1, "b": 2}, ("a", "b")),
        (b'{"a":1,"\\u0061":2}', {"a": 2}, ("a",)),
    ],
)
def test_keys_that_stand_twice_are_named(body: bytes, value: dict[str, Any], duplicates: tuple[str, ...]) -> None:
    """The last value is kept, and each repeated key is named once, by its meaning and not by its spelling."""
    document = loads(body)

    assert isinstance(document, JSONObject)
    assert (document, document.duplicates) == (value, duplicates)


def test_duplicates_are_seen_at_every_level() -> None:
    """An inner object tells its own duplicates; an object without any is a plain dict."""
    document = loads(b'{"rows":[{"a":1,"a":2}]}')

    assert type(document) is dict
    assert document["rows"][0].duplicates == ("a",)


def test_very_many_duplicates_are_seen_in_one_pass() -> None:
    """An object of repeated keys is read in time that grows with its length, not with its square."""
    document = loads(b"{" + b",".join(b'"k%d":0' % (index // 2) for index in range(40_000)) + b"}")

    assert document.duplicates == tuple(f"k{index}" for index in range(20_000))
