"""Signatures: examples and batches in every form, and what is wrong with those that are refused."""

import json
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.models import a_manifest

from seatrial.contracts.manifest import DType, InputSpec
from seatrial.contracts.problem import MAX_LISTED, Fault
from seatrial.server.inference.faults import Faults
from seatrial.server.inference.signature import Arrays, Signature
from seatrial.server.inference.types import MAX_ROWS
from seatrial.server.wire import strict_json
from seatrial.server.wire.native import Decoder

LATITUDE = InputSpec(name="latitude", dtype="float32", min=15, max=60)
YEAR = InputSpec(name="year", dtype="int64", min=1860, max=2099)
SCENARIO = InputSpec(name="scenario", dtype="int64", categories=("A1B", "E1"))
IMAGE = InputSpec(name="image", dtype="float32", shape=(4,), min=0, max=1)
GRID = InputSpec(name="grid", dtype="float32", shape=(2, 2))
NOTE = InputSpec(name="note", dtype="string")

CLIMATE = Signature(a_manifest(LATITUDE, YEAR, SCENARIO))
NUMBERS = Signature(a_manifest(LATITUDE, YEAR))
PICTURE = Signature(a_manifest(IMAGE))
MIXED = Signature(a_manifest(IMAGE, YEAR))
ONE_NUMBER = Signature(a_manifest(LATITUDE))

GOOD = {"latitude": 40.5, "year": 2050, "scenario": "E1"}


def accepted(signature: Signature, data: object, *, batch: bool = False) -> dict[str, Any]:
    """The arrays as lists, by input."""
    faults = Faults()
    arrays = (signature.accept_batch if batch else signature.accept)(data, faults)
    assert faults.listed == []
    assert arrays is not None
    assert {name: array.dtype for name, array in arrays.items()} == {r.name: r.dtype for r in signature.readers}
    return {name: array.tolist() for name, array in arrays.items()}


def refused(signature: Signature, data: object, *, batch: bool = False) -> list[Fault]:
    faults = Faults()
    assert (signature.accept_batch if batch else signature.accept)(data, faults) is None
    assert faults.total == len(faults.listed) > 0
    return faults.listed


@pytest.mark.parametrize(
    ("signature", "data", "arrays"),
    [
        (CLIMATE, GOOD, {"latitude": [40.5], "year": [2050], "scenario": [1]}),
        (CLIMATE, dict(reversed(GOOD.items())), {"latitude": [40.5], "year": [2050], "scenario": [1]}),
        (CLIMATE, [40.5, 2050, "E1"], {"latitude": [40.5], "year": [2050], "scenario": [1]}),
        (NUMBERS, np.array([40.5, 2050]), {"latitude": [40.5], "year": [2050]}),
        (PICTURE, {"image": [0, 1, 0, 0.5]}, {"image": [[0, 1, 0, 0.5]]}),
        (PICTURE, [0, 1, 0, 0.5], {"image": [[0, 1, 0, 0.5]]}),
        (PICTURE, np.array([0, 1, 0, 0.5]), {"image": [[0, 1, 0, 0.5]]}),
        (PICTURE, [[0, 1], [0, 0.5]], {"image": [[0, 1, 0, 0.5]]}),
        (MIXED, {"image": np.zeros((2, 2)), "year": 2000.0}, {"image": [[0, 0, 0, 0]], "year": [2000]}),
        (Signature(a_manifest(GRID)), [1, 2, 3, 4], {"grid": [[[1, 2], [3, 4]]]}),
        (ONE_NUMBER, {"latitude": 20}, {"latitude": [20]}),
    ],
)
def test_an_example_is_taken_in_every_form(signature: Signature, data: object, arrays: dict[str, Any]) -> None:
    """An object by name, an array in the order of the manifest, and the bare value of an only input mean the same."""
    assert accepted(signature, data) == arrays


@pytest.mark.parametrize("data", [[20.0], np.array([20.0])])
def test_an_array_of_one_is_the_example_of_one_number(data: object) -> None:
    """A model of one number takes `[20]`, as a model of two takes `[20, 2000]`, alone and in a batch."""
    assert accepted(ONE_NUMBER, data) == {"latitude": [20]}
    assert accepted(ONE_NUMBER, [data, data], batch=True) == {"latitude": [20, 20]}


