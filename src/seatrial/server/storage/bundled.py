"""The bundled models, read from their folders."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from seatrial.contracts.golden import Golden, parse_golden
from seatrial.contracts.manifest import Manifest, parse_manifest
from seatrial.contracts.problem import pointer
from seatrial.server.core.clock import timestamp
from seatrial.server.core.errors import ModelUnusable
from seatrial.server.registry.model import ModelVersion, Stage


class FolderArtifacts:
    """Implements `registry.ports.Artifacts` over folders such as those of `seatrial.zoo`."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._manifests = {folder: _read_manifest(folder) for folder in folders}
        self._folders = {manifest.digest: folder for folder, manifest in self._manifests.items()}

    def versions(self) -> list[ModelVersion]:
        """Version 1 of each folder's model, in production."""
        now = timestamp()
        return [
            ModelVersion(manifest.name, 1, Stage.PRODUCTION, manifest, now, reason="bundled")
            for manifest in self._manifests.values()
        ]

    def model(self, digest: str) -> bytes:
        """The ONNX file; raises `ModelUnusable` where its bytes are not those of the digest."""
        try:
            artifact = (self._folder(digest) / "model.onnx").read_bytes()
        except OSError as error:
            raise ModelUnusable(f"The model file cannot be read: {error.strerror}.") from error
        actual = "sha256:" + hashlib.sha256(artifact).hexdigest()
        if actual != digest:
            raise ModelUnusable(f"The model file has the digest {actual}, its manifest states {digest}.")
        return artifact

    def golden(self, digest: str) -> Golden:
        """The golden answers; raises `ModelUnusable` where they cannot be read."""
        folder = self._folder(digest)
        try:
            return parse_golden((folder / self._manifests[folder].golden).read_bytes())
        except OSError as error:
            raise ModelUnusable(f"The golden answers cannot be read: {error.strerror}.") from error
        except ValidationError as error:
            first = error.errors()[0]
            place = pointer(*first["loc"])
            raise ModelUnusable(f"The golden answers cannot be read: {place or 'the file'}: {first['msg']}.") from error

    def _folder(self, digest: str) -> Path:
        folder = self._folders.get(digest)
        if folder is None:
            raise ModelUnusable(f"There is no model file of the digest {digest}.")
        return folder


def _read_manifest(folder: Path) -> Manifest:
    return parse_manifest((folder / "manifest.json").read_bytes())
