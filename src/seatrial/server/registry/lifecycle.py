"""How versions move between stages: a table, and decisions over the stages of one name. Nothing here is stored."""

from collections.abc import Mapping, Sequence

from seatrial.server.core.errors import StageConflict, UnknownModel
from seatrial.server.registry.ledger import Entry, Move
from seatrial.server.registry.model import Stage

NEXT: Mapping[Stage, frozenset[Stage]] = {
    Stage.DEV: frozenset({Stage.STAGING, Stage.ARCHIVED}),
    Stage.STAGING: frozenset({Stage.PRODUCTION, Stage.ARCHIVED}),
    Stage.PRODUCTION: frozenset(),
    Stage.ARCHIVED: frozenset({Stage.STAGING}),
}
"""Where a version may be asked to go from each stage. Production is left by being replaced or rolled back only."""

Stages = Mapping[int, Stage]
"""The stage of each version of a name."""


def promote(stages: Stages, version: int, to: Stage) -> tuple[Move, ...]:
    """Move a version to staging or production; the version that it replaces in production becomes archived.

    None where it stands there already. Raises `StageConflict` where the table has no such step.
    """
    before = _stage_of(stages, version)
    if before is to:
        return ()
    if to not in {Stage.STAGING, Stage.PRODUCTION} or to not in NEXT[before]:
        raise StageConflict(f"A version in '{before}' cannot be promoted to '{to}'; {_steps(before)}.")
    moves = [Move(version, before, to, "promote")]
    replaced = production(stages)
    if to is Stage.PRODUCTION and replaced is not None:
        moves.insert(0, Move(replaced, Stage.PRODUCTION, Stage.ARCHIVED, "promote"))
    return tuple(moves)


def refuse(stages: Stages, version: int) -> tuple[Move, ...]:
    """Leave a version where it stands, and keep that somebody asked."""
    before = _stage_of(stages, version)
    return (Move(version, before, before, "refuse"),)


def archive(stages: Stages, version: int) -> tuple[Move, ...]:
    """Put a version aside; none where it is already. Raises `StageConflict` for the one in production."""
    before = _stage_of(stages, version)
    if before is Stage.ARCHIVED:
        return ()
    if Stage.ARCHIVED not in NEXT[before]:
        raise StageConflict("The version in production cannot be archived; promote another, or roll back.")
    return (Move(version, before, Stage.ARCHIVED, "archive"),)


def roll_back(stages: Stages, history: Sequence[Entry]) -> tuple[Move, ...]:
    """Return to the version that was in production before; the one that is becomes staging.

    `history` is that of the name. Raises `StageConflict` where there is nothing to return to.
    """
    current = production(stages)
    if current is None:
        raise StageConflict("No version is in production, so there is nothing to roll back from.")
    previous = before_in_production(history)
    if previous is None:
        raise StageConflict(f"No version was in production before version {current}.")
    return (
        Move(current, Stage.PRODUCTION, Stage.STAGING, "rollback"),
        Move(previous, stages[previous], Stage.PRODUCTION, "rollback"),
    )


def _stage_of(stages: Stages, version: int) -> Stage:
    if version not in stages:
        raise UnknownModel(f"There is no version {version} of this model; there are {', '.join(map(str, stages))}.")
    return stages[version]


def production(stages: Stages) -> int | None:
    """The version in production, if there is one."""
    return next((version for version, stage in stages.items() if stage is Stage.PRODUCTION), None)


def before_in_production(history: Sequence[Entry]) -> int | None:
    """The version that was in production before the one that is: one rolled back from does not count again."""
    served: list[int] = []
    for entry in history:
        if entry.action == "rollback" and entry.before is Stage.PRODUCTION:
            served.remove(entry.version)
        elif entry.after is Stage.PRODUCTION and entry.action != "rollback":
            served = [*(version for version in served if version != entry.version), entry.version]
    return served[-2] if len(served) > 1 else None


def _steps(stage: Stage) -> str:
    ways = sorted(NEXT[stage] - {Stage.ARCHIVED})
    return f"from there it can go to {' or '.join(repr(str(way)) for way in ways)}" if ways else "it stays there"