@pytest.mark.parametrize(
    ("signature", "data", "arrays"),
    [
        (
            CLIMATE,
            [GOOD, GOOD | {"scenario": "A1B"}],
            {"latitude": [40.5] * 2, "year": [2050] * 2, "scenario": [1, 0]},
        ),
        (CLIMATE, [[40.5, 2050, "E1"]], {"latitude": [40.5], "year": [2050], "scenario": [1]}),
        (CLIMATE, [GOOD, [40.5, 2050, "A1B"]], {"latitude": [40.5] * 2, "year": [2050] * 2, "scenario": [1, 0]}),
        (NUMBERS, np.array([[20.0, 1900], [30, 2000]]), {"latitude": [20, 30], "year": [1900, 2000]}),
        (NUMBERS, [[20, 1900], np.array([30.0, 2000])], {"latitude": [20, 30], "year": [1900, 2000]}),
        (PICTURE, np.array([[0.0, 1, 0, 1], [1, 0, 1, 0]]), {"image": [[0, 1, 0, 1], [1, 0, 1, 0]]}),
        (PICTURE, [[[0, 1], [0, 1]], [[1, 0], [1, 0]]], {"image": [[0, 1, 0, 1], [1, 0, 1, 0]]}),
        (PICTURE, [{"image": [0, 1, 0, 1]}, [1, 0, 1, 0]], {"image": [[0, 1, 0, 1], [1, 0, 1, 0]]}),
        (PICTURE, [{"image": np.array([0.0, 1, 0, 1])}] * 2, {"image": [[0, 1, 0, 1]] * 2}),
        (PICTURE, [{"image": np.zeros((2, 2))}] * 2, {"image": [[0, 0, 0, 0]] * 2}),
        (
            MIXED,
            [{"image": np.zeros(4), "year": 2000}, {"image": [0, 0, 0, 1], "year": 2001.0}],
            {"image": [[0, 0, 0, 0], [0, 0, 0, 1]], "year": [2000, 2001]},
        ),
        (Signature(a_manifest(NOTE)), [{"note": "a"}, {"note": "b"}], {"note": ["a", "b"]}),
    ],
)
def test_a_batch_is_taken_in_every_form(signature: Signature, data: object, arrays: dict[str, Any]) -> None:
    """Rows are objects, arrays or bare values, also mixed; their order is kept."""
    assert accepted(signature, data, batch=True) == arrays


@pytest.mark.parametrize(
    ("signature", "data", "faults"),
    [
        (CLIMATE, {"latitude": 20, "year": 2000}, [("/data/scenario", "'scenario'", "nothing")]),
        (
            CLIMATE,
            {},
            [
                ("/data/latitude", "'latitude'", "nothing"),
                ("/data/year", "'year'", "nothing"),
                ("/data/scenario", "'scenario'", "nothing"),
            ],
        ),
        (CLIMATE, GOOD | {"month": 3}, [("/data/month", "one of: latitude, year, scenario", "3")]),
        (CLIMATE, GOOD | {"a/b": [1]}, [("/data/a~1b", "one of: latitude, year, scenario", "array of 1")]),
        (
            CLIMATE,
            {"latitude": 20, "yeer": 2000, "scenario": "E1"},
            [("/data/year", "'year'", "nothing"), ("/data/yeer", "one of: latitude, year, scenario", "2000")],
        ),
        (
            CLIMATE,
            {"latitude": 70, "year": None, "scenario": "X"},
            [
                ("/data/latitude", "a number from 15 to 60", "70"),
                ("/data/year", "a whole number from 1860 to 2099", "null"),
                ("/data/scenario", 'one of "A1B", "E1"', '"X"'),
            ],
        ),
        (CLIMATE, [20, 2000], [("/data", "3 values", "array of 2")]),
        (NUMBERS, np.array([20.0, 2000, 1]), [("/data", "2 values", "array of 3")]),
        (CLIMATE, [20, 2000, 1], [("/data/2", 'one of "A1B", "E1"', "1")]),
        (
            NUMBERS,
            np.array([70.0, 2000.5]),
            [
                ("/data/0", "a number from 15 to 60", "70"),
                ("/data/1", "a whole number from 1860 to 2099", "2000.5"),
            ],
        ),
        (PICTURE, [0, 1, 2], [("/data", "4 numbers", "array of 3")]),
        (PICTURE, {"image": [0, 1, -1, 0]}, [("/data/image/2", "a number from 0 to 1", "-1")]),
        (PICTURE, [0, 1, -1, 0], [("/data/2", "a number from 0 to 1", "-1")]),
        (MIXED, [[0, 0, 0, 0], 2000], [("/data", "an object with 'image', 'year'", "array of 2")]),
        (CLIMATE, "text", [("/data", "an object with 'latitude', 'year', 'scenario'", '"text"')]),
        (CLIMATE, None, [("/data", "an object with 'latitude', 'year', 'scenario'", "null")]),
        (CLIMATE, 3.0, [("/data", "an object with 'latitude', 'year', 'scenario'", "3")]),
        (
            CLIMATE,
            strict_json.loads(b'{"latitude": 1, "latitude": 20, "year": 2000, "scenario": "E1"}'),
            [("/data/latitude", "each feature once", "20")],
        ),
    ],
)
def test_an_example_that_does_not_fit_gets_its_faults(
    signature: Signature, data: object, faults: list[tuple[str, str, str]]
) -> None:
    """Missing, unknown, repeated and wrong features each get a fault with a pointer."""
    assert [(f.pointer, f.expected, f.received) for f in refused(signature, data)] == faults


