"""Manifests: read, written back, refused."""

import json
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from seatrial.contracts.manifest import (
    InputDraft,
    InputSpec,
    Manifest,
    ManifestDraft,
    OutputDraft,
    OutputSpec,
    manifest_as_dict,
    manifest_schema,
    parse_draft,
    parse_manifest,
)

DOCUMENT: dict[str, Any] = {
    "schema": "seatrial/manifest/v1",
    "name": "geo-climate_2.1",
    "task": "regression",
    "description": "",
    "licence": "MIT",
    "inputs": [
        {
            "name": "latitude",
            "dtype": "float32",
            "shape": [],
            "units": "degrees",
            "description": "",
            "min": -90.0,
            "max": 90.0,
            "categories": [],
        },
        {
            "name": "scenario",
            "dtype": "int64",
            "shape": [],
            "units": "",
            "description": "",
            "min": None,
            "max": None,
            "categories": ["A1B", "E1"],
        },
    ],
    "output": {"name": "temperature", "units": "degrees Celsius", "classes": []},
    "metrics": {"rmse": 0.5},
    "execution": {"mode": "threads", "max_batch": 16},
    "golden": "golden.json",
    "digest": "sha256:" + "0a" * 32,
}
FIRST = DOCUMENT["inputs"][0]


def test_a_manifest_survives_the_round_trip() -> None:
    """What is written back is what was read."""
    manifest = parse_manifest(json.dumps(DOCUMENT).encode())

    assert manifest_as_dict(manifest) == DOCUMENT
    assert parse_manifest(json.dumps(manifest_as_dict(manifest)).encode()) == manifest


dtypes = st.sampled_from(["float32", "float64", "int64", "uint8"])
specs = st.builds(
    InputSpec,
    name=st.text(min_size=1, max_size=128),
    dtype=dtypes,
    shape=st.lists(st.integers(1, 1000), max_size=3).map(tuple),
    units=st.text(),
    min=st.none() | st.floats(-1e6, 0),
    max=st.none() | st.floats(0, 1e6),
)


@given(inputs=st.lists(specs, min_size=1, max_size=4, unique_by=lambda spec: spec.name), description=st.text())
def test_every_manifest_survives_the_round_trip(inputs: list[InputSpec], description: str) -> None:
    """Writing and reading gives an equal manifest, whatever its texts and shapes."""
    manifest = Manifest(
        name="m",
        task="classification",
        inputs=tuple(inputs),
        output=OutputSpec(name="p", classes=("no", 1)),
        digest=DOCUMENT["digest"],
        description=description,
    )

    assert parse_manifest(json.dumps(manifest_as_dict(manifest)).encode()) == manifest


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"name": "Upper"}, ("name",)),
        ({"name": "-first"}, ("name",)),
        ({"name": "a" * 65}, ("name",)),
        ({"name": "a\n"}, ("name",)),
        ({"name": ""}, ("name",)),
        ({"task": "clustering"}, ("task",)),
        ({"inputs": []}, ("inputs",)),
        ({"digest": "sha256:" + "0A" * 32}, ("digest",)),
        ({"digest": "0a" * 32}, ("digest",)),
        ({"schema": "seatrial/manifest/v2"}, ("schema",)),
        ({"vendor": ""}, ("vendor",)),
        ({"inputs": [FIRST | {"dtype": "complex64"}]}, ("inputs", 0, "dtype")),
        ({"inputs": [FIRST | {"shape": [0]}]}, ("inputs", 0, "shape", 0)),
        ({"inputs": [FIRST | {"shape": [-1]}]}, ("inputs", 0, "shape", 0)),
        ({"inputs": [FIRST | {"name": ""}]}, ("inputs", 0, "name")),
        ({"inputs": [FIRST | {"name": "n" * 129}]}, ("inputs", 0, "name")),
        ({"inputs": [FIRST | {"default": 0}]}, ("inputs", 0, "default")),
        ({"output": {"name": ""}}, ("output", "name")),
        ({"output": {"name": "t", "shape": []}}, ("output", "shape")),
        ({"metrics": {"rmse": "low"}}, ("metrics", "rmse")),
    ],
)
def test_a_wrong_member_is_refused(change: dict[str, Any], place: tuple[str | int, ...]) -> None:
    """The error names the place that is wrong first."""
    with pytest.raises(ValidationError) as caught:
        parse_manifest(json.dumps(DOCUMENT | change).encode())

    assert caught.value.errors()[0]["loc"] == place


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"inputs": [FIRST, FIRST]}, "two inputs have the same name"),
        ({"task": "classification"}, "a classification names its classes, a regression has none"),
        ({"output": {"name": "t", "classes": ["a"]}}, "a classification names its classes, a regression has none"),
        ({"inputs": [FIRST | {"min": 91}]}, "min 91.0 is above max 90.0"),
        (
            {"inputs": [FIRST | {"categories": ["a"]}]},
            "categories need an integer or string dtype, not float32",
        ),
        (
            {"inputs": [{"name": "b", "dtype": "bool", "categories": ["a"]}]},
            "categories need an integer or string dtype, not bool",
        ),
        ({"inputs": [{"name": "c", "dtype": "string", "categories": ["a", "a"]}]}, "a category stands twice"),
        ({"inputs": [{"name": "b", "dtype": "bool", "min": 0}]}, "min and max have no meaning for dtype bool"),
        ({"inputs": [{"name": "s", "dtype": "string", "max": 0}]}, "min and max have no meaning for dtype string"),
    ],
)
def test_members_that_contradict_are_refused(change: dict[str, Any], reason: str) -> None:
    """The error says which members contradict each other."""
    with pytest.raises(ValidationError) as caught:
        parse_manifest(json.dumps(DOCUMENT | change).encode())

    assert caught.value.errors()[0]["msg"] == f"Value error, {reason}"


