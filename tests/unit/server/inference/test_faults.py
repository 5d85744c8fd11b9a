"""Faults: listed and counted, compared, and worded."""

import numpy as np
import pytest

from seatrial.contracts.problem import MAX_LISTED, Fault
from seatrial.server.inference.faults import Faults, Kind, Sized, describe, format_number


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
