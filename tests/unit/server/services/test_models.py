"""What there is to serve: loaded, verified, listed and described."""

import json
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from tests.fakes.artifacts import MemoryArtifacts
from tests.fakes.models import a_manifest, a_model, a_version, artifacts_of, echo_golden
from tests.fakes.registry import MemoryRegistry
from tests.fakes.runtime import EchoRuntime, FailingRuntime, FixedRuntime, load_echo

from seatrial.contracts.golden import parse_golden
from seatrial.contracts.manifest import Manifest, manifest_as_dict
from seatrial.server.core.errors import ModelUnusable, UnknownModel
from seatrial.server.inference.calibration import INLINE_SECONDS
from seatrial.server.inference.golden import verify_golden
from seatrial.server.inference.pool import Pool, Snapshot
from seatrial.server.inference.runtime import Array, Runtime, Stop
from seatrial.server.registry.model import ModelVersion, Stage
from seatrial.server.services.models import (
    describe_model,
    golden_of,
    list_models,
    load_model,
    load_models,
)

A, B, C = (a_manifest(name=name) for name in "abc")


def golden_file(*cases: tuple[dict[str, Any], list[float]], tolerance: float = 0.0) -> bytes:
    listed = [{"input": data, "output": output} for data, output in cases]
    return json.dumps({"cases": listed, "tolerance": tolerance}).encode()


def with_golden(manifest: Manifest, golden: bytes) -> MemoryArtifacts:
    artifacts = MemoryArtifacts()
    artifacts.put(manifest.digest, manifest.name.encode(), golden)
    return artifacts


def loaded(
    *versions: ModelVersion, artifacts: MemoryArtifacts | None = None, defaults: tuple[str, ...] = ()
) -> tuple[Snapshot, list[tuple[str, str, str]]]:
    events: list[tuple[str, str, str]] = []
    artifacts = artifacts or artifacts_of(*(version.manifest for version in versions))
    snapshot = load_models(
        MemoryRegistry(versions), artifacts, load_echo, defaults, lambda *event: events.append(event)
    )
    return snapshot, events


def test_staging_and_production_are_loaded() -> None:
    """All four stages are registered; dev and archived versions are not loaded, and only production answers by name."""
    snapshot, events = loaded(
        *(a_version(A, number, stage) for number, stage in enumerate(Stage, start=1)), defaults=("a",)
    )

    assert set(snapshot.by_id) == {"a:2", "a:3"}
    assert {name: model.model_id for name, model in snapshot.production.items()} == {"a": "a:3"}
    assert [(event, model_id, told.partition(":")[0]) for event, model_id, told in events] == [
        ("model_ready", "a:2", "staging"),
        ("model_ready", "a:3", "production"),
    ]


def test_default_models_come_in_their_own_order() -> None:
    """The rest follows by name; a default name without a production version is passed over."""
    versions = [a_version(C), a_version(A), a_version(B), a_version(a_manifest(name="d"), 1, Stage.STAGING)]
    snapshot, _ = loaded(*versions, defaults=("c", "none", "d", "b"))

    assert [model.name for model in snapshot.defaults] == ["c", "b"]
    assert [model.name for model in snapshot.others] == ["a"]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ((b"tampered", echo_golden()), "The model file has the digest"),
        ((b"b", b"{"), "The golden answers cannot be read"),
        ((b"b", echo_golden(4.0)), "Golden inference: 1 of 1 answers differ"),
        ((b"b", golden_file(({"x": 1}, [1.0]))), "Golden inference: /data/0/y: The feature 'y' is missing."),
        ((b"b", golden_file(({"x": 1, "y": 2}, [3.0, 0.0]))), r"Golden inference: answers of 1 values, \[2\]"),
    ],
)
def test_a_model_that_fails_does_not_stop_the_others(files: tuple[bytes, bytes], reason: str) -> None:
    """It is left out with its reason, which the log hears too."""
    artifacts = artifacts_of(A, B, C)
    artifacts.put(B.digest, *files)
    snapshot, events = loaded(a_version(A), a_version(B), a_version(C), artifacts=artifacts, defaults=("b",))

    assert set(snapshot.by_id) == {"a:1", "c:1"}
    assert set(snapshot.failures) == {"b:1"}
    assert snapshot.defaults == ()
    assert events[1] == ("model_failed", "b:1", snapshot.failures["b:1"])
    with pytest.raises(ModelUnusable, match=reason):
        load_model(a_version(B), artifacts, load_echo)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError("no room"), "It cannot be loaded, by MemoryError; the log says more."),
        (
            PermissionError(13, "Permission denied", "/srv/b"),
            "It cannot be loaded, by PermissionError; the log says more.",
        ),
        (ModelUnusable("it is broken"), "it is broken"),
    ],
)
def test_whatever_goes_wrong_with_one_does_not_stop_the_others(error: Exception, told: str) -> None:
    """Callers hear what it was, not where it was; the log hears all."""

    def load(artifact: bytes, manifest: Manifest) -> Runtime:
        if manifest == B:
            raise error
        return load_echo(artifact, manifest)

    events: list[tuple[str, str, str]] = []
    registry = MemoryRegistry([a_version(A), a_version(B), a_version(C)])
    snapshot = load_models(registry, artifacts_of(A, B, C), load, (), lambda *event: events.append(event))

    assert (set(snapshot.by_id), snapshot.failures) == ({"a:1", "c:1"}, {"b:1": told})
    assert events[1][:2] == ("model_failed", "b:1")
    assert str(error) in events[1][2]


