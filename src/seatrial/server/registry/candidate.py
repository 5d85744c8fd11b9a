"""What somebody wants to register, and what an inspection makes of it."""

from dataclasses import dataclass

from seatrial.contracts.golden import Golden
from seatrial.contracts.manifest import Manifest, ManifestDraft


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file, named by its digest, and what was said of it. Without golden answers some are made."""

    name: str
    digest: str
    draft: ManifestDraft
    golden: Golden | None = None


@dataclass(frozen=True, slots=True)
class Inspected:
    """A file that may be registered: its manifest, and answers that it reproduces."""

    manifest: Manifest
    golden: Golden
