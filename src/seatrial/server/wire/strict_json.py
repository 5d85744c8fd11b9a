"""JSON read by the letter: what it refuses, it refuses with a byte offset, and it sees duplicate keys."""

import codecs
import json
import math
import re
from collections import Counter
from typing import Any, NoReturn

import numpy as np

from seatrial.server.core.errors import InvalidJSON

MAX_DEPTH = 64
_strings = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_surrogate_escape = re.compile(rb"\\u[dD][89a-fA-F]")
_LOWEST, _HIGHEST = -(2**63), 2**64 - 1
_DIGITS_OF_64_BITS = 21


class JSONObject(dict[str, Any]):
    """An object whose text had some keys twice; `duplicates` names them. The last value is kept."""

    duplicates: tuple[str, ...] = ()


def loads(body: bytes) -> Any:  # noqa: ANN401 - JSON is any of these
    """Parse a JSON document.

    Raises:
        InvalidJSON: not UTF-8, not JSON, NaN, Infinity, a number beyond float64 or 64-bit integers, a lone surrogate,
            or nested deeper than `MAX_DEPTH`.
    """
    mark = len(codecs.BOM_UTF8) if body.startswith(codecs.BOM_UTF8) else 0
    try:
        text = body[mark:].decode()
    except UnicodeDecodeError as error:
        raise InvalidJSON("The body is not UTF-8", mark + error.start) from None
    if not text.strip():
        raise InvalidJSON("The body is empty; a JSON object was expected")
    _check_depth(body)
    reader = _Reader(body)
    try:
        document = json.loads(
            text,
            object_pairs_hook=_object,
            parse_float=reader.float,
            parse_int=reader.int,
            parse_constant=reader.constant,
        )
    except json.JSONDecodeError as error:
        offset = mark + len(text[: error.pos].encode())
        raise InvalidJSON(f"The body is not JSON: {error.msg}", offset) from None
    if _surrogate_escape.search(body):
        _check_surrogates(document)
    return document


class _Reader:
    """The hooks for numbers, which know the body so that they can say where a bad one stands."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def float(self, token: str) -> float:
        value = float(token)
        return value if math.isfinite(value) else self._refuse(token, "does not fit a 64-bit float")

    def int(self, token: str) -> int:
        if len(token) <= _DIGITS_OF_64_BITS and _LOWEST <= (value := int(token)) <= _HIGHEST:
            return value
        return self._refuse(token, "does not fit a 64-bit integer")

    def constant(self, token: str) -> NoReturn:
        self._refuse(token, "is not JSON")

    def _refuse(self, token: str, reason: str) -> NoReturn:
        raw = token.encode()
        offset = self._body.find(raw) if self._body.count(raw) == 1 else None
        raise InvalidJSON(f"The number {token[:40]} {reason}", offset)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    marked = JSONObject(plain)
    counts = Counter(name for name, _ in pairs)
    marked.duplicates = tuple(name for name, count in counts.items() if count > 1)
    return marked


def _check_depth(body: bytes) -> None:
    """Refuse deep nesting before any recursion begins: brackets outside of strings, summed up."""
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    marks = np.frombuffer(_strings.sub(b"", body), np.uint8)
    steps = np.isin(marks, (ord("["), ord("{"))).astype(np.int32) - np.isin(marks, (ord("]"), ord("}")))
    if steps.size and np.cumsum(steps).max() > MAX_DEPTH:
        raise InvalidJSON(f"The body is nested deeper than {MAX_DEPTH} levels")


def _check_surrogates(document: object) -> None:
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InvalidJSON("A text holds a lone surrogate, which is no Unicode character") from None