@pytest.mark.parametrize(
    ("signature", "data", "faults"),
    [
        (CLIMATE, {"latitude": 20}, [("/data", "an array", "object with 'latitude'")]),
        (CLIMATE, "rows", [("/data", "an array", '"rows"')]),
        (CLIMATE, [], [("/data", "1 to 10000 examples", "array of 0")]),
        (NUMBERS, np.zeros((0,)), [("/data", "1 to 10000 examples", "array of 0")]),
        (CLIMATE, [GOOD] * (MAX_ROWS + 1), [("/data", "1 to 10000 examples", "array of 10001")]),
        (NUMBERS, np.zeros((MAX_ROWS + 1, 2)), [("/data", "1 to 10000 examples", "array of 10001 x 2")]),
        (CLIMATE, [GOOD, GOOD | {"year": 1}], [("/data/1/year", "a whole number from 1860 to 2099", "1")]),
        (CLIMATE, [GOOD, None], [("/data/1", "an object with 'latitude', 'year', 'scenario'", "null")]),
        (CLIMATE, [GOOD, {**GOOD, "x": 1}], [("/data/1/x", "one of: latitude, year, scenario", "1")]),
        (
            CLIMATE,
            [{"latitude": 20, "year": 2000, "month": 1}, GOOD | {"scenario": 1}],
            [
                ("/data/0/scenario", "'scenario'", "nothing"),
                ("/data/0/month", "one of: latitude, year, scenario", "1"),
                ("/data/1/scenario", 'one of "A1B", "E1"', "1"),
            ],
        ),
        (NUMBERS, np.array([[20.0, 2000], [70, 2000]]), [("/data/1/0", "a number from 15 to 60", "70")]),
        (
            NUMBERS,
            np.array([20.0, 2000]),
            [
                ("/data/0", "an object with 'latitude', 'year'", "20"),
                ("/data/1", "an object with 'latitude', 'year'", "2000"),
            ],
        ),
        (PICTURE, np.array([[0.0, 1, 0, 0], [0, 0, 0, 7]]), [("/data/1/3", "a number from 0 to 1", "7")]),
        (PICTURE, [[[0, 1], [0, 1]], [[0, 1], [0, True]]], [("/data/1/1/1", "a number from 0 to 1", "true")]),
        (PICTURE, [[0, 1, 0, 1], [0, 1, 0]], [("/data/1", "4 numbers", "array of 3")]),
        (PICTURE, [{"image": np.zeros(4)}, {"image": np.zeros(3)}], [("/data/1/image", "4 numbers", "array of 3")]),
        (
            CLIMATE,
            strict_json.loads(
                b'[{"latitude": 20, "year": 2000, "scenario": "E1"},'
                b' {"latitude": 20, "year": 2000, "scenario": "E1", "year": 2001}]'
            ),
            [("/data/1/year", "each feature once", "2001")],
        ),
    ],
)
def test_a_batch_that_does_not_fit_gets_its_faults(
    signature: Signature, data: object, faults: list[tuple[str, str, str]]
) -> None:
    """A pointer leads through the row; the batch as a whole is refused when one row is."""
    assert [(f.pointer, f.expected, f.received) for f in refused(signature, data, batch=True)] == faults


