"""What is said of a file is not trusted either: it is bounded before it is read, and read where nobody waits for it."""

import json

import pytest
from tests.fakes.onnx_models import linear
from tests.inprocess import problem
from tests.security.conftest import Watched

MODEL = linear().SerializeToString()
LONG = 2**20
HUGE = 10**30


@pytest.mark.proves("S38")
@pytest.mark.parametrize(
    ("manifest", "status", "slug"),
    [
        ("a." * 100_000 + "a=1", 422, "model-refused"),
        ('"a".' * 60_000 + "a=1", 422, "model-refused"),
        ("x=" + '"' * 200_000, 422, "model-refused"),
        ("a." * 40 + "a=1", 422, "model-refused"),
        ("[" * 5_000, 422, "model-refused"),
        ('{"inputs":' + json.dumps([0] * 50_000) + "}", 422, "model-refused"),
        ('{"metrics":' + json.dumps({str(number): 1 for number in range(2000)}) + "}", 422, "model-refused"),
        (json.dumps({"licence": "x" * 200_000}), 422, "model-refused"),
        (json.dumps({"output": {"classes": [0, HUGE]}}), 422, "model-refused"),
        (json.dumps({"description": "x" * LONG}), 413, "body-too-large"),
    ],
    ids=["dotted", "quoted", "quotes", "deep", "brackets", "inputs", "metrics", "licence", "huge class", "too long"],
)
def test_a_hostile_manifest_is_refused(watched: Watched, manifest: str, status: int, slug: str) -> None:
    """With its place where it has one; the server is well, and keeps nothing of it.

    What took a time that grows with the square of a text would not be answered before the client gives up.
    """
    files = watched.files()
    response = watched.http.post("/models?name=evil", files={"model": MODEL, "manifest": manifest.encode()})
    answer = problem(response, status, slug)

    assert len(response.content) < 20_000
    assert all(fault["pointer"].startswith("/manifest") for fault in answer["errors"])
    assert watched.is_well()
    assert watched.files() == files


@pytest.mark.parametrize(
    "golden",
    [
        {"cases": [{"input": {"x": HUGE}, "output": [1.0]}], "tolerance": 0},
        {"cases": [{"input": {"x": 1}, "output": [1.0], "label": HUGE}], "tolerance": 0},
    ],
    ids=["input", "label"],
)
def test_golden_answers_that_cannot_be_kept_are_refused(watched: Watched, golden: object) -> None:
    """Whole numbers of more than 64 bits are none that a file of ours holds."""
    files = watched.files()
    response = watched.http.post("/models?name=evil", files={"model": MODEL, "golden": json.dumps(golden).encode()})

    assert problem(response, 422, "model-refused")["errors"][0]["pointer"].startswith("/golden")
    assert watched.files() == files
