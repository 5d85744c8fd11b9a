"""Golden files: read, refused, described."""

import json
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from pydantic import ValidationError

from seatrial.contracts.golden import Golden, GoldenCase, golden_schema, parse_golden

DOCUMENT: dict[str, Any] = {
    "schema": "seatrial/golden/v1",
    "tolerance": 0.001,
    "cases": [{"input": {"x": 1.5}, "output": [0.25, 0.75], "label": "b"}, {"input": {"x": 2}, "output": [1]}],
}


def test_a_golden_file_is_read() -> None:
    """Cases keep their input, output and label; a label may be absent."""
    golden = parse_golden(json.dumps(DOCUMENT).encode())

    assert golden == Golden(
        cases=(
            GoldenCase(input={"x": 1.5}, output=(0.25, 0.75), label="b"),
            GoldenCase(input={"x": 2}, output=(1.0,), label=None),
        ),
        tolerance=0.001,
    )


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"cases": []}, ("cases",)),
        ({"tolerance": -0.1}, ("tolerance",)),
        ({"tolerance": None}, ("tolerance",)),
        ({"schema": "seatrial/golden/v2"}, ("schema",)),
        ({"author": "me"}, ("author",)),
        ({"cases": [{"input": {}, "output": ["a"]}]}, ("cases", 0, "output", 0)),
        ({"cases": [{"input": [], "output": [1]}]}, ("cases", 0, "input")),
        ({"cases": [{"input": {}, "output": [1], "note": ""}]}, ("cases", 0, "note")),
    ],
)
def test_a_wrong_golden_file_is_refused(change: dict[str, Any], place: tuple[str | int, ...]) -> None:
    """The error names the place that is wrong first."""
    with pytest.raises(ValidationError) as caught:
        parse_golden(json.dumps(DOCUMENT | change).encode())

    assert caught.value.errors()[0]["loc"] == place


def test_the_schema_takes_what_is_read() -> None:
    """The JSON Schema accepts a golden file, and refuses one with an unknown member."""
    validator = jsonschema.Draft202012Validator(golden_schema())

    assert validator.is_valid(DOCUMENT)
    assert not validator.is_valid(DOCUMENT | {"author": "me"})