def test_the_largest_batch_is_taken() -> None:
    """10 000 examples are a batch, in rows of objects and as one block."""
    assert len(accepted(NUMBERS, [{"latitude": 20, "year": 2000}] * MAX_ROWS, batch=True)["year"]) == MAX_ROWS
    assert len(accepted(NUMBERS, np.array([[20.0, 2000]] * MAX_ROWS), batch=True)["year"]) == MAX_ROWS


def test_of_many_faults_twenty_are_listed() -> None:
    """A batch of 30 bad rows with two faults each lists the first 20 and counts 60."""
    faults = Faults()

    assert NUMBERS.accept_batch([{"latitude": 0, "year": None}] * 30, faults) is None
    assert (len(faults.listed), faults.total) == (MAX_LISTED, 60)
    assert faults.listed[-1].pointer == "/data/9/year"


@pytest.mark.parametrize(
    ("signature", "width"), [(CLIMATE, 3), (PICTURE, 4), (MIXED, 5), (Signature(a_manifest(GRID, NOTE)), 5)]
)
def test_the_width_counts_the_values_of_an_example(signature: Signature, width: int) -> None:
    """It is the second number of `input_shape`."""
    assert signature.width == width


# Properties: for models of all kinds of inputs and rows in all forms, mostly right.

SPECS = [
    InputSpec(name="a", dtype="float32"),
    InputSpec(name="b", dtype="float64", min=-1, max=1),
    InputSpec(name="c", dtype="int64"),
    InputSpec(name="d", dtype="uint8", max=9),
    InputSpec(name="e", dtype="int64", categories=("p", "q")),
    InputSpec(name="f", dtype="string", categories=("p", "q")),
    InputSpec(name="g", dtype="bool"),
    InputSpec(name="h", dtype="string"),
    InputSpec(name="i", dtype="float32", shape=(1,)),
    InputSpec(name="j", dtype="float32", shape=(4,), min=0, max=1),
    InputSpec(name="k", dtype="int16", shape=(2, 2)),
    InputSpec(name="l", dtype="string", shape=(2,)),
    InputSpec(name="m", dtype="int32", shape=(2,), categories=("p", "q")),
    InputSpec(name="n", dtype="bool", shape=(2,)),
]
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        "p",
        "z",
        0,
        1,
        -1,
        2,
        0.5,
        1e39,
        2**53 + 1,
        2**64 - 1,
        -(2**63),
        300.0,
        [],
        [1],
        [[0.5]],
        {},
        {"a": 1},
    ]
)


