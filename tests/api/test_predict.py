"""POST /predict and /predict/batch: right answers, and who gives them."""

import re
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.inprocess import problem
from tests.inputs import BLANK, DENVER, GOOD, NESTED, Json

COMPUTED = {"Cache-Control": "no-cache"}
TIMINGS = ["parse", "auth", "cache", "queue", "batch", "infer", "encode", "total"]
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z").fullmatch


def test_a_regression_answers_with_a_value_and_its_units(client: TestClient) -> None:
    """The whole answer of /predict for a regression."""
    response = client.post("/predict", json={"data": DENVER}, headers=COMPUTED)
    answer = response.json()

    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert answer.pop("inference_time_ms") >= 0
    assert RFC_3339(answer.pop("timestamp"))
    value = answer.pop("prediction")
    assert 5 < value < 15
    assert answer == {
        "predictions": [value],
        "units": "degrees Celsius",
        "model_id": "geoclimate:1",
        "model_name": "geoclimate",
        "model_version": 1,
        "input_shape": [1, 4],
        "cached": False,
    }


def test_a_classification_answers_with_a_class_and_its_confidence(client: TestClient) -> None:
    """The whole answer of /predict for a classification, and the probabilities that were asked for."""
    answer = client.post(
        "/predict", json={"data": {"image": BLANK}, "return_probabilities": True}, headers=COMPUTED
    ).json()

    assert answer.pop("inference_time_ms") >= 0
    assert RFC_3339(answer.pop("timestamp"))
    probabilities = answer.pop("probabilities")
    assert list(probabilities) == [str(digit) for digit in range(10)]
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
    confidence = answer.pop("confidence")
    assert confidence == max(probabilities.values())
    digit = answer.pop("prediction")
    assert probabilities[str(digit)] == confidence
    assert answer == {
        "predictions": [digit],
        "model_id": "digits:1",
        "model_name": "digits",
        "model_version": 1,
        "input_shape": [1, 784],
        "cached": False,
    }


def test_probabilities_come_only_when_asked_for(client: TestClient) -> None:
    """Without `return_probabilities` neither route gives them."""
    assert "probabilities" not in client.post("/predict", json={"data": BLANK}).json()
    assert "probabilities" not in client.post("/predict/batch", json={"data": [BLANK]}).json()


def test_a_regression_has_no_probabilities(client: TestClient) -> None:
    """Asking a regression for probabilities changes nothing."""
    answer = client.post("/predict", json={"data": DENVER, "return_probabilities": True}).json()

    assert answer.keys().isdisjoint({"probabilities", "confidence"})


def test_a_batch_answers_each_example_in_order(client: TestClient) -> None:
    """The whole answer of /predict/batch for a regression."""
    rows = [{**DENVER, "year": year} for year in (1900, 2000, 2090)]
    answer = client.post("/predict/batch", json={"data": rows}).json()

    assert answer.pop("inference_time_ms") >= 0
    assert RFC_3339(answer.pop("timestamp"))
    ones = [client.post("/predict", json={"data": row}).json()["prediction"] for row in rows]
    assert answer.pop("predictions") == pytest.approx(ones, abs=1e-4)
    assert answer == {
        "units": "degrees Celsius",
        "model_id": "geoclimate:1",
        "model_name": "geoclimate",
        "model_version": 1,
        "input_shape": [3, 4],
        "cached": False,
    }


def test_a_batch_of_images_has_a_confidence_each(client: TestClient) -> None:
    """The whole answer of /predict/batch for a classification, with probabilities."""
    body = {"data": [BLANK, {"image": [1.0] * 784}], "return_probabilities": True}
    answer = client.post("/predict/batch", json=body).json()

    for probabilities, digit, confidence in zip(
        answer["probabilities"], answer["predictions"], answer["confidences"], strict=True
    ):
        assert probabilities[str(digit)] == confidence == max(probabilities.values())
    assert answer["input_shape"] == [2, 784]
    assert "prediction" not in answer