def test_what_is_in_memory_stays_while_the_rest_is_loaded() -> None:
    """A new version comes beside it; the one that is archived goes; nothing is loaded twice."""
    before, _ = loaded(a_version(A, 1), a_version(B, 1))
    registry = MemoryRegistry([a_version(A, 1, Stage.ARCHIVED), a_version(A, 2), a_version(B, 1)])
    events: list[str] = []
    after = load_models(
        registry, artifacts_of(A, B), load_echo, ("a",), lambda _, model_id, __: events.append(model_id), before
    )

    assert (set(after.by_id), events) == ({"a:2", "b:1"}, ["a:2"])
    assert after.by_id["b:1"] is before.by_id["b:1"]
    assert (after.production["a"].model_id, after.defaults[0].model_id) == ("a:2", "a:2")


def test_where_a_new_production_version_fails_the_old_one_goes_on() -> None:
    """By its name, and for inputs that name no model; readiness tells the failure."""
    before, _ = loaded(a_version(A, 1), defaults=("a",))
    broken = a_version(a_manifest(name="a", artifact=b"other"), 2)
    registry = MemoryRegistry([a_version(A, 1, Stage.ARCHIVED), broken])
    after = load_models(registry, artifacts_of(A), load_echo, ("a",), lambda *_: None, before)

    assert (after.production["a"], after.defaults) == (before.production["a"], (before.production["a"],))
    assert (set(after.by_id), set(after.failures)) == (set(), {"a:2"})


def test_golden_outputs_of_different_lengths_fail_one_model_only() -> None:
    """A golden file whose cases disagree is the model's failure, not the server's."""
    artifacts = artifacts_of(A, B)
    artifacts.put(B.digest, b"b", golden_file(({"x": 1, "y": 2}, [3.0]), ({"x": 1, "y": 2}, [3.0, 4.0])))
    snapshot, _ = loaded(a_version(A), a_version(B), artifacts=artifacts)

    assert (set(snapshot.by_id), set(snapshot.failures)) == ({"a:1"}, {"b:1"})


def test_a_loaded_model_is_what_its_version_says() -> None:
    """Names, manifest and golden answers are kept; the configuration tells the runtime, and has a digest."""
    model = load_model(a_version(A, 7), artifacts_of(A), load_echo)

    assert (model.model_id, model.name, model.version, model.manifest) == ("a:7", "a", 7, A)
    assert model.golden == parse_golden(echo_golden())
    assert model.serving_config["runtime"] == "echo"
    assert model.serving_config["numpy_version"] == np.__version__
    assert model.serving_config["mode"] == ("inline" if model.inline else "threads")
    assert model.serving_config_digest.startswith("sha256:")
    assert len(model.serving_config_digest) == len("sha256:") + 64


def test_the_configuration_digest_follows_the_configuration() -> None:
    """Another runtime configuration gives another digest, an equal one the same."""

    class Tuned(EchoRuntime):
        """An echo with a thread more, which is slow in no run."""

        def configuration(self) -> dict[str, Any]:
            """One entry differs."""
            return {**super().configuration(), "threads": 2}

    plain = [load_model(a_version(A), artifacts_of(A), load_echo) for _ in range(2)]
    tuned = load_model(a_version(A), artifacts_of(A), lambda *_: Tuned())
    same = {model.serving_config_digest for model in plain}

    assert len(same) == 1
    assert tuned.serving_config_digest not in same


