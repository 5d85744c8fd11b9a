"""What every store of artifacts does (`registry.ports.Artifacts`)."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.fakes.artifacts import MemoryArtifacts
from tests.fakes.models import a_manifest, echo_golden

from seatrial.contracts.golden import parse_golden
from seatrial.contracts.manifest import Manifest, manifest_as_dict
from seatrial.server.core.errors import ModelUnusable
from seatrial.server.registry.ports import Artifacts
from seatrial.server.storage.bundled import FolderArtifacts

Files = list[tuple[Manifest, bytes, bytes]]
"""Manifest, model file and golden file of each."""

A, B = a_manifest(name="a", artifact=b"model a"), a_manifest(name="b", artifact=b"model b")


def in_folders(files: Files, parent: Path) -> FolderArtifacts:
    folders = []
    for manifest, model, golden in files:
        folder = parent / manifest.name
        folder.mkdir()
        (folder / "manifest.json").write_text(json.dumps(manifest_as_dict(manifest)))
        (folder / "model.onnx").write_bytes(model)
        (folder / "golden.json").write_bytes(golden)
        folders.append(folder)
    return FolderArtifacts(folders)


def in_memory(files: Files, parent: Path) -> MemoryArtifacts:
    del parent
    artifacts = MemoryArtifacts()
    for manifest, model, golden in files:
        artifacts.put(manifest.digest, model, golden)
    return artifacts


pytestmark = pytest.mark.parametrize("make", [in_folders, in_memory])

Make = Callable[[Files, Path], Artifacts]


def test_files_are_found_by_the_digest_of_the_model(make: Make, tmp_path: Path) -> None:
    """Each digest has its own model and golden answers."""
    artifacts = make([(A, b"model a", echo_golden(1.0)), (B, b"model b", echo_golden(2.0))], tmp_path)

    assert (artifacts.model(A.digest), artifacts.model(B.digest)) == (b"model a", b"model b")
    assert artifacts.golden(A.digest) == parse_golden(echo_golden(1.0))
    assert artifacts.golden(B.digest) == parse_golden(echo_golden(2.0))


@pytest.mark.parametrize("model", [b"", b"model A", b"model a "])
def test_bytes_that_are_not_those_of_the_digest_are_never_given(make: Make, tmp_path: Path, model: bytes) -> None:
    """A file that was changed or cut makes the model unusable."""
    artifacts = make([(A, model, echo_golden())], tmp_path)

    with pytest.raises(ModelUnusable, match=A.digest):
        artifacts.model(A.digest)


@pytest.mark.parametrize("golden", [b"", b"{", b"{}", b"\xff", b'{"cases": [], "tolerance": 0}'])
def test_golden_answers_that_cannot_be_read_make_the_model_unusable(make: Make, tmp_path: Path, golden: bytes) -> None:
    """Not JSON, not a golden file, or without a case."""
    artifacts = make([(A, b"model a", golden)], tmp_path)

    with pytest.raises(ModelUnusable, match="The golden answers cannot be read"):
        artifacts.golden(A.digest)
    assert artifacts.model(A.digest) == b"model a"


def test_a_digest_that_nobody_has_makes_the_model_unusable(make: Make, tmp_path: Path) -> None:
    """A registry may know more than this machine has; that is the model's failure, and named."""
    artifacts = make([(A, b"model a", echo_golden())], tmp_path)

    for read in (artifacts.model, artifacts.golden):
        with pytest.raises(ModelUnusable, match=f"There is no model file of the digest {B.digest}"):
            read(B.digest)
