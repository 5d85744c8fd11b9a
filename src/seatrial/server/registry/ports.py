"""The ports through which the registry is kept."""

from collections.abc import Sequence
from typing import Protocol

from seatrial.contracts.golden import Golden
from seatrial.server.registry.model import ModelVersion


class Registry(Protocol):
    """All versions of all models."""

    def versions(self) -> Sequence[ModelVersion]:
        """Every version, by name, then by version."""

    def get(self, model_id: str) -> ModelVersion:
        """One version; raises `UnknownModel`."""

    def add(self, version: ModelVersion) -> None:
        """Keep a version; raises `ValueError` where its `model_id` is taken."""


class Artifacts(Protocol):
    """The files of a version, found by the digest of its model (`sha256:<hex>`); an unknown one is a `KeyError`."""

    def model(self, digest: str) -> bytes:
        """The ONNX file; raises `ModelUnusable` where its bytes are not those of the digest."""

    def golden(self, digest: str) -> Golden:
        """The golden answers; raises `ModelUnusable` where they cannot be read."""
