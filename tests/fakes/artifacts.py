"""The files of models, in memory."""

import hashlib

from pydantic import ValidationError

from seatrial.contracts.golden import Golden, parse_golden
from seatrial.server.core.errors import ModelUnusable


class MemoryArtifacts:
    """Implements `registry.ports.Artifacts`; holds a model file and a golden file for each digest of a model."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[bytes, bytes]] = {}

    def put(self, digest: str, model: bytes, golden: bytes) -> None:
        """Keep the files of a digest, right or wrong."""
        self._files[digest] = (model, golden)

    def model(self, digest: str) -> bytes:
        """See `Artifacts.model`."""
        model, _ = self._of(digest)
        actual = "sha256:" + hashlib.sha256(model).hexdigest()
        if actual != digest:
            raise ModelUnusable(f"The model file has the digest {actual}, its manifest states {digest}.")
        return model

    def golden(self, digest: str) -> Golden:
        """See `Artifacts.golden`."""
        _, golden = self._of(digest)
        try:
            return parse_golden(golden)
        except ValidationError as error:
            raise ModelUnusable(f"The golden answers cannot be read: {error}") from error

    def _of(self, digest: str) -> tuple[bytes, bytes]:
        if digest not in self._files:
            raise ModelUnusable(f"There is no model file of the digest {digest}.")
        return self._files[digest]