@pytest.mark.parametrize("size", [1, 2, 7, 7.0, 10_000])
def test_batch_size_never_changes_answers(client: TestClient, size: float) -> None:
    """Any `batch_size` gives what the default gives."""
    rows = [{**DENVER, "year": year} for year in range(1900, 1920)]
    expected = client.post("/predict/batch", json={"data": rows}).json()["predictions"]
    answer = client.post("/predict/batch", json={"data": rows, "batch_size": size})

    assert answer.status_code == 200
    assert answer.json()["predictions"] == pytest.approx(expected, abs=1e-4)


def test_ten_thousand_examples_are_one_batch(client: TestClient) -> None:
    """The largest batch is answered whole."""
    rows = [list(DENVER.values())] * 10_000
    answer = client.post("/predict/batch", json={"data": rows}).json()

    assert answer["input_shape"] == [10_000, 4]
    assert len(answer["predictions"]) == 10_000


@pytest.mark.parametrize(
    "data",
    [
        {"image": BLANK},
        BLANK,
        {"image": NESTED},
        NESTED,
        [0] * 784,
        {"image": [[0] * 28] * 28},
        [0.0, 0] * 392,
    ],
    ids=["named", "bare", "named nested", "nested", "whole numbers", "nested whole numbers", "mixed numbers"],
)
def test_an_image_can_be_given_in_every_plain_form(client: TestClient, data: Json) -> None:
    """Named or bare, flat or 28 x 28, whole numbers or not: one image has one answer."""
    expected = client.post("/predict", json={"data": BLANK}).json()
    answer = client.post("/predict", json={"data": data})

    assert answer.status_code == 200, answer.text
    assert answer.json()["confidence"] == expected["confidence"]


@pytest.mark.parametrize(
    "data",
    [
        list(DENVER.values()),
        dict(reversed(DENVER.items())),
        {**DENVER, "year": 2050.0, "longitude": -105},
    ],
    ids=["array in the manifest's order", "object in another order", "numbers written otherwise"],
)
def test_features_can_be_given_in_every_plain_form(client: TestClient, data: Json) -> None:
    """An array in the manifest's order, an object in any order, 2050.0 for 2050."""
    expected = client.post("/predict", json={"data": DENVER}).json()["prediction"]
    answer = client.post("/predict", json={"data": data})

    assert answer.json()["prediction"] == expected


@pytest.mark.parametrize(
    ("named", "model_id"),
    [
        ({"model_id": "geoclimate:1"}, "geoclimate:1"),
        ({"model_name": "geoclimate"}, "geoclimate:1"),
        ({"model_id": "geoclimate:1", "model_name": None}, "geoclimate:1"),
        ({"model_id": None, "model_name": None}, "geoclimate:1"),
        ({}, "geoclimate:1"),
    ],
)
@pytest.mark.parametrize(("path", "data"), [("/predict", DENVER), ("/predict/batch", [DENVER])])
def test_the_named_model_answers(
    client: TestClient,
    path: str,
    data: Json,
    named: dict[str, Any],
    model_id: str,
) -> None:
    """By id, by name, or, with neither, the production model whose signature accepts the input."""
    assert client.post(path, json={"data": data, **named}).json()["model_id"] == model_id


@pytest.mark.parametrize("name", GOOD)
def test_the_signature_chooses_the_model(client: TestClient, name: str) -> None:
    """With no name each input finds its model."""
    assert client.post("/predict", json={"data": GOOD[name]}).json()["model_name"] == name


def test_an_input_that_fits_nothing_names_the_candidates(client: TestClient) -> None:
    """422 says which models there are, and what is wrong for the nearest of them."""
    answer = problem(client.post("/predict", json={"data": {**DENVER, "year": 1492}}), 422, "invalid-input")

    assert "digits:1, geoclimate:1" in answer["detail"]
    assert "geoclimate:1'" in answer["detail"].rpartition("against")[2]
    assert [fault["pointer"] for fault in answer["errors"]] == ["/data/year"]


