"""A registry in memory: nothing survives the process."""

from collections.abc import Sequence

from seatrial.server.core.errors import UnknownModel
from seatrial.server.registry.model import ModelVersion, parse_model_id


class MemoryRegistry:
    """Implements `registry.ports.Registry`; lives as long as the server."""

    def __init__(self, versions: Sequence[ModelVersion] = ()) -> None:
        self._versions: dict[tuple[str, int], ModelVersion] = {}
        for version in versions:
            self.add(version)

    def versions(self) -> Sequence[ModelVersion]:
        """Every version, by name, then by version."""
        return [self._versions[key] for key in sorted(self._versions)]

    def get(self, model_id: str) -> ModelVersion:
        """One version; raises `UnknownModel`."""
        try:
            return self._versions[parse_model_id(model_id)]
        except KeyError:
            raise UnknownModel(f"There is no model '{model_id}'.") from None

    def add(self, version: ModelVersion) -> None:
        """Keep a version; raises `ValueError` where its `model_id` is taken."""
        key = (version.name, version.version)
        if key in self._versions:
            raise ValueError(f"{version.model_id} is registered already")
        self._versions[key] = version
