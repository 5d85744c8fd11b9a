"""One input: what it takes, what it refuses, and in which words."""

import math
from typing import Any

import numpy as np
import pytest

from seatrial.contracts.manifest import InputSpec
from seatrial.contracts.problem import MAX_LISTED, Fault
from seatrial.server.inference.faults import Faults
from seatrial.server.inference.reader import InputReader
from seatrial.server.inference.runtime import NUMPY_DTYPES

FLOAT32_MAX = 3.4028234663852886e38
PIXELS = [i / 10 for i in range(6)]


def an_input(**spec: Any) -> InputReader:  # noqa: ANN401 - the members of a spec
    return InputReader(InputSpec(**{"name": "x", "dtype": "float32"} | spec))


def refusals(reader: InputReader, value: object) -> list[Fault]:
    faults = Faults()
    assert reader.read(value, ("data", "x"), faults) is None
    assert faults.total >= 1
    return faults.listed


LATITUDE = {"min": 15, "max": 60}
YEAR = {"dtype": "int64", "min": 1860, "max": 2099}
SCENARIO = {"dtype": "int64", "categories": ("A1B", "E1")}
COLOUR = {"dtype": "string", "categories": ("red", "blue")}
FLAG = {"dtype": "bool"}
TEXT = {"dtype": "string"}
FLAT = {"shape": (6,), "min": 0, "max": 1}
GRID = {"shape": (2, 3), "min": 0, "max": 1}
COUNTS = {"shape": (3,), "dtype": "uint8"}


@pytest.mark.parametrize(
    ("spec", "value", "expected"),
    [
        ({}, 1.5, 1.5),
        ({}, 3, 3.0),
        ({}, np.float64(2.5), 2.5),
        ({}, -0.0, -0.0),
        ({}, 5e-324, 0.0),
        ({}, FLOAT32_MAX, FLOAT32_MAX),
        ({}, 2**64 - 1, 2.0**64),
        (LATITUDE, 15, 15.0),
        (LATITUDE, 60.0, 60.0),
        ({"dtype": "float64"}, 1e300, 1e300),
        ({"dtype": "float64"}, 1.7976931348623157e308, 1.7976931348623157e308),
        ({"dtype": "float16"}, 65504, 65504.0),
        (YEAR, 2050, 2050),
        (YEAR, 2050.0, 2050),
        ({"dtype": "int64"}, 2**53 - 1, 2**53 - 1),
        ({"dtype": "int64"}, 1 - 2**53, 1 - 2**53),
        ({"dtype": "int64"}, 9.007199254740991e15, 2**53 - 1),
        ({"dtype": "uint64"}, 2**53 - 1, 2**53 - 1),
        ({"dtype": "int8"}, -128, -128),
        ({"dtype": "int8"}, 127, 127),
        ({"dtype": "uint8"}, 255.0, 255),
        ({"dtype": "int32", "max": 2**40}, 2**31 - 1, 2**31 - 1),
        (SCENARIO, "A1B", 0),
        (SCENARIO, "E1", 1),
        (COLOUR, "blue", "blue"),
        (FLAG, True, True),
        (FLAG, False, False),
        (TEXT, "", ""),
        (TEXT, "naïve 船", "naïve 船"),
        ({"shape": (1,)}, 4.5, [4.5]),
        (SCENARIO | {"shape": (1,)}, "E1", [1]),
        (FLAT, PIXELS, PIXELS),
        (FLAT, np.array(PIXELS), PIXELS),
        (FLAT, [PIXELS[:3], PIXELS[3:]], PIXELS),
        (FLAT, np.array(PIXELS).reshape(3, 2), PIXELS),
        (FLAT, [np.array(PIXELS[:2]), PIXELS[2:4], np.array(PIXELS[4:])], PIXELS),
        (FLAT, [0, 1, 0, 1, 0, 1], [0, 1, 0, 1, 0, 1]),
        (GRID, PIXELS, [PIXELS[:3], PIXELS[3:]]),
        (GRID, [PIXELS[:3], PIXELS[3:]], [PIXELS[:3], PIXELS[3:]]),
        (GRID, np.array(PIXELS).reshape(2, 3), [PIXELS[:3], PIXELS[3:]]),
        (COUNTS, [0, 127.0, 255], [0, 127, 255]),
        (COUNTS, np.array([0, 127.0, 255]), [0, 127, 255]),
        (FLAG | {"shape": (2,)}, [True, False], [True, False]),
        (TEXT | {"shape": (2, 1)}, [["a"], ["b"]], [["a"], ["b"]]),
        (TEXT | {"shape": (2, 1)}, ["a", "b"], [["a"], ["b"]]),
        (SCENARIO | {"shape": (3,)}, ["E1", "A1B", "E1"], [1, 0, 1]),
        (COLOUR | {"shape": (2,)}, ["blue", "red"], ["blue", "red"]),
    ],
)
def test_an_acceptable_value_becomes_an_array(spec: dict[str, Any], value: object, expected: object) -> None:
    """The array has the dtype and the shape of the input, and the values that were sent."""
    reader = an_input(**spec)
    faults = Faults()
    array = reader.read(value, ("data", "x"), faults)

    assert faults.total == 0
    assert array is not None
    assert (array.dtype, array.shape) == (NUMPY_DTYPES[reader.spec.dtype], reader.spec.shape)
    assert np.array_equal(array, np.array(expected, array.dtype))


