"""Bodies that are JSON, but no input: 422, with one pointer, what was expected and what was received for each fault."""

import json
from typing import Any, NamedTuple

import pytest
from starlette.testclient import TestClient
from tests.inprocess import faults, problem
from tests.inputs import BLANK, DENVER, GOOD, batch, single

Fault = tuple[str, str, str]

LATITUDE = "a number from 15 to 60"
LONGITUDE = "a number from -135 to -45"
YEAR = "a whole number from 1860 to 2099"
SCENARIO = 'one of "A1B", "E1"'
FEATURES = "an object with 'latitude', 'longitude', 'year', 'scenario'"
KNOWN = "one of: latitude, longitude, year, scenario"
INK = "a number from 0 to 1"
PIXELS = "784 numbers"


class Wrong(NamedTuple):
    """An example that a model refuses, and the faults, their pointers below the example."""

    model: str
    example: Any
    faults: list[Fault]


def climate(*expected: Fault, **changes: object) -> Wrong:
    """Denver with other features."""
    return Wrong("geoclimate", {**DENVER, **changes}, list(expected))


def image(value: object, *expected: Fault) -> Wrong:
    """An image of digits."""
    return Wrong("digits", {"image": value}, list(expected))


def blank(index: int, value: object) -> list[object]:
    """A blank image with another value at an index."""
    return [*BLANK[:index], value, *BLANK[index + 1 :]]


def grid(row: int, column: int, value: object) -> list[list[object]]:
    """A blank image of 28 x 28 with another value at a place."""
    lines: list[list[object]] = [[0.0] * 28 for _ in range(28)]
    lines[row][column] = value
    return lines


def without(*names: str) -> dict[str, Any]:
    """Denver without some features."""
    return {name: value for name, value in DENVER.items() if name not in names}


LINE = [0.0] * 28