def test_a_range_of_one_value_is_allowed() -> None:
    """Min and max are inclusive, so they may be equal."""
    assert InputSpec(name="x", dtype="float32", min=1, max=1).min == 1


def test_the_schema_takes_what_is_read() -> None:
    """The JSON Schema accepts a manifest, and refuses one without inputs."""
    validator = jsonschema.Draft202012Validator(manifest_schema())

    assert validator.is_valid(DOCUMENT)
    assert not validator.is_valid(DOCUMENT | {"inputs": []})


DRAFT = ManifestDraft(
    description="d", inputs=(InputDraft(name="x", min=0, max=9),), output=OutputDraft(classes=("no", "yes"))
)


@pytest.mark.parametrize(
    "text",
    [
        'description = "d"\n[[inputs]]\nname = "x"\nmin = 0\nmax = 9\n[output]\nclasses = ["no", "yes"]\n',
        '\n {"description": "d", "inputs": [{"name": "x", "min": 0, "max": 9}], "output": {"classes": ["no", "yes"]}}',
    ],
    ids=["toml", "json"],
)
def test_a_draft_is_read_from_toml_and_json(text: str) -> None:
    """Any part may be missing."""
    assert parse_draft(text.encode()) == DRAFT
    assert parse_draft(b"") == ManifestDraft()


def test_a_manifest_that_was_shown_can_be_sent_again() -> None:
    """What the server assigns is taken, and means nothing."""
    draft = parse_draft(json.dumps({**DOCUMENT, "version": 7}).encode())

    assert (draft.name, draft.inputs[0].min, draft.task) == ("geo-climate_2.1", -90.0, "regression")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('stage = "production"', ("stage",)),
        ('{"stage": "production"}', ("stage",)),
        ("gate = 1", ("gate",)),
        ("inputs = 3", ("inputs",)),
        ("[[inputs]]\nunits = 'm'", ("inputs", 0, "name")),
        ("[[inputs]]\nname = 'x'\nmin = nan", ("inputs", 0, "min")),
        ("[[inputs]]\nname = 'x'\nmax = inf", ("inputs", 0, "max")),
        ("[[inputs]]\nname = 'x'\nshape = [0]", ("inputs", 0, "shape", 0)),
        ("[[inputs]]\nname = 'x'\nrole = 'admin'", ("inputs", 0, "role")),
        ("task = 'clustering'", ("task",)),
        ("[metrics]\nf1 = inf", ("metrics", "f1")),
    ],
)
def test_a_draft_with_a_wrong_part_is_refused(text: str, place: tuple[str | int, ...]) -> None:
    """The error says where."""
    with pytest.raises(ValidationError) as caught:
        parse_draft(text.encode())
    assert caught.value.errors()[0]["loc"] == place


@pytest.mark.parametrize("content", [b"\xff", b"= 1", b"x = [" + b"[" * 5000, b"a = 1\na = 2"])
def test_what_is_neither_toml_nor_json_is_refused(content: bytes) -> None:
    """Nor text at all; however deep it is nested."""
    with pytest.raises(ValueError):  # noqa: PT011 - the text is that of the library
        parse_draft(content)


@pytest.mark.parametrize(
    "before",
    [
        "", "licence = 'x'", 'licence = "\\""', 'licence = "#"', "licence = '#'", 'licence = "a" # """', "# ' \"\"\"",
        'licence = """a\\""" """', 'licence = """a""""', 'licence = """a"""""', "licence = '''a''''",
        'licence = """\\\n"""', "licence = '''\"\"\"'''",
    ],
)  # fmt: skip
def test_no_text_hides_a_key_that_is_too_deep(before: str) -> None:
    """Where a text or a remark ends is seen as TOML sees it; a deep key is refused before it is read."""
    good = f"{before}\nunits.a = 1\n".encode()
    with pytest.raises(ValidationError, match="units"):
        parse_draft(good)
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_draft(f"{before}\n{'a.' * 40}a = 1\n".encode())


def test_dots_in_a_text_are_no_depth() -> None:
    """Nor are those of many numbers."""
    text = 'description = "' + "Well. " * 400 + '"\n[metrics]\n' + "".join(f"m{n} = {n}.5\n" for n in range(100))

    assert len(parse_draft(text.encode()).metrics) == 100