@pytest.mark.parametrize(
    ("spec", "value", "fault"),
    [
        # a type
        ({}, True, ("'x' takes a number.", "a number", "true")),
        ({}, None, ("'x' takes a number.", "a number", "null")),
        ({}, "3", ("'x' takes a number.", "a number", '"3"')),
        ({}, {"v": 1}, ("'x' takes a number.", "a number", "object with 'v'")),
        ({}, [1.0], ("'x' takes a number.", "a number", "array of 1")),
        ({}, np.array([1.0, 2.0]), ("'x' takes a number.", "a number", "array of 2")),
        (LATITUDE, "north", ("'x' takes a number from 15 to 60.", "a number from 15 to 60", '"north"')),
        (YEAR, False, ("'x' takes a whole number from 1860 to 2099.", "a whole number from 1860 to 2099", "false")),
        ({"dtype": "int64"}, None, ("'x' takes a whole number.", "a whole number", "null")),
        (FLAG, 1, ("'x' takes true or false.", "true or false", "1")),
        (FLAG, "true", ("'x' takes true or false.", "true or false", '"true"')),
        (TEXT, 5.5, ("'x' takes a text.", "a text", "5.5")),
        (TEXT, None, ("'x' takes a text.", "a text", "null")),
        # a range
        (LATITUDE, 60.5, ("'x' is out of range.", "a number from 15 to 60", "60.5")),
        (LATITUDE, 14, ("'x' is out of range.", "a number from 15 to 60", "14")),
        (LATITUDE, 1e300, ("'x' is out of range.", "a number from 15 to 60", "1e+300")),
        (YEAR, 2100, ("'x' is out of range.", "a whole number from 1860 to 2099", "2100")),
        ({"dtype": "uint8", "max": 10}, -1, ("'x' is out of range.", "a whole number from 0 to 10", "-1")),
        ({"min": 0.25, "max": 0.75}, 0.8, ("'x' is out of range.", "a number from 0.25 to 0.75", "0.8")),
        # whole numbers
        (YEAR, 2000.5, ("'x' is a whole number.", "a whole number from 1860 to 2099", "2000.5")),
        # categories
        (SCENARIO, "B2", ("'x' has no such category.", 'one of "A1B", "E1"', '"B2"')),
        (SCENARIO, "a1b", ("'x' has no such category.", 'one of "A1B", "E1"', '"a1b"')),
        (SCENARIO, 0, ("'x' has no such category.", 'one of "A1B", "E1"', "0")),
        (SCENARIO, None, ("'x' has no such category.", 'one of "A1B", "E1"', "null")),
        (COLOUR, "green", ("'x' has no such category.", 'one of "red", "blue"', '"green"')),
        # a structure
        (FLAT, 0.5, ("'x' is an array.", "6 numbers", "0.5")),
        (FLAT, None, ("'x' is an array.", "6 numbers", "null")),
        (FLAT, "012345", ("'x' is an array.", "6 numbers", '"012345"')),
        (GRID, {"a": 1}, ("'x' is an array.", "6 numbers, flat or nested as 2 x 3", "object with 'a'")),
        (FLAG | {"shape": (2,)}, True, ("'x' is an array.", "2 values", "true")),
        (FLAT, PIXELS[:5], ("'x' has the wrong size.", "6 numbers", "array of 5")),
        (FLAT, np.zeros(7), ("'x' has the wrong size.", "6 numbers", "array of 7")),
        (FLAT, [[0, 1], [0, 1]], ("'x' has the wrong size.", "6 numbers", "array of 2 x 2")),
        (FLAT, np.zeros((2, 2)), ("'x' has the wrong size.", "6 numbers", "array of 2 x 2")),
        (FLAT, [], ("'x' has the wrong size.", "6 numbers", "array of 0")),
        (FLAT, [[]], ("'x' has the wrong size.", "6 numbers", "array of 1 x 0")),
        (
            GRID,
            [[0, 1], [0, 1], [0, 1]],
            ("'x' has the wrong size.", "6 numbers, flat or nested as 2 x 3", "array of 3 x 2"),
        ),
        (
            GRID,
            np.zeros((3, 2)),
            ("'x' has the wrong size.", "6 numbers, flat or nested as 2 x 3", "array of 3 x 2"),
        ),
        (TEXT | {"shape": (2,)}, ["a"], ("'x' has the wrong size.", "2 values", "array of 1")),
    ],
)
def test_a_wrong_value_gets_one_fault(spec: dict[str, Any], value: object, fault: tuple[str, str, str]) -> None:
    """The fault points to the value and says what was expected and what was received."""
    found = refusals(an_input(**spec), value)

    assert found == [Fault("/data/x", *fault)]