@pytest.mark.parametrize(
    ("named", "status", "slug"),
    [
        ({"model_id": "digits:2"}, 404, "unknown-model"),
        ({"model_id": "digits"}, 404, "unknown-model"),
        ({"model_id": "digits:0"}, 404, "unknown-model"),
        ({"model_id": "digits:01"}, 404, "unknown-model"),
        ({"model_id": "DIGITS:1"}, 404, "unknown-model"),
        ({"model_id": "digits:1:1"}, 404, "unknown-model"),
        ({"model_id": "nobody:1"}, 404, "unknown-model"),
        ({"model_id": ""}, 404, "unknown-model"),
        ({"model_id": "x" * 5000}, 404, "unknown-model"),
        ({"model_name": "nobody"}, 404, "unknown-model"),
        ({"model_name": "digits:1"}, 404, "unknown-model"),
        ({"model_name": ""}, 404, "unknown-model"),
    ],
)
@pytest.mark.parametrize(("path", "data"), [("/predict", DENVER), ("/predict/batch", [DENVER])])
def test_an_unknown_model_is_404(
    client: TestClient,
    path: str,
    data: Json,
    named: dict[str, Any],
    status: int,
    slug: str,
) -> None:
    """A name, a version, or a form of model_id that does not exist is an unknown model."""
    answer = problem(client.post(path, json={"data": data, **named}), status, slug)

    assert len(answer["detail"]) < 300


def test_an_unknown_model_is_told_before_a_wrong_input(client: TestClient) -> None:
    """The input of a model that does not exist cannot be wrong."""
    problem(client.post("/predict", json={"data": {"x": 1}, "model_id": "nobody:1"}), 404, "unknown-model")


@pytest.mark.parametrize(("path", "data"), [("/predict", DENVER), ("/predict/batch", [DENVER])])
def test_predictions_say_where_the_time_went(client: TestClient, path: str, data: Json) -> None:
    """Server-Timing has every entry in order; no part takes longer than the whole."""
    timing = client.post(path, json={"data": data}, headers=COMPUTED).headers["server-timing"]
    entries = dict(entry.split(";", 1) for entry in timing.split(", "))
    durations = {name: float(text.removeprefix("dur=")) for name, text in entries.items() if text.startswith("dur=")}

    assert list(entries) == TIMINGS
    assert (entries["cache"], entries["batch"]) == ("desc=off", "desc=1")
    assert all(0 <= duration <= durations["total"] for duration in durations.values())


@pytest.mark.parametrize("name", GOOD)
def test_golden_answers_are_reproduced(client: TestClient, name: str) -> None:
    """What `/models/{id}/golden` tells is what `/predict/batch` answers."""
    golden = client.get(f"/models/{name}:1/golden").json()
    rows = [case["input"] for case in golden["cases"]]
    answer = client.post("/predict/batch", json={"data": rows, "return_probabilities": True}).json()
    rows = [list(row.values()) for row in answer.get("probabilities", [])] or [[v] for v in answer["predictions"]]

    for row, case in zip(rows, golden["cases"], strict=True):
        assert row == pytest.approx(case["output"], abs=golden["tolerance"])


def test_a_large_batch_is_answered_like_a_small_one(client: TestClient) -> None:
    """A body that is read in a thread gives the same answers, options and refusals."""
    points = [[15 + index * 0.004, -100, 1990, "E1"] for index in range(10_000)]
    wide = [dict(zip(("latitude", "longitude", "year", "scenario"), point, strict=True)) for point in points]
    large = client.post("/predict/batch", json={"data": wide, "model_name": "geoclimate"})
    small = client.post("/predict/batch", json={"data": points[:500], "model_name": "geoclimate"})

    assert len(large.request.content) > 256 * 1024 > len(small.request.content)
    assert (large.status_code, large.json()["input_shape"]) == (200, [10_000, 4])
    assert large.json()["predictions"][:500] == pytest.approx(small.json()["predictions"], abs=1e-4)

    wide[9_999]["latitude"] = 95
    refused = problem(
        client.post("/predict/batch", json={"data": wide, "model_name": "geoclimate"}), 422, "invalid-input"
    )
    assert [fault["pointer"] for fault in refused["errors"]] == ["/data/9999/latitude"]
