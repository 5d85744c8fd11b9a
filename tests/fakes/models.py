"""Small models for tests: manifests, golden answers, versions, and models in memory."""

import hashlib
import json

from tests.fakes.artifacts import MemoryArtifacts
from tests.fakes.runtime import EchoRuntime

from seatrial.contracts.golden import Golden, GoldenCase
from seatrial.contracts.manifest import InputSpec, Label, Manifest, OutputSpec
from seatrial.server.inference.calibration import Calibration, Cost
from seatrial.server.inference.model import LoadedModel
from seatrial.server.inference.runtime import Runtime
from seatrial.server.inference.signature import Signature
from seatrial.server.registry.model import ModelVersion, Stage

X = InputSpec(name="x", dtype="float32")
Y = InputSpec(name="y", dtype="float32")


def digest_of(artifact: bytes) -> str:
    """The digest of a model file."""
    return "sha256:" + hashlib.sha256(artifact).hexdigest()


def a_manifest(
    *inputs: InputSpec, name: str = "echo", classes: tuple[Label, ...] = (), artifact: bytes = b""
) -> Manifest:
    """A regression in metres, or a classification; of `x` and `y` unless inputs are given."""
    return Manifest(
        name=name,
        task="classification" if classes else "regression",
        inputs=inputs or (X, Y),
        output=OutputSpec(name="out", classes=classes, units="" if classes else "metres"),
        digest=digest_of(artifact or name.encode()),
        description=f"The model {name}",
        metrics={"rmse": 0.5},
    )


def a_version(manifest: Manifest, number: int = 1, stage: Stage = Stage.PRODUCTION) -> ModelVersion:
    """A version of a model; its golden answers are kept beside the model, under the same digest."""
    return ModelVersion(
        manifest.name, number, stage, manifest, manifest.digest, "2026-11-22T09:30:00.125Z", reason="test"
    )


def a_model(
    manifest: Manifest, runtime: Runtime | None = None, *, version: int = 1, inline: bool = False
) -> LoadedModel:
    """A model in memory; an echo unless a runtime is given."""
    return LoadedModel(
        model_id=f"{manifest.name}:{version}",
        name=manifest.name,
        version=version,
        manifest=manifest,
        golden=Golden(cases=(GoldenCase(input={"x": 1, "y": 2}, output=(3.0,)),), tolerance=0.0),
        signature=Signature(manifest),
        runtime=runtime or EchoRuntime(len(manifest.output.classes)),
        serving_config={},
        serving_config_digest="sha256:" + "0" * 64,
        calibration=Calibration((Cost(1, 0.0),), "inline" if inline else "threads", 32),
    )


def echo_golden(answer: float = 3.0) -> bytes:
    """A golden file for the default manifest: the echo's answer is 3."""
    return json.dumps({"cases": [{"input": {"x": 1, "y": 2}, "output": [answer]}], "tolerance": 1e-6}).encode()


def artifacts_of(*manifests: Manifest) -> MemoryArtifacts:
    """Artifacts for manifests made by `a_manifest` without an artifact of their own."""
    artifacts = MemoryArtifacts()
    for manifest in manifests:
        artifacts.put(manifest.digest, manifest.name.encode(), echo_golden())
    return artifacts
