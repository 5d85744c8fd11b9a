"""The models that come with the server, in folders."""

import json
from pathlib import Path

import pytest
from tests.fakes.models import a_manifest, digest_of, echo_golden

from seatrial.contracts.manifest import manifest_as_dict
from seatrial.server.core.errors import ModelUnusable
from seatrial.server.registry.model import Stage
from seatrial.server.storage.bundled import read_bundled

ARTIFACT = b"bytes of a model"


def a_folder(parent: Path, name: str = "m", artifact: bytes = ARTIFACT) -> Path:
    folder = parent / name
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps(manifest_as_dict(a_manifest(name=name, artifact=artifact))))
    (folder / "model.onnx").write_bytes(artifact)
    (folder / "golden.json").write_bytes(echo_golden())
    return folder


def test_a_folder_is_a_model(tmp_path: Path) -> None:
    """Its files with their digests, as any version in any stage."""
    folders = [a_folder(tmp_path, name, name.encode()) for name in ("b", "a")]
    version = next(iter(read_bundled(folders))).as_version(3, Stage.DEV)

    assert [item.model for item in read_bundled(folders)] == [b"b", b"a"]
    assert (version.model_id, version.stage, version.reason) == ("b:3", Stage.DEV, "bundled")
    assert (version.manifest.digest, version.golden) == (digest_of(b"b"), digest_of(echo_golden()))


def test_a_damaged_model_names_both_digests(tmp_path: Path) -> None:
    """A file that is not what its manifest states never gets into the store."""
    folder = a_folder(tmp_path)
    (folder / "model.onnx").write_bytes(b"other bytes")

    with pytest.raises(ModelUnusable) as caught:
        list(read_bundled([folder]))
    assert str(caught.value) == (
        f"The bundled model m is damaged: its file has the digest {digest_of(b'other bytes')}, "
        f"its manifest states {digest_of(ARTIFACT)}."
    )


def test_golden_answers_are_in_the_file_that_the_manifest_names(tmp_path: Path) -> None:
    """A manifest may call its golden file otherwise."""
    folder = a_folder(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text()) | {"golden": "answers.json"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "answers.json").write_bytes(echo_golden(7.0))

    assert [item.golden for item in read_bundled([folder])] == [echo_golden(7.0)]


@pytest.mark.parametrize("name", ["golden.json", "model.onnx", "manifest.json"])
def test_a_missing_file_is_told(tmp_path: Path, name: str) -> None:
    """Of which model, and without a path."""
    folder = a_folder(tmp_path)
    (folder / name).unlink()

    with pytest.raises(ModelUnusable, match="The bundled model m cannot be read: No such file") as caught:
        list(read_bundled([folder]))
    assert str(tmp_path) not in str(caught.value)