@pytest.mark.parametrize(
    ("spec", "value", "pointer", "expected", "received"),
    [
        (FLAT, [0, 1, None, 0, 1, 0], "/data/x/2", "a number from 0 to 1", "null"),
        (FLAT, [0, 1, 0, True, 1, 0], "/data/x/3", "a number from 0 to 1", "true"),
        (FLAT, [0, 1, 0, 0, 1, "0"], "/data/x/5", "a number from 0 to 1", '"0"'),
        (FLAT, [0, 1, 0, 0, 1, {}], "/data/x/5", "a number from 0 to 1", "empty object"),
        (FLAT, [[0, 1], [0, None], [0, 1]], "/data/x/1/1", "a number from 0 to 1", "null"),
        (FLAT, [np.zeros(2), np.zeros(2), [0, False]], "/data/x/2/1", "a number from 0 to 1", "false"),
        (FLAT, [0, 1, 0, 0, 1, -0.5], "/data/x/5", "a number from 0 to 1", "-0.5"),
        (GRID, [[0, 1, 0], [0, 1, -1]], "/data/x/1/2", "a number from 0 to 1", "-1"),
        (GRID, np.array([[0, 1, 0], [-3, 1, 0.5]]), "/data/x/1/0", "a number from 0 to 1", "-3"),
        (COUNTS, [0, 1, 256], "/data/x/2", "a whole number that fits uint8", "256"),
        (COUNTS, np.array([0.5, 1, 2]), "/data/x/0", "a whole number that fits uint8", "0.5"),
        (FLAG | {"shape": (2,)}, [True, 0], "/data/x/1", "true or false", "0"),
        (FLAG | {"shape": (2,)}, [True, None], "/data/x/1", "true or false", "null"),
        (TEXT | {"shape": (2,)}, ["a", 1], "/data/x/1", "a text", "1"),
        (SCENARIO | {"shape": (2,)}, ["E1", "E2"], "/data/x/1", 'one of "A1B", "E1"', '"E2"'),
        # ragged: the pointer is where the nesting first breaks
        (FLAT, [[0, 1, 0], [0, 1]], "/data/x/1", "array of 3", "array of 2"),
        (FLAT, [0, [1], 0, 0, 0, 0], "/data/x/1", "a number", "array of 1"),
        (FLAT, [[0, 1, 0], 1], "/data/x/1", "array of 3", "1"),
        (FLAT, [np.zeros(3), np.zeros(4)], "/data/x/1", "array of 3", "array of 4"),
        (FLAT, [[[0], [1], [0, 1]], [[0], [1], [0]]], "/data/x/0/2", "array of 1", "array of 2"),
    ],
)
def test_a_fault_inside_an_array_is_pointed_to(
    spec: dict[str, Any], value: object, pointer: str, expected: str, received: str
) -> None:
    """The pointer leads to the element, through every level of the nesting that was sent."""
    found = refusals(an_input(**spec), value)

    assert [(fault.pointer, fault.expected, fault.received) for fault in found] == [(pointer, expected, received)]