def values_of(spec: InputSpec) -> st.SearchStrategy[Any]:
    """JSON values that an input takes, flat or nested."""
    element: st.SearchStrategy[Any]
    if spec.categories:
        element = st.sampled_from(spec.categories)
    elif spec.dtype == "bool":
        element = st.booleans()
    elif spec.dtype == "string":
        element = st.text(max_size=3)
    elif spec.dtype.startswith("float"):
        element = st.sampled_from([0, 1, 0.5, 1.0, 0.25])
    elif spec.max is None and spec.dtype == "int64":
        element = st.sampled_from([0, -7, 3.0, 2**53 + 1])
    else:
        element = st.sampled_from([0, 1, 9, 3.0])
    if not spec.shape:
        return element
    flat = st.lists(element, min_size=int(np.prod(spec.shape)), max_size=int(np.prod(spec.shape)))
    nested = flat.map(lambda items: [items[: len(items) // 2], items[len(items) // 2 :]])
    return flat | nested if len(spec.shape) == 2 or spec.shape == (4,) else flat


@st.composite
def rows_of(draw: st.DrawFn, specs: list[InputSpec], oddity: int) -> Any:  # noqa: ANN401 - JSON
    """One example, in one of its forms; with `oddity`, one in so many values is none that fits."""
    odd = draw(st.integers(0, 3 * oddity)) == 1 if oddity else False
    if odd:
        return draw(ODD)
    values = [draw(ODD if oddity and draw(st.integers(0, oddity)) == 1 else values_of(spec)) for spec in specs]
    row = dict(zip([spec.name for spec in specs], values, strict=True))
    if oddity and draw(st.integers(0, oddity)) == 1:
        row.pop(draw(st.sampled_from(sorted(row))))
    scalars = all(spec.shape in {(), (1,)} for spec in specs)
    match draw(st.sampled_from(["object", "object", "array", "bare"])):
        case "array" if scalars:
            return values
        case "bare" if len(specs) == 1:
            return values[0]
    return row


@st.composite
def batches(draw: st.DrawFn) -> tuple[list[InputSpec], list[Any]]:
    """The inputs of a model, and a batch for it; half of the batches have only rows that fit."""
    specs = draw(st.lists(st.sampled_from(SPECS), min_size=1, max_size=3, unique_by=lambda spec: spec.name))
    oddity = draw(st.sampled_from([0, 0, 8, 20]))
    return specs, draw(st.lists(rows_of(specs, oddity), min_size=1, max_size=5))


def equal(left: Arrays | None, right: Arrays | None) -> bool:
    if left is None or right is None:
        return left is right
    return left.keys() == right.keys() and all(
        left[name].dtype == right[name].dtype and np.array_equal(left[name], right[name]) for name in left
    )


def read(signature: Signature, data: object, *, batch: bool) -> tuple[Arrays | None, Faults]:
    faults = Faults()
    return (signature.accept_batch if batch else signature.accept)(data, faults), faults


@settings(max_examples=300)
@given(case=batches(), quick=st.booleans())
def test_a_batch_is_its_rows(case: tuple[list[InputSpec], list[Any]], *, quick: bool) -> None:
    """A batch is accepted when each of its rows is, with the same arrays; else it has the faults of its rows."""
    specs, rows = case
    signature = Signature(a_manifest(*specs))
    body = json.dumps({"data": rows}).encode()
    data = Decoder(batch=True).decode(body).data if quick else strict_json.loads(body)["data"]
    arrays, faults = read(signature, data, batch=True)
    singles = [read(signature, json.loads(json.dumps(row)), batch=False) for row in rows]

    assert faults.total == sum(found.total for _, found in singles)
    assert [fault.pointer for fault in faults.listed] == [
        f"/data/{index}{fault.pointer.removeprefix('/data')}"
        for index, (_, found) in enumerate(singles)
        for fault in found.listed
    ][:MAX_LISTED]
    if arrays is not None:
        columns = {name: [single[name] for single, _ in singles if single is not None] for name in signature.names}
        assert equal(arrays, {name: np.concatenate(column) for name, column in columns.items()})


@settings(max_examples=300)
@given(case=batches(), batch=st.booleans())
def test_the_quick_and_the_exact_way_agree(case: tuple[list[InputSpec], list[Any]], *, batch: bool) -> None:
    """Arrays of numbers read into numpy and the same as plain lists give equal arrays, or equal faults."""
    specs, rows = case
    signature = Signature(a_manifest(*specs))
    data = rows if batch else rows[0]
    if not isinstance(data, dict | list):
        data = [data]
    body = json.dumps({"data": data}).encode()
    quick, quick_faults = read(signature, Decoder(batch=batch).decode(body).data, batch=batch)
    exact, exact_faults = read(signature, strict_json.loads(body)["data"], batch=batch)

    assert equal(quick, exact)
    assert (quick_faults.listed, quick_faults.counts) == (exact_faults.listed, exact_faults.counts)


def test_every_dtype_has_a_reader() -> None:
    """A model may have an input of each dtype that a manifest can name, in one signature."""
    names = list(get_args(DType))
    signature = Signature(a_manifest(*[InputSpec(name=dtype, dtype=dtype) for dtype in names]))
    example = {name: True if name == "bool" else "t" if name == "string" else 1 for name in names}

    assert {name: values[0] for name, values in accepted(signature, example).items()} == example
