"""The ledger: every change of what serves, in order, each entry bound to the one before by its digest."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from seatrial.server.core.chain import Head, seal
from seatrial.server.registry.model import Stage

Action = Literal["register", "promote", "refuse", "rollback", "archive"]


@dataclass(frozen=True, slots=True)
class Note:
    """Who changes something, and why. `proof`: the digest of the proof it rests on; `gate`: the mode of the gate."""

    who: str
    why: str = ""
    proof: str = ""
    gate: str = ""


@dataclass(frozen=True, slots=True)
class Move:
    """One version changes its stage; `before` none: it was not there. A change may take several: all, or none.

    A promotion that was refused is kept too: the version stays in its stage.
    """

    version: int
    before: Stage | None
    after: Stage
    action: Action


@dataclass(frozen=True, slots=True)
class Entry:
    """One change as it is kept, `number` counting from 1 over all names. `at` is RFC 3339 in UTC.

    `previous` is the digest of the entry before this one, `digest` that of this.
    """

    number: int
    name: str
    version: int
    action: Action
    before: Stage | None
    after: Stage
    at: str
    who: str
    why: str
    proof: str
    gate: str
    previous: str
    digest: str = ""


def following(head: Head, name: str, move: Move, note: Note, at: str) -> Entry:
    """The entry of a move that follows the head, with its digest."""
    entry = Entry(
        number=head.number + 1,
        name=name,
        version=move.version,
        action=move.action,
        before=move.before,
        after=move.after,
        at=at,
        who=note.who,
        why=note.why,
        proof=note.proof,
        gate=note.gate,
        previous=head.digest,
    )
    return replace(entry, digest=seal(entry))


def change_as_dict(entry: Entry) -> dict[str, Any]:
    """The JSON form of the change in an entry; of a version that was not there before, `from` is none."""
    return {
        "number": entry.number,
        "at": entry.at,
        "model_id": f"{entry.name}:{entry.version}",
        "action": entry.action,
        "from": entry.before and entry.before.value,
        "to": entry.after.value,
        "who": entry.who,
        "why": entry.why,
        "gate": entry.gate,
        "proof": entry.proof,
    }


def entry_as_dict(entry: Entry) -> dict[str, Any]:
    """The JSON form of an entry: its change, and what binds it to the one before."""
    return {**change_as_dict(entry), "previous": entry.previous, "digest": entry.digest}


def misplaced(entries: Iterable[Entry], stages: Mapping[str, Stage]) -> Iterator[str]:
    """Which versions, by their ids, stand elsewhere than the ledger says: somebody moved them beside it."""
    last = {f"{entry.name}:{entry.version}": entry.after for entry in entries}
    for model_id in sorted(stages.keys() | last.keys()):
        stands, said = stages.get(model_id), last.get(model_id)
        if stands != said:
            yield f"{model_id} is in {stands or 'no stage'}, and the ledger says {said or 'nothing of it'}"