@pytest.mark.parametrize(
    ("spec", "value"),
    [
        ({}, 3.5e38),
        ({}, -1e39),
        ({"dtype": "float16"}, 65505),
        ({"min": 0}, 1e39),
        ({"dtype": "int64"}, 2**53 + 2),
        ({"dtype": "int64"}, -(2**53) - 2),
        ({"dtype": "uint64"}, 2**64 - 1),
        ({"dtype": "uint64"}, -1),
        ({"dtype": "int8"}, 128),
        ({"dtype": "int8"}, -129),
        ({"dtype": "int32", "max": 2**40}, 2**31),
        ({"shape": (2,)}, [0.0, 1e39]),
        ({"shape": (2,), "dtype": "uint16"}, np.array([0.0, 65536.0])),
        ({"shape": (2,), "dtype": "int64"}, np.array([0.0, 2.0**53 + 2])),
    ],
)
def test_what_the_dtype_cannot_hold_is_out_of_range(spec: dict[str, Any], value: object) -> None:
    """Without min and max the dtype is the range: overflow is a fault, never an infinity or a wrapped number."""
    found = refusals(an_input(**spec), value)

    assert [fault.detail for fault in found] == ["'x' is out of range."]


@pytest.mark.parametrize("number", [2**53 + 1, -(2**53) - 1])
@pytest.mark.parametrize("form", [int, float])
def test_a_whole_number_that_float64_rounds_is_out_of_range(number: int, form: Any) -> None:  # noqa: ANN401 - a type
    """2^53 + 1 becomes 2^53 as a float64, so both are refused: neither form is silently taken for the other."""
    found = refusals(an_input(dtype="int64"), form(number))

    assert [fault.detail for fault in found] == ["'x' is out of range."]


@pytest.mark.parametrize(
    ("low", "high", "value", "hint"),
    [
        (0, 1, [0, 128, 255, 0, 1, 2], True),
        (0, 1, [0, 0.5, 1.5, 0, 1, 0], True),
        (0, 1, [0, 128, 256, 0, 1, 2], False),
        (0, 1, [0, 128, -1, 0, 1, 2], False),
        (0, 1, [0, 0, -1, 0, 1, 0], False),
        (0, 2, [0, 128, 255, 0, 1, 2], False),
        (-1, 1, [0, 128, 255, 0, 1, 2], False),
    ],
)
@pytest.mark.parametrize("form", [list, np.array])
def test_an_image_of_bytes_gets_a_hint(low: float, high: float, value: list[float], form: Any, *, hint: bool) -> None:  # noqa: ANN401 - a table of cases
    """Where 0 to 1 is wanted and all values are within 0 to 255, the fault says to divide by 255."""
    found = refusals(an_input(shape=(6,), min=low, max=high), form(value))

    text = "This looks like a 0-255 image: divide by 255." if hint else "'x' is out of range."
    assert {fault.detail for fault in found} == {text}


def test_a_fraction_in_an_array_is_not_called_out_of_range() -> None:
    """Where the range is kept, a fault of a whole-number array says that its values are whole."""
    found = refusals(an_input(dtype="int64", shape=(3,), min=0, max=9), np.array([1.0, 2.5, 3.0]))

    assert [(fault.pointer, fault.detail) for fault in found] == [("/data/x/1", "'x' is a whole number.")]


def test_twenty_faults_are_listed_and_all_are_counted() -> None:
    """An image of 784 bad values gives 20 faults in full and the number 784."""
    faults = Faults()

    assert an_input(shape=(784,), min=0, max=1).read(np.full(784, 9.0), ("data", "x"), faults) is None
    assert (len(faults.listed), faults.total) == (MAX_LISTED, 784)
    assert [fault.pointer for fault in faults.listed] == [f"/data/x/{index}" for index in range(MAX_LISTED)]


