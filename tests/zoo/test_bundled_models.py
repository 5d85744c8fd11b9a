"""The bundled models: each file is the one its manifest states, and gives its golden answers."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from seatrial import zoo
from seatrial.contracts.golden import Golden, parse_golden
from seatrial.contracts.manifest import InputSpec, Manifest, parse_manifest
from seatrial.server.inference.runtime import NUMPY_DTYPES

BUNDLED = ("digits", "geoclimate")
Array = NDArray[Any]

every_model = pytest.mark.parametrize("name", sorted({*BUNDLED, *(folder.name for folder in zoo.folders())}))


def manifest_of(name: str) -> Manifest:
    return parse_manifest((zoo.ROOT / name / "manifest.json").read_bytes())


def golden_of(name: str) -> Golden:
    return parse_golden((zoo.ROOT / name / manifest_of(name).golden).read_bytes())


def session_of(name: str) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(zoo.ROOT / name / "model.onnx"), providers=["CPUExecutionProvider"])


def column(spec: InputSpec, values: list[Any]) -> Array:
    """One input of a batch, as the graph takes it."""
    encoded = [spec.categories.index(value) for value in values] if spec.categories else values
    return np.array(encoded, NUMPY_DTYPES[spec.dtype])


def answers(name: str, examples: list[dict[str, Any]]) -> Array:
    """What the ONNX file itself answers, a row an example."""
    manifest = manifest_of(name)
    feed = {spec.name: column(spec, [example[spec.name] for example in examples]) for spec in manifest.inputs}
    output: Array = session_of(name).run([manifest.output.name], feed)[0]
    return output.reshape(len(examples), -1)


def test_the_folders_are_the_models() -> None:
    """Each folder is named for its model, and the promised ones are there."""
    assert [folder.name for folder in zoo.folders()] == sorted(BUNDLED)
    assert [manifest_of(folder.name).name for folder in zoo.folders()] == sorted(BUNDLED)


@every_model
def test_the_file_is_the_one_of_the_manifest(name: str) -> None:
    """The digest of model.onnx is the one that the manifest states."""
    digest = hashlib.sha256((zoo.ROOT / name / "model.onnx").read_bytes()).hexdigest()

    assert manifest_of(name).digest == f"sha256:{digest}"


@every_model
def test_the_file_is_small(name: str) -> None:
    """A bundled model is under 1 MB, and none of its files holds more than 2."""
    assert (zoo.ROOT / name / "model.onnx").stat().st_size < 1_000_000
    assert all(path.stat().st_size < 2_000_000 for path in (zoo.ROOT / name).iterdir())


@every_model
def test_golden_answers_are_reproduced(name: str) -> None:
    """ONNX Runtime gives every recorded answer within the tolerance, in one batch and one by one."""
    golden = golden_of(name)
    expected = np.array([case.output for case in golden.cases])
    examples = [case.input for case in golden.cases]
    together = answers(name, examples)
    alone = np.concatenate([answers(name, [example]) for example in examples[:10]])

    assert together.shape == expected.shape
    assert np.abs(together - expected).max() <= golden.tolerance
    assert np.abs(alone - expected[:10]).max() <= golden.tolerance


@every_model
def test_the_tolerance_is_tight(name: str) -> None:
    """A golden answer is worth something: a hundred cases, which a small error would fail."""
    golden = golden_of(name)
    outputs = np.array([case.output for case in golden.cases])

    assert len(golden.cases) == 100
    assert golden.tolerance <= 0.01 * outputs.std()


@every_model
def test_the_card_tells_what_one_must_know(name: str) -> None:
    """card.md names the licence, how good the model is, how it is made again, and only pictures that are there."""
    card = (zoo.ROOT / name / "card.md").read_text(encoding="utf-8")

    assert "licence" in card.lower()
    assert f"scripts/train {name}" in card
    for part in card.split("](")[1:]:
        target = part.partition(")")[0]
        assert target.startswith("https://") or (zoo.ROOT / name / target).is_file(), target


@every_model
def test_the_manifest_tells_what_one_must_know(name: str) -> None:
    """Licence, description, figures, and for each input what it is and in which range or categories."""
    manifest = manifest_of(name)

    assert manifest.licence
    assert manifest.description
    assert manifest.metrics
    for spec in manifest.inputs:
        assert spec.description
        assert spec.categories or (spec.min is not None and spec.max is not None)


def test_digits_reads_digits() -> None:
    """At least 99 of the 100 golden images are read right, and the card states at least 99.4 % of 10 000."""
    golden = golden_of("digits")
    classes = manifest_of("digits").output.classes
    right = [classes[int(np.argmax(case.output))] == case.label for case in golden.cases]

    assert sum(right) >= 99
    assert {case.label for case in golden.cases} == set(range(10))
    metrics = json.loads((zoo.ROOT / "digits" / "manifest.json").read_bytes())["metrics"]
    assert metrics["accuracy"] >= 0.994
    assert metrics["test_images"] == 10_000


def test_digits_answers_with_probabilities() -> None:
    """Ten numbers from 0 to 1 that sum to 1, whatever the image."""
    images = np.random.default_rng(1).random((50, 784)).astype(np.float32)
    output = answers("digits", [{"image": image} for image in images])

    assert output.shape == (50, 10)
    assert np.all((output >= 0) & (output <= 1))
    assert output.sum(axis=1) == pytest.approx(np.ones(50), abs=1e-5)


def points(year: int, scenario: str) -> list[dict[str, Any]]:
    """A grid over the map, in one year."""
    return [
        {"latitude": latitude, "longitude": longitude, "year": year, "scenario": scenario}
        for latitude in range(15, 61, 5)
        for longitude in range(-135, -44, 10)
    ]


@pytest.mark.parametrize("year", [1860, 1900, 1950, 1999, 2000])
def test_the_scenarios_are_one_until_2000(year: int) -> None:
    """A scenario is about the future: up to 2000 both give the very same answer everywhere."""
    assert np.array_equal(answers("geoclimate", points(year, "A1B")), answers("geoclimate", points(year, "E1")))


@pytest.mark.parametrize("year", [2001, 2010, 2050, 2099])
def test_the_scenarios_part_after_2000(year: int) -> None:
    """After 2000 they differ, and in the end A1B is the warmer one everywhere."""
    warm, mild = answers("geoclimate", points(year, "A1B")), answers("geoclimate", points(year, "E1"))

    assert not np.array_equal(warm, mild)
    if year == 2099:
        assert np.all(warm > mild)


def test_the_climate_is_plausible() -> None:
    """North is colder than south, the future warmer than the past, and all of it within what the Earth has."""
    past, future = answers("geoclimate", points(1900, "A1B")), answers("geoclimate", points(2090, "A1B"))

    assert np.all((past > -30) & (future < 40))
    assert np.mean(future - past) > 2
    assert past[:10].mean() > past[-10:].mean() + 15


def test_the_card_of_geoclimate_holds_its_promises() -> None:
    """The figures of the manifest: at most 0.80 K on held-out years, 0.95 K on held-out cells."""
    metrics = manifest_of("geoclimate").metrics

    assert metrics["rmse_held_out_years"] <= 0.80
    assert metrics["rmse_held_out_cells"] <= 0.95


def test_folders_without_a_manifest_are_no_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a folder with a manifest is a model."""
    (tmp_path / "draft").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "manifest.json").write_text("{}")
    monkeypatch.setattr(zoo, "ROOT", tmp_path)

    assert zoo.folders() == (tmp_path / "model",)
