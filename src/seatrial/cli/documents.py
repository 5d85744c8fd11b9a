"""What the commands print of versions and of the ledger: the same, wherever it comes from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seatrial.contracts.gate import GateDecision
    from seatrial.contracts.problem import Fault
    from seatrial.server.registry.model import ModelVersion

Document = dict[str, Any]
SUMMARY = ("model_id", "stage", "registered_at", "reason", "digest")
"""The members of a version in a list."""
ENTRY = ("number", "at", "model_id", "action", "from", "to", "who", "why", "proof", "gate", "digest")
"""The members of an entry of the ledger."""
MOVE = ("model_id", "from", "to")
"""Those of them that a promotion or a rollback tells."""


@dataclass(frozen=True, slots=True)
class Upload:
    """An ONNX file that is to become a version of `name`, and what was said of it."""

    file: Path
    name: str
    reason: str
    manifest: bytes | None = None
    golden: bytes | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """Versions that changed their stage, none where they stood there already; and what the gate said."""

    changes: Sequence[Document]
    decision: "GateDecision | None" = None


@dataclass(frozen=True, slots=True)
class Returned:
    """A rollback: its changes, to which version, and how that gave its known answers again."""

    changes: Sequence[Document]
    model_id: str
    cases: int
    worst: float


def summary_of(version: "ModelVersion") -> Document:
    """A version in a list."""
    values = (version.model_id, str(version.stage), version.registered_at, version.reason, version.manifest.digest)
    return dict(zip(SUMMARY, values, strict=True))


def change_of(entry: Mapping[str, Any], names: Iterable[str] = ENTRY) -> Document:
    """Those members of the JSON form of an entry; of a version that was not there before, `from` is empty."""
    found = {name: entry[name] for name in names}
    return {**found, "from": found["from"] or ""}


def with_faults(text: str, faults: "Sequence[Fault]") -> str:
    """A refusal, with a line for each fault."""
    lines = (f"  {item.pointer}: {item.detail} Expected {item.expected}, received {item.received}." for item in faults)
    return "\n".join([text, *lines])