@pytest.mark.parametrize("form", [np.array, list])
def test_an_image_is_taken_flat_and_nested(form: Any) -> None:  # noqa: ANN401 - a way to write an array
    """784 values and 28 x 28 of them are the same image."""
    reader = an_input(name="image", shape=(784,), min=0, max=1)
    flat = np.linspace(0, 1, 784)
    faults = Faults()
    arrays = [reader.read(form(value), ("data",), faults) for value in (flat.tolist(), flat.reshape(28, 28).tolist())]

    assert faults.total == 0
    assert all(np.array_equal(array, flat.astype(np.float32)) for array in arrays)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spec", "block", "expected"),
    [
        ({}, [1.0, 2.0], [1.0, 2.0]),
        ({}, [[1.0], [2.0]], [1.0, 2.0]),
        ({"shape": (1,)}, [1.0, 2.0], [[1.0], [2.0]]),
        ({"shape": (2,)}, [[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [3.0, 4.0]]),
        ({"dtype": "uint8"}, [1.0, 2.0], [1, 2]),
        # not plainly acceptable
        ({}, [1.0, 1e39], None),
        ({"dtype": "uint8"}, [1.0, 2.5], None),
        ({"dtype": "uint8"}, [1.0, -1.0], None),
        ({"shape": (2,)}, [[1.0, 2.0, 3.0]], None),
        ({"shape": (2, 2)}, [[1.0, 2.0, 3.0, 4.0]], None),
        (SCENARIO, [0.0, 1.0], None),
        (FLAG, [0.0, 1.0], None),
    ],
)
def test_a_block_of_numbers_is_taken_whole_or_not_at_all(
    spec: dict[str, Any], block: list[Any], expected: list[Any] | None
) -> None:
    """A block becomes the input's column; with a single value in doubt it is left to the exact way."""
    reader = an_input(**spec)
    column = reader.block(np.array(block))

    if expected is None:
        assert column is None
    else:
        assert column is not None
        assert column.dtype == reader.dtype
        assert column.tolist() == expected


@pytest.mark.parametrize(
    ("spec", "values", "expected"),
    [
        ({}, [1, 2.5], [1.0, 2.5]),
        ({"shape": (1,)}, [1, 2.5], [[1.0], [2.5]]),
        (SCENARIO, ["E1", "A1B"], [1, 0]),
        (COLOUR, ["red", "blue"], ["red", "blue"]),
        ({"shape": (2,)}, [np.array([1.0, 2.0]), np.array([3.0, 4.0])], [[1.0, 2.0], [3.0, 4.0]]),
        # not plainly acceptable
        ({}, [1, True], None),
        ({}, [1, None], None),
        ({}, [1, "2"], None),
        ({"shape": (2,)}, [np.zeros(2), [0, 1]], None),
        ({"shape": (2,)}, [np.zeros(2), np.zeros(3)], None),
        ({"shape": (4,)}, [np.zeros((2, 2))], None),
        ({"shape": (2, 2)}, [np.zeros((2, 2))], None),
        (FLAG, [True, False], None),
    ],
)
def test_a_column_is_taken_whole_or_not_at_all(
    spec: dict[str, Any], values: list[Any], expected: list[Any] | None
) -> None:
    """A column of plain values becomes an array; with a single one in doubt it is left to the exact way."""
    reader = an_input(**spec)
    column = reader.column(values)

    assert (column if column is None else column.tolist()) == expected


def test_bounds_are_those_of_manifest_and_dtype_together() -> None:
    """The narrower of the two counts on each side; inputs that are no numbers have none."""
    bounds = {
        "float32": (-FLOAT32_MAX, FLOAT32_MAX),
        "int8": (-128.0, 127.0),
        "uint32": (0.0, 2.0**32 - 1),
        "bool": (-math.inf, math.inf),
        "string": (-math.inf, math.inf),
    }

    assert {dtype: (an_input(dtype=dtype).low, an_input(dtype=dtype).high) for dtype in bounds} == bounds
    assert (an_input(dtype="int8", min=-1000, max=5).low, an_input(dtype="int8", min=-1000, max=5).high) == (-128, 5)