def test_what_was_measured_here_is_no_part_of_the_digest() -> None:
    """A model near the limit is inline on one start and in threads on the next: proofs of it are good on both."""

    class Slow(EchoRuntime):
        """An echo that takes longer than an event loop may be held up."""

        def run(self, arrays: Mapping[str, Array], stop: Stop | None = None) -> Array:
            """Answer late."""
            begin = time.perf_counter()
            while time.perf_counter() - begin < 2 * INLINE_SECONDS:
                pass
            return super().run(arrays, stop)

    quick, slow = (load_model(a_version(A), artifacts_of(A), lambda *_, r=r: r()) for r in (EchoRuntime, Slow))

    assert slow.serving_config["mode"] == "threads"
    assert quick.serving_config_digest == slow.serving_config_digest


def test_a_model_is_warmed_with_its_golden_inputs() -> None:
    """It has run all of them at once, single ones, and batches, before it serves."""
    runtime = EchoRuntime()
    golden = golden_file(*[({"x": x, "y": 1}, [x + 1.0]) for x in range(3)])
    load_model(a_version(A), with_golden(A, golden), lambda *_: runtime)

    assert runtime.runs[0] == 3
    assert set(runtime.runs[1:]) == {1, 2, 4, 8, 16, 32, 64}


def test_a_runtime_that_fails_makes_its_model_fail() -> None:
    """An error in the golden inference is the reason."""
    registry = MemoryRegistry([a_version(A)])
    snapshot = load_models(registry, artifacts_of(A), lambda *_: FailingRuntime(), (), lambda *_: None)

    assert snapshot.failures == {"a:1": "The model failed on this input."}


TWO = golden_file(({"x": 1, "y": 0}, [1.0]), ({"x": 2, "y": 0}, [2.0]), tolerance=0.5)


@pytest.mark.parametrize("output", [[1.0, 2.0], [1.5, 1.5], [0.5, 2.5]])
def test_golden_answers_within_the_tolerance_are_reproduced(output: list[float]) -> None:
    """The tolerance is absolute and inclusive."""
    verify_golden(FixedRuntime(np.array(output)), {}, parse_golden(TWO))


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ([1.0, 2.75], "1 of 2 answers differ from the recorded ones, the first at case 1 by 0.75 (tolerance 0.5)"),
        ([9.0, 9.0], "2 of 2 answers differ from the recorded ones, the first at case 0 by 8 (tolerance 0.5)"),
        ([1.0, float("nan")], "1 of 2 answers differ from the recorded ones, the first at case 1 by nan"),
        ([float("inf"), 2.0], "1 of 2 answers differ from the recorded ones, the first at case 0 by inf"),
        ([[1.0, 0.0], [2.0, 0.0]], "answers of 2 values, [1] were recorded"),
    ],
)
def test_golden_answers_beyond_the_tolerance_are_not(output: list[Any], reason: str) -> None:
    """The error says how many differ, which is the first, and by how much."""
    with pytest.raises(ModelUnusable) as caught:
        verify_golden(FixedRuntime(np.array(output)), {}, parse_golden(TWO))

    assert str(caught.value).startswith("Golden inference: ")
    assert reason in str(caught.value)


@pytest.mark.parametrize("rows", [1, 3])
def test_a_runtime_that_answers_other_than_asked_is_unusable(rows: int) -> None:
    """One answer to two examples, or three, is a failure of the model and no crash."""
    with pytest.raises(ModelUnusable):
        verify_golden(FixedRuntime(np.ones(rows)), {}, parse_golden(TWO))


def a_pool(*loaded_versions: tuple[Manifest, int], failures: dict[str, str] | None = None) -> Pool:
    pool = Pool()
    models = [a_model(manifest, version=number) for manifest, number in loaded_versions]
    pool.swap(Snapshot(by_id={model.model_id: model for model in models}, failures=failures or {}))
    return pool


REGISTRY = MemoryRegistry(
    [
        a_version(A, 1, Stage.ARCHIVED),
        a_version(A, 2),
        a_version(A, 3, Stage.STAGING),
        a_version(B, 1, Stage.DEV),
        a_version(C),
    ]
)


@pytest.mark.parametrize(
    ("name", "stage", "ids"),
    [
        (None, None, ["a:1", "a:2", "a:3", "b:1", "c:1"]),
        ("a", None, ["a:1", "a:2", "a:3"]),
        (None, "production", ["a:2", "c:1"]),
        ("a", "production", ["a:2"]),
        ("b", "production", []),
        ("none", None, []),
        (None, "none", []),
        ("", None, []),
    ],
)
def test_models_are_listed_by_name_and_stage(name: str | None, stage: str | None, ids: list[str]) -> None:
    """Both filters may be left out, and hold together."""
    assert [entry["model_id"] for entry in list_models(REGISTRY, a_pool(), name, stage)] == ids


