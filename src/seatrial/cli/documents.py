"""What the commands print of versions and of the ledger: the same, wherever it comes from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seatrial.contracts.gate import GateDecision
    from seatrial.contracts.problem import Fault
    from seatrial.server.registry.ledger import Entry
    from seatrial.server.registry.model import ModelVersion

Document = dict[str, Any]
SUMMARY = ("model_id", "stage", "registered_at", "reason", "digest")
"""The members of a version in a list."""
ENTRY = ("number", "at", "model_id", "action", "from", "to", "who", "why", "proof", "gate", "digest")
"""The members of an entry of the ledger."""


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


def entry_of(entry: "Entry") -> Document:
    """An entry of the ledger."""
    return {
        "number": entry.number,
        "at": entry.at,
        "model_id": f"{entry.name}:{entry.version}",
        "action": entry.action,
        "from": str(entry.before) if entry.before else "",
        "to": str(entry.after),
        "who": entry.who,
        "why": entry.why,
        "proof": entry.proof,
        "gate": entry.gate,
        "digest": entry.digest,
    }


def with_faults(text: str, faults: "Sequence[Fault]") -> str:
    """A refusal, with a line for each fault."""
    lines = (f"  {item.pointer}: {item.detail} Expected {item.expected}, received {item.received}." for item in faults)
    return "\n".join([text, *lines])