EXAMPLES: dict[str, Wrong] = {
    "a feature is missing": Wrong("geoclimate", without("year"), [("/year", "'year'", "nothing")]),
    "all features are missing": Wrong("geoclimate", {}, [(f"/{name}", f"'{name}'", "nothing") for name in DENVER]),
    "an unknown feature": climate(("/altitude", KNOWN, "1600"), altitude=1600),
    "a feature in another case": Wrong(
        "geoclimate",
        {**without("year"), "Year": 2050},
        [("/year", "'year'", "nothing"), ("/Year", KNOWN, "2050")],
    ),
    "a name that a pointer must escape": climate(("/a~1b~0c", KNOWN, '"x"'), **{"a/b~c": "x"}),
    "the empty name": climate(("/", KNOWN, "1"), **{"": 1}),
    "true for a number": climate(("/latitude", LATITUDE, "true"), latitude=True),
    "false for a whole number": climate(("/year", YEAR, "false"), year=False),
    "null for a number": climate(("/latitude", LATITUDE, "null"), latitude=None),
    "a text for a number": climate(("/latitude", LATITUDE, '"39.7"'), latitude="39.7"),
    "a long text for a number": climate(
        ("/latitude", LATITUDE, '"' + "x" * 60 + '..." (1000 characters)'), latitude="x" * 1000
    ),
    "an array for a number": climate(("/latitude", LATITUDE, "array of 1"), latitude=[39.7]),
    "an object for a number": climate(("/latitude", LATITUDE, "object with 'value'"), latitude={"value": 39.7}),
    "under the range": climate(("/latitude", LATITUDE, "14.999"), latitude=14.999),
    "over the range": climate(("/latitude", LATITUDE, "60.001"), latitude=60.001),
    "a longitude without its sign": climate(("/longitude", LONGITUDE, "105"), longitude=105),
    "a year too late": climate(("/year", YEAR, "2100"), year=2100),
    "a year too early": climate(("/year", YEAR, "1859"), year=1859),
    "a year that is not whole": climate(("/year", YEAR, "2050.5"), year=2050.5),
    "a huge year": climate(("/year", YEAR, "1e+300"), year=1e300),
    "an unknown category": climate(("/scenario", SCENARIO, '"B2"'), scenario="B2"),
    "a category in another case": climate(("/scenario", SCENARIO, '"a1b"'), scenario="a1b"),
    "the number of a category": climate(("/scenario", SCENARIO, "0"), scenario=0),
    "null for a category": climate(("/scenario", SCENARIO, "null"), scenario=None),
    "an array for a category": climate(("/scenario", SCENARIO, "array of 1"), scenario=["A1B"]),
    "an object for a category": climate(("/scenario", SCENARIO, "empty object"), scenario={}),
    "everything at once": climate(
        ("/latitude", LATITUDE, "0"),
        ("/longitude", LONGITUDE, "null"),
        ("/year", YEAR, '"2050"'),
        ("/scenario", SCENARIO, "true"),
        latitude=0,
        longitude=None,
        year="2050",
        scenario=True,
    ),
    "an array that is too short": Wrong("geoclimate", [39.7, -105.0, 2050], [("", "4 values", "array of 3")]),
    "an array that is too long": Wrong("geoclimate", [39.7, -105, 2050, "E1", 1], [("", "4 values", "array of 5")]),
    "the empty array": Wrong("geoclimate", [], [("", "4 values", "array of 0")]),
    "a wrong value in an array": Wrong("geoclimate", [39.7, -105, 2050, "B2"], [("/3", SCENARIO, '"B2"')]),
    "an array in another order": Wrong(
        "geoclimate", [-105, 39.7, 2050, "A1B"], [("/0", LATITUDE, "-105"), ("/1", LONGITUDE, "39.7")]
    ),
    "a pixel is missing": image([0.0] * 783, ("/image", PIXELS, "array of 783")),
    "a pixel too many": image([0.0] * 785, ("/image", PIXELS, "array of 785")),
    "no pixels": image([], ("/image", PIXELS, "array of 0")),
    "a row is missing": image([LINE] * 27, ("/image", PIXELS, "array of 27 x 28")),
    "no rows": image([[]] * 28, ("/image", PIXELS, "array of 28 x 0")),
    "a short row": image([LINE] * 27 + [LINE[1:]], ("/image/27", "array of 28", "array of 27")),
    "a short row first": image([LINE[1:]] + [LINE] * 27, ("/image/1", "array of 27", "array of 28")),
    "a number among rows": image([*([LINE] * 5), 0.5, *([LINE] * 22)], ("/image/5", "array of 28", "0.5")),
    "a row among numbers": image([*BLANK[1:], [0.0]], ("/image/783", "a number", "array of 1")),
    "true among pixels": image(blank(5, value=True), ("/image/5", INK, "true")),
    "null among pixels": image(blank(0, None), ("/image/0", INK, "null")),
    "a text among pixels": image(blank(783, "0"), ("/image/783", INK, '"0"')),
    "an object among pixels": image(blank(9, {}), ("/image/9", INK, "empty object")),
    "null in a row": image(grid(3, 4, None), ("/image/3/4", INK, "null")),
    "two wrong types in rows": image(
        [[True, *LINE[1:]], *([LINE] * 26), [*LINE[1:], "x"]],
        ("/image/0/0", INK, "true"),
        ("/image/27/27", INK, '"x"'),
    ),
    "ink over 1": image(blank(7, 1.5), ("/image/7", INK, "1.5")),
    "ink under 0": image(blank(7, -0.25), ("/image/7", INK, "-0.25")),
    "ink over 1 in a row": image(grid(27, 0, 2), ("/image/27/0", INK, "2")),
    "a number for an image": image(0.5, ("/image", PIXELS, "0.5")),
    "null for an image": image(None, ("/image", PIXELS, "null")),
    "a text for an image": image("data:image/png;base64,", ("/image", PIXELS, '"data:image/png;base64,"')),
    "an object for an image": image({"pixels": BLANK}, ("/image", PIXELS, "object with 'pixels'")),
    "another name for the image": Wrong(
        "digits",
        {"pixels": BLANK},
        [("/image", "'image'", "nothing"), ("/pixels", "one of: image", "array of 784")],
    ),
    "a bare image that is too short": Wrong("digits", [0.0] * 783, [("", PIXELS, "array of 783")]),
    "a bare image with a wrong pixel": Wrong("digits", blank(1, None), [("/1", INK, "null")]),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_wrong_example_is_422_with_its_faults(client: TestClient, name: str) -> None:
    """/predict names each fault with pointer, expected and received."""
    wrong = EXAMPLES[name]
    answer = problem(client.post("/predict", content=single(wrong.model, wrong.example)), 422, "invalid-input")

    assert faults(answer) == [("/data" + pointer, *rest) for pointer, *rest in wrong.faults]
    assert answer["errors_total"] == len(wrong.faults)
    assert all(fault["detail"] for fault in answer["errors"])


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_wrong_example_fails_its_batch(client: TestClient, name: str) -> None:
    """/predict/batch answers all or nothing, and points into the example that is wrong."""
    wrong = EXAMPLES[name]
    body = batch(wrong.model, [GOOD[wrong.model], wrong.example, GOOD[wrong.model]])
    answer = problem(client.post("/predict/batch", content=body), 422, "invalid-input")

    assert faults(answer) == [("/data/1" + pointer, *rest) for pointer, *rest in wrong.faults]


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_wrong_example_is_wrong_without_a_name_too(client: TestClient, name: str) -> None:
    """With no model named, no model takes the example."""
    body = json.dumps({"data": EXAMPLES[name].example})
    answer = problem(client.post("/predict", content=body), 422, "invalid-input")

    assert "digits:1, geoclimate:1" in answer["detail"]


@pytest.mark.parametrize(("path", "rows"), [("/predict", None), ("/predict/batch", 1)])
def test_an_image_of_bytes_is_told_to_divide(client: TestClient, path: str, rows: int | None) -> None:
    """A 0-255 image gets a 422 that says to divide by 255, lists 20 pixels and counts them all."""
    picture = {"image": [index % 256 for index in range(784)]}
    body = json.dumps({"data": picture if rows is None else [picture]})
    answer = problem(client.post(path, content=body), 422, "invalid-input")

    assert "divide by 255" in answer["errors"][0]["detail"]
    assert answer["errors"][0]["received"] == "2"
    assert len(answer["errors"]) == 20
    assert answer["errors_total"] == sum(index % 256 > 1 for index in range(784))


def test_faults_of_all_rows_are_counted(client: TestClient) -> None:
    """A batch with more faults than are listed says how many there are."""
    rows = [{**DENVER, "year": 1}] * 500
    answer = problem(client.post("/predict/batch", content=batch("geoclimate", rows)), 422, "invalid-input")

    assert answer["errors_total"] == 500
    assert [fault["pointer"] for fault in answer["errors"]] == [f"/data/{row}/year" for row in range(20)]


NEITHER = "an object or an array"
TEXT = "a text or null"
SIZE = "a whole number from 1 to 10000"
MEMBERS = "one of: data, model_id, model_name, return_probabilities"
BATCH_MEMBERS = "one of: batch_size, data, model_id, model_name, return_probabilities"

ENVELOPES: dict[str, tuple[str, list[Fault]]] = {
    "an array": ("[1, 2]", [("", "an object", "array of 2")]),
    "the empty array": ("[]", [("", "an object", "array of 0")]),
    "a number": ("5", [("", "an object", "5")]),
    "a text": ('"data"', [("", "an object", '"data"')]),
    "null": ("null", [("", "an object", "null")]),
    "true": ("true", [("", "an object", "true")]),
    "no data": ("{}", [("/data", NEITHER, "nothing")]),
    "data is null": ('{"data": null}', [("/data", NEITHER, "null")]),
    "data is a number": ('{"data": 39.7}', [("/data", NEITHER, "39.7")]),
    "data is a text": ('{"data": "39.7"}', [("/data", NEITHER, '"39.7"')]),
    "data is true": ('{"data": true}', [("/data", NEITHER, "true")]),
    "model_id is a number": ('{"data": [1], "model_id": 1}', [("/model_id", TEXT, "1")]),
    "model_id is an array": ('{"data": [1], "model_id": ["digits:1"]}', [("/model_id", TEXT, "array of 1")]),
    "model_name is true": ('{"data": [1], "model_name": true}', [("/model_name", TEXT, "true")]),
    "model_name is an object": ('{"data": [1], "model_name": {}}', [("/model_name", TEXT, "empty object")]),
    "both names": (
        '{"data": [1], "model_id": "digits:1", "model_name": "digits"}',
        [("/model_name", "only one of the two", '"digits"')],
    ),
    "a flag as a number": (
        '{"data": [1], "return_probabilities": 1}',
        [("/return_probabilities", "true or false", "1")],
    ),
    "a flag as a text": (
        '{"data": [1], "return_probabilities": "true"}',
        [("/return_probabilities", "true or false", '"true"')],
    ),
    "a flag that is null": (
        '{"data": [1], "return_probabilities": null}',
        [("/return_probabilities", "true or false", "null")],
    ),
    "data twice": ('{"data": [1], "data": [1]}', [("/data", "each member once", "the same member again")]),
    "an option twice": (
        '{"data": [1], "model_name": "a", "model_name": "a"}',
        [("/model_name", "each member once", "the same member again")],
    ),
    "data twice, once escaped": (
        '{"data": [1], "\\u0064ata": [1]}',
        [("/data", "each member once", "the same member again")],
    ),
}

BATCH_ENVELOPES: dict[str, tuple[str, list[Fault]]] = {
    "batch_size of 0": ('{"data": [[1]], "batch_size": 0}', [("/batch_size", SIZE, "0")]),
    "batch_size under 0": ('{"data": [[1]], "batch_size": -5}', [("/batch_size", SIZE, "-5")]),
    "batch_size over 10 000": ('{"data": [[1]], "batch_size": 10001}', [("/batch_size", SIZE, "10001")]),
    "batch_size not whole": ('{"data": [[1]], "batch_size": 1.5}', [("/batch_size", SIZE, "1.5")]),
    "batch_size as a text": ('{"data": [[1]], "batch_size": "10"}', [("/batch_size", SIZE, '"10"')]),
    "batch_size true": ('{"data": [[1]], "batch_size": true}', [("/batch_size", SIZE, "true")]),
    "batch_size null": ('{"data": [[1]], "batch_size": null}', [("/batch_size", SIZE, "null")]),
    "batch_size huge": ('{"data": [[1]], "batch_size": 1e300}', [("/batch_size", SIZE, "1e+300")]),
    "an unknown member": ('{"data": [[1]], "model": "digits"}', [("/model", BATCH_MEMBERS, '"digits"')]),
    "an empty batch": ('{"data": [], "model_name": "digits"}', [("/data", "1 to 10000 examples", "array of 0")]),
}


@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
@pytest.mark.parametrize("name", ENVELOPES)
def test_a_wrong_member_is_422(client: TestClient, path: str, name: str) -> None:
    """What is wrong beside or instead of the example is named just as precisely, on both routes."""
    body, expected = ENVELOPES[name]
    answer = problem(client.post(path, content=body), 422, "invalid-input")
    if path == "/predict/batch":
        expected = [(pointer, "an array" if text == NEITHER else text, sent) for pointer, text, sent in expected]

    assert faults(answer) == expected


@pytest.mark.parametrize("name", BATCH_ENVELOPES)
def test_a_wrong_member_of_a_batch_is_422(client: TestClient, name: str) -> None:
    """What only /predict/batch has can be wrong too."""
    body, expected = BATCH_ENVELOPES[name]
    answer = problem(client.post("/predict/batch", content=body), 422, "invalid-input")

    assert faults(answer) == expected


def test_an_unknown_member_is_422(client: TestClient) -> None:
    """/predict knows four members, and `batch_size` is not among them."""
    body = '{"data": [1], "model": "digits", "batch_size": 1}'
    answer = problem(client.post("/predict", content=body), 422, "invalid-input")

    assert faults(answer) == [("/model", MEMBERS, '"digits"'), ("/batch_size", MEMBERS, "1")]


@pytest.mark.parametrize("model", GOOD)
@pytest.mark.parametrize("named", [True, False])
def test_a_batch_is_an_array(client: TestClient, model: str, named: bool) -> None:  # noqa: FBT001 - a column
    """One example sent to /predict/batch is refused at /data."""
    body = {"data": GOOD[model]} | ({"model_name": model} if named else {})
    answer = problem(client.post("/predict/batch", json=body), 422, "invalid-input")

    assert [(pointer, expected) for pointer, expected, _ in faults(answer)] == [("/data", "an array")]


def test_a_batch_that_is_no_array_is_refused_before_a_model_is_looked_for(client: TestClient) -> None:
    """The members are checked first: lane and schema agree that this is 422, not 404."""
    body = {"data": DENVER, "model_id": "nobody:1"}

    problem(client.post("/predict/batch", json=body), 422, "invalid-input")


@pytest.mark.parametrize("named", [{"model_name": "geoclimate"}, {}], ids=["named", "not named"])
def test_a_batch_has_at_most_ten_thousand_examples(client: TestClient, named: dict[str, str]) -> None:
    """One example more is 422."""
    body = {"data": [list(DENVER.values())] * 10_001, **named}
    answer = problem(client.post("/predict/batch", json=body), 422, "invalid-input")

    assert faults(answer) == [("/data", "1 to 10000 examples", "array of 10001")]


@pytest.mark.parametrize(
    ("path", "example", "pointer"),
    [("/predict", "%s", "/data/year"), ("/predict/batch", "[%s]", "/data/0/year")],
)
def test_a_feature_that_stands_twice_is_422(client: TestClient, path: str, example: str, pointer: str) -> None:
    """No silent choice between two values of one feature."""
    row = '{"latitude": 39.7, "longitude": -105, "year": 2050, "year": 2051, "scenario": "A1B"}'
    body = f'{{"data": {example % row}, "model_name": "geoclimate"}}'
    answer = problem(client.post(path, content=body), 422, "invalid-input")

    assert faults(answer) == [(pointer, "each feature once", "2051")]


@pytest.mark.parametrize(
    ("row", "pointer", "expected", "received"),
    [
        (5, "", FEATURES, "5"),
        (None, "", FEATURES, "null"),
        ("x", "", FEATURES, '"x"'),
        (True, "", FEATURES, "true"),
    ],
)
def test_a_row_that_is_no_example_is_422(
    client: TestClient, row: object, pointer: str, expected: str, received: str
) -> None:
    """A number, null, text or boolean among the examples of a batch is no example."""
    body = batch("geoclimate", [DENVER, row])
    answer = problem(client.post("/predict/batch", content=body), 422, "invalid-input")

    assert faults(answer) == [("/data/1" + pointer, expected, received)]
