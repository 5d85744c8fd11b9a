"""Models in folders; what every store of artifacts does is in tests/ports."""

import json
from pathlib import Path

import pytest
from tests.fakes.models import a_manifest, digest_of, echo_golden

from seatrial.contracts.manifest import manifest_as_dict
from seatrial.server.core.errors import ModelUnusable
from seatrial.server.registry.model import Stage
from seatrial.server.storage.bundled import FolderArtifacts

ARTIFACT = b"bytes of a model"


def a_folder(parent: Path, name: str = "m", artifact: bytes = ARTIFACT) -> Path:
    folder = parent / name
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps(manifest_as_dict(a_manifest(name=name, artifact=artifact))))
    (folder / "model.onnx").write_bytes(artifact)
    (folder / "golden.json").write_bytes(echo_golden())
    return folder


def test_bundled_models_enter_in_production(tmp_path: Path) -> None:
    """Each folder is version 1 of its model, with the reason `bundled` and one time for all."""
    folders = [a_folder(tmp_path, name, name.encode()) for name in ("b", "a")]
    versions = FolderArtifacts(folders).versions()

    assert [(version.model_id, version.stage, version.reason) for version in versions] == [
        ("b:1", Stage.PRODUCTION, "bundled"),
        ("a:1", Stage.PRODUCTION, "bundled"),
    ]
    assert len({version.registered_at for version in versions}) == 1
    assert versions[0].manifest.digest == digest_of(b"b")


def test_a_changed_model_file_names_both_digests(tmp_path: Path) -> None:
    """The bytes are hashed at every read, so a file changed later is noticed."""
    folder = a_folder(tmp_path)
    artifacts = FolderArtifacts([folder])
    assert artifacts.model(digest_of(ARTIFACT)) == ARTIFACT
    (folder / "model.onnx").write_bytes(b"other bytes")

    with pytest.raises(ModelUnusable) as caught:
        artifacts.model(digest_of(ARTIFACT))
    assert str(caught.value) == (
        f"The model file has the digest {digest_of(b'other bytes')}, its manifest states {digest_of(ARTIFACT)}."
    )


def test_golden_answers_are_read_from_the_file_that_the_manifest_names(tmp_path: Path) -> None:
    """A manifest may call its golden file otherwise."""
    folder = a_folder(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text()) | {"golden": "answers.json"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "answers.json").write_bytes(echo_golden(7.0))

    assert FolderArtifacts([folder]).golden(digest_of(ARTIFACT)).cases[0].output == (7.0,)


def test_a_missing_golden_file_makes_a_model_unusable(tmp_path: Path) -> None:
    """It is the model's failure, not the server's, and tells no path."""
    folder = a_folder(tmp_path)
    (folder / "golden.json").unlink()

    with pytest.raises(ModelUnusable, match="The golden answers cannot be read") as caught:
        FolderArtifacts([folder]).golden(digest_of(ARTIFACT))
    assert str(tmp_path) not in str(caught.value)


def test_a_missing_model_file_makes_a_model_unusable(tmp_path: Path) -> None:
    """It is the model's failure, not the server's."""
    folder = a_folder(tmp_path)
    (folder / "model.onnx").unlink()

    with pytest.raises(ModelUnusable):
        FolderArtifacts([folder]).model(digest_of(ARTIFACT))
