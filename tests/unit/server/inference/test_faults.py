"""Faults: listed and counted, compared, and worded."""

from dataclasses import field
from datetime import date
from typing import Annotated, Literal

import numpy as np
import pytest
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from seatrial.contracts.problem import MAX_LISTED, Fault
from seatrial.server.inference.faults import Faults, Kind, Sized, describe, faults_of, format_number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        ("", '""'),
        ("a" * 60, '"' + "a" * 60 + '"'),
        ("a" * 61, '"' + "a" * 60 + '..." (61 characters)'),
        ({}, "empty object"),
        ({"a": 1, "b": 2}, "object with 'a', 'b'"),
        (dict.fromkeys("abcdefg"), "object with 'a', 'b', 'c', 'd', 'e'"),
        ({"k" * 100: 1}, f"object with '{'k' * 60}'"),
        ([], "array of 0"),
        ([[1], [2]], "array of 2"),
        (np.zeros(3), "array of 3"),
        (np.zeros((28, 28)), "array of 28 x 28"),
        (np.array(2.5), "2.5"),
        (Sized("nothing"), "nothing"),
        (3, "3"),
        (np.float64(0.1), "0.1"),
    ],
)
def test_a_received_value_is_described_shortly(value: object, text: str) -> None:
    """Every kind of JSON value has a short text, and long ones are cut."""
    assert describe(value) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (-0.0, "0"),
        (15.0, "15"),
        (-135, "-135"),
        (0.1, "0.1"),
        (1e-7, "1e-07"),
        (2.0**62, "4611686018427387904"),
        (2.0**63, "9.223372036854776e+18"),
        (1e300, "1e+300"),
        (float("inf"), "inf"),
    ],
)
def test_a_number_is_written_as_a_caller_would(number: float, text: str) -> None:
    """Whole numbers have no fraction; very large ones keep their exponent."""
    assert format_number(number) == text


def test_the_first_faults_are_listed_and_all_are_counted() -> None:
    """Past 20 a fault is only counted, by its kind."""
    faults = Faults()
    for index in range(25):
        faults.add(Kind.VALUE, ("data", index), "d", "e", index)
    faults.add(Kind.SHAPE, ("data",), "d", "e", None)

    assert faults.listed == [Fault(f"/data/{index}", "d", "e", str(index)) for index in range(MAX_LISTED)]
    assert faults.total == 26
    assert faults.distance() == (1, 0, 25)


@pytest.mark.parametrize(
    ("nearer", "further"),
    [
        ([], [Kind.VALUE]),
        ([Kind.VALUE] * 100, [Kind.TYPE]),
        ([Kind.TYPE] * 100, [Kind.SHAPE]),
        ([Kind.SHAPE], [Kind.SHAPE, Kind.VALUE]),
    ],
)
def test_structure_outweighs_values(nearer: list[Kind], further: list[Kind]) -> None:
    """A wrong structure is further from right than any number of wrong types, and those than wrong values."""
    near, far = Faults(), Faults()
    for faults, kinds in ((near, nearer), (far, further)):
        for kind in kinds:
            faults.add(kind, ("data",), "d", "e", None)

    assert near.distance() < far.distance()


def test_an_error_carries_the_faults() -> None:
    """The error has the summary as its text, the listed faults, and the number of all."""
    faults = Faults()
    for index in range(MAX_LISTED + 1):
        faults.add(Kind.TYPE, (index,), "d", "e", None)
    error = faults.error("The input is wrong.")

    assert (str(error), error.faults, error.total) == ("The input is wrong.", tuple(faults.listed), MAX_LISTED + 1)


def even(value: int) -> int:
    """The value, which has to be even."""
    if value % 2:
        raise ValueError("it is odd")
    return value


@dataclass(config=ConfigDict(extra="forbid"))
class Ruled:
    """A member for each kind of rule."""

    text: Annotated[str, Field(min_length=2, max_length=4, pattern="^a")] = "aa"
    number: Annotated[float, Field(gt=0, le=10.5, allow_inf_nan=False)] = 1.0
    whole: Annotated[int, Field(ge=1, lt=9)] = 1
    flag: bool = True
    kind: Literal["x", "y"] = "x"
    several: Annotated[list[int], Field(min_length=1, max_length=2)] = field(default_factory=lambda: [1])
    named: dict[str, int] = field(default_factory=dict)
    when: date = date(2026, 11, 22)
    own: Annotated[int, AfterValidator(even)] = 0


@pytest.mark.parametrize(
    ("member", "value", "expected", "received"),
    [
        ("text", 1, "a text", "1"),
        ("text", "a", "a text of at least 2 characters", '"a"'),
        ("text", "aaaaa", "a text of at most 4 characters", '"aaaaa"'),
        ("text", "bb", "a text that matches ^a", '"bb"'),
        ("number", "x", "a number", '"x"'),
        ("number", [], "a number", "array of 0"),
        ("number", 0, "more than 0", "0"),
        ("number", 11, "10.5 or less", "11"),
        ("number", float("nan"), "a finite number", "nan"),
        ("whole", 0, "1 or more", "0"),
        ("whole", 9, "less than 9", "9"),
        ("whole", 1.5, "a whole number", "1.5"),
        ("flag", "maybe", "true or false", '"maybe"'),
        ("kind", "z", "'x' or 'y'", '"z"'),
        ("several", 1, "an array", "1"),
        ("several", [], "at least 1 items", "array of 0"),
        ("several", [1, 2, 3], "at most 2 items", "array of 3"),
        ("named", [], "an object", "array of 0"),
        ("other", 1, "no such member", "1"),
        ("when", "never", "a valid date or datetime, input is too short", '"never"'),
        ("own", 1, "Value error, it is odd", "1"),
    ],
)
def test_what_a_rule_expects_is_told_in_words(member: str, value: object, expected: str, received: str) -> None:
    """Beside the message of the rule, which says it once more only where there is nothing else to say."""
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Ruled).validate_python({member: value})
    (fault,) = faults_of(caught.value, "at")

    assert (fault.pointer, fault.expected, fault.received) == (f"/at/{member}", expected, received)
    assert fault.detail != expected or member == "own"


def test_only_the_first_faults_of_a_document_are_told_where_a_number_is_said() -> None:
    """In their order."""
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(list[int]).validate_python(["a", "b", "c"])

    assert [fault.pointer for fault in faults_of(caught.value)] == ["/0", "/1", "/2"]
    assert [fault.pointer for fault in faults_of(caught.value, most=2)] == ["/0", "/1"]