def test_an_entry_of_the_list() -> None:
    """It has the identity, the stage, since when there is such a version, and whether it is loaded here."""
    assert list_models(REGISTRY, a_pool((A, 2)), "a", None)[1] == {
        "model_id": "a:2",
        "model_name": "a",
        "model_version": 2,
        "stage": "production",
        "task": "regression",
        "description": "The model a",
        "digest": A.digest,
        "registered_at": "2026-11-22T09:30:00.125Z",
        "reason": "test",
        "loaded": True,
    }
    assert [entry["loaded"] for entry in list_models(REGISTRY, a_pool((A, 2)), "a", None)] == [False, True, False]


def test_the_description_of_a_loaded_model() -> None:
    """All that the list says, with manifest, figures and serving configuration."""
    described = describe_model(REGISTRY, a_pool((A, 2)), "a:2")

    assert described["manifest"] == manifest_as_dict(A)
    assert described["metrics"] == {"rmse": 0.5}
    assert (described["loaded"], described["failure"]) == (True, None)
    assert (described["registered_at"], described["reason"]) == ("2026-11-22T09:30:00.125Z", "test")
    assert (described["serving_config"], described["serving_config_digest"]) == ({}, "sha256:" + "0" * 64)
    assert list_models(REGISTRY, a_pool((A, 2)), "a", "production")[0].items() <= described.items()


def test_the_description_of_a_model_that_failed() -> None:
    """It has no serving configuration, and says why it is not loaded."""
    described = describe_model(REGISTRY, a_pool(failures={"c:1": "broken"}), "c:1")

    assert (described["loaded"], described["failure"]) == (False, "broken")
    assert (described["serving_config"], described["serving_config_digest"]) == (None, None)


@pytest.mark.parametrize("model_id", ["a:9", "z:1", "a", ""])
def test_unknown_models_are_not_described(model_id: str) -> None:
    """Neither is there a golden file."""
    with pytest.raises(UnknownModel):
        describe_model(REGISTRY, a_pool(), model_id)
    with pytest.raises(UnknownModel):
        golden_of(REGISTRY, artifacts_of(A), model_id)


def test_the_golden_answers_of_a_version() -> None:
    """Known inputs and outputs with the tolerance, bound to the digest; loaded or not."""
    assert golden_of(REGISTRY, artifacts_of(A), "a:1") == {
        "model_id": "a:1",
        "digest": A.digest,
        "tolerance": 1e-6,
        "cases": [{"input": {"x": 1, "y": 2}, "output": (3.0,), "label": None}],
    }


def test_a_model_of_which_one_run_tells_nothing_never_runs_inline() -> None:
    """However cheap its golden inputs are: a loop goes round as often as its input says."""

    def load(artifact: bytes, manifest: Manifest) -> Runtime:
        runtime = load_echo(artifact, manifest)
        runtime.steady = False
        return runtime

    model = load_model(a_version(A), artifacts_of(A), load)

    assert (model.inline, model.serving_config["mode"]) == (False, "threads")


def test_the_loader_gets_the_bytes_and_the_manifest() -> None:
    """What was hashed is what is loaded."""
    seen: list[tuple[bytes, Manifest]] = []

    def load(artifact: bytes, manifest: Manifest) -> Runtime:
        seen.append((artifact, manifest))
        return EchoRuntime()

    load_model(a_version(A), artifacts_of(A), load)

    assert seen == [(b"a", A)]


def test_a_classification_is_verified_by_its_probabilities() -> None:
    """Every probability of every case is compared."""
    manifest = a_manifest(name="m", classes=("no", "yes"))
    right: Array = np.array([[0.25, 0.75]])
    golden = parse_golden(golden_file(({"x": 1, "y": 0}, [0.25, 0.75]), tolerance=0.01))

    verify_golden(FixedRuntime(right), {}, golden)
    with pytest.raises(ModelUnusable, match="1 of 1 answers differ"):
        verify_golden(FixedRuntime(right[:, ::-1]), {}, golden)
    assert load_model(a_version(manifest), with_golden(manifest, golden_file(({"x": 1, "y": 0}, [0, 1]))), load_echo)
