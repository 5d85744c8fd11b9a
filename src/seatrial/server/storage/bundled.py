"""The models that come with the server, read from their folders."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from seatrial.contracts.digest import digest_of
from seatrial.contracts.manifest import Manifest, parse_manifest
from seatrial.server.core.clock import timestamp
from seatrial.server.core.errors import ModelUnusable
from seatrial.server.registry.model import ModelVersion, Stage

REASON = "bundled"


@dataclass(frozen=True, slots=True)
class Bundled:
    """One bundled model: what it is, and its files."""

    manifest: Manifest
    model: bytes
    golden: bytes

    def as_version(self, number: int, stage: Stage) -> ModelVersion:
        """It, as a version of its name."""
        return ModelVersion(
            self.manifest.name, number, stage, self.manifest, digest_of(self.golden), timestamp(), REASON
        )  # fmt: skip


def read_bundled(folders: Sequence[Path]) -> Iterator[Bundled]:
    """The models of folders such as those of `seatrial.zoo`.

    Raises:
        ModelUnusable: a file is missing, or the model file is not that of its manifest.
    """
    for folder in folders:
        try:
            manifest = parse_manifest((folder / "manifest.json").read_bytes())
            model, golden = (folder / "model.onnx").read_bytes(), (folder / manifest.golden).read_bytes()
        except OSError as error:
            raise ModelUnusable(f"The bundled model {folder.name} cannot be read: {error.strerror}.") from error
        if digest_of(model) != manifest.digest:
            raise ModelUnusable(
                f"The bundled model {folder.name} is damaged: its file has the digest {digest_of(model)}, "
                f"its manifest states {manifest.digest}."
            )
        yield Bundled(manifest, model, golden)
