"""Collects what is wrong with an input: the first faults in full, all of them in number."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

import numpy as np
from pydantic import ValidationError

from seatrial.contracts.problem import MAX_LISTED, Fault, pointer
from seatrial.server.core.errors import InvalidInput

MAX_SHOWN = 60
"""Characters of a received text that a fault repeats."""

MAX_COUNTED = 1000
"""After this many faults the rest of a batch is not looked at."""

MISSING = "missing"
EXPECTED = {
    "a value": (MISSING,),
    "no such member": ("extra_forbidden", "unexpected_keyword_argument"),
    "a text": ("string_type",),
    "a text of at least {min_length} characters": ("string_too_short",),
    "a text of at most {max_length} characters": ("string_too_long",),
    "a text that matches {pattern}": ("string_pattern_mismatch",),
    "a number": ("float_type", "float_parsing"),
    "a finite number": ("finite_number",),
    "a whole number": ("int_type", "int_parsing", "int_from_float"),
    "more than {gt}": ("greater_than",),
    "{ge} or more": ("greater_than_equal",),
    "less than {lt}": ("less_than",),
    "{le} or less": ("less_than_equal",),
    "true or false": ("bool_type", "bool_parsing"),
    "an object": ("dict_type", "dataclass_type", "model_type", "model_attributes_type"),
    "an array": ("list_type", "tuple_type"),
    "at least {min_length} items": ("too_short",),
    "at most {max_length} items": ("too_long",),
    "{expected}": ("literal_error", "enum"),
    "JSON": ("json_invalid",),
}
"""What the rules of pydantic expect, in words, with what they tell of themselves."""
_WORDS = {kind: words for words, kinds in EXPECTED.items() for kind in kinds}

Path = tuple[str | int, ...]


class Kind(IntEnum):
    """How far from right a fault is. A wrong structure says 'another model'; a value out of range says 'nearly'."""

    SHAPE = 0
    TYPE = 1
    VALUE = 2


class Faults:
    """The faults of one input, in the order found."""

    def __init__(self) -> None:
        self.listed: list[Fault] = []
        self.counts = [0, 0, 0]

    def add(self, kind: Kind, path: Path, detail: str, expected: str, received: object) -> None:
        """Note a fault; `received` is the value itself (see `describe`)."""
        self.counts[kind] += 1
        if len(self.listed) < MAX_LISTED:
            self.listed.append(Fault(pointer(*path), detail, expected, describe(received)))

    def count(self, kind: Kind, number: int) -> None:
        """Note faults that are not listed, only counted."""
        self.counts[kind] += number

    @property
    def enough(self) -> bool:
        """Whether to stop looking: a hostile body must not keep the server busy for seconds."""
        return self.total >= MAX_COUNTED

    @property
    def total(self) -> int:
        """How many there are, listed or not."""
        return sum(self.counts)

    def distance(self) -> tuple[int, int, int]:
        """How far the input is from being accepted; smaller is nearer."""
        return (self.counts[Kind.SHAPE], self.counts[Kind.TYPE], self.counts[Kind.VALUE])

    def error(self, summary: str) -> InvalidInput:
        """The error that carries them."""
        return InvalidInput(summary, self.listed, self.total)


class Sized:
    """A received array, for a message that tells its size."""

    def __init__(self, size: str) -> None:
        self.size = size


def describe(value: object) -> str:  # noqa: PLR0911 - one line for each kind of JSON value
    """A short text for a received value: `null`, `true`, `3.5`, `"text"`, `array of 783`, `object with 'a', 'b'`."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return f'"{value}"' if len(value) <= MAX_SHOWN else f'"{value[:MAX_SHOWN]}..." ({len(value)} characters)'
        case dict():
            names = ", ".join(f"'{str(name)[:MAX_SHOWN]}'" for name in list(value)[:5])
            return f"object with {names}" if value else "empty object"
        case np.ndarray() if value.ndim > 0:
            return f"array of {' x '.join(map(str, value.shape))}"
        case list():
            return f"array of {len(value)}"
        case Sized():
            return value.size
        case _:
            return format_number(value)


def format_number(value: object) -> str:
    """A number as a caller would write it: whole numbers without a fraction."""
    number = float(value)  # type: ignore[arg-type]
    return str(int(number)) if number.is_integer() and abs(number) < 2**63 else repr(number)


def faults_of(error: ValidationError, *place: str | int, most: int | None = None) -> list[Fault]:
    """The faults that pydantic found in a document, the first `most`, with pointers that begin at `place`."""
    return [fault_of(entry, *place, *entry["loc"]) for entry in error.errors(include_url=False)[:most]]


def fault_of(entry: Mapping[str, Any], *place: str | int) -> Fault:
    """One fault as pydantic tells it, with a pointer to `place`."""
    received = "nothing" if entry["type"] == MISSING else _described(entry.get("input"))
    return Fault(pointer(*place), entry["msg"], _expected(entry), received)


def _expected(entry: Mapping[str, Any]) -> str:
    """What a rule of pydantic expects, in words; its message where that is all it tells."""
    told = {name: format_number(value) if _is_number(value) else value for name, value in entry.get("ctx", {}).items()}
    words = _WORDS.get(entry["type"])
    return words.format_map(told) if words else str(entry["msg"]).removeprefix("Input should be ")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _described(value: object) -> str:
    """What came, where it can be told; pydantic also shows what it made of it."""
    try:
        return describe(value)
    except (TypeError, ValueError, OverflowError):
        return type(value).__name__
