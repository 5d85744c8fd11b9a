"""Stages and the steps between them, as a table."""

from collections.abc import Callable, Sequence

import pytest

from seatrial.server.core.chain import Head
from seatrial.server.core.errors import StageConflict, UnknownModel
from seatrial.server.registry.ledger import Entry, Move, Note, following
from seatrial.server.registry.lifecycle import NEXT, archive, before_in_production, promote, roll_back
from seatrial.server.registry.model import Stage

DEV, STAGING, PRODUCTION, ARCHIVED = Stage.DEV, Stage.STAGING, Stage.PRODUCTION, Stage.ARCHIVED
ALLOWED = {(DEV, STAGING), (STAGING, PRODUCTION), (ARCHIVED, STAGING)}


@pytest.mark.parametrize("to", Stage)
@pytest.mark.parametrize("before", Stage)
def test_every_step_is_allowed_or_refused(before: Stage, to: Stage) -> None:
    """Three of sixteen are promotions; to stay is no change; the rest is refused with what could be done."""
    if before is to:
        assert promote({1: before}, 1, to) == ()
    elif (before, to) in ALLOWED:
        assert promote({1: before}, 1, to) == (Move(1, before, to, "promote"),)
    else:
        with pytest.raises(StageConflict, match=f"in '{before}' cannot be promoted to '{to}'"):
            promote({1: before}, 1, to)


def test_a_refusal_names_the_way() -> None:
    """Where it can go from there."""
    with pytest.raises(StageConflict, match="; from there it can go to 'staging'"):
        promote({1: DEV}, 1, PRODUCTION)
    with pytest.raises(StageConflict, match="; it stays there"):
        promote({1: PRODUCTION}, 1, STAGING)


def test_the_version_that_is_replaced_is_archived_first() -> None:
    """At no moment are there two."""
    assert promote({1: PRODUCTION, 2: STAGING, 3: DEV}, 2, PRODUCTION) == (
        Move(1, PRODUCTION, ARCHIVED, "promote"),
        Move(2, STAGING, PRODUCTION, "promote"),
    )


@pytest.mark.parametrize("before", Stage)
def test_what_serves_is_not_archived(before: Stage) -> None:
    """Everything else is, once."""
    if before is PRODUCTION:
        with pytest.raises(StageConflict, match="promote another, or roll back"):
            archive({1: before}, 1)
    else:
        assert archive({1: before}, 1) == (() if before is ARCHIVED else (Move(1, before, ARCHIVED, "archive"),))


def test_the_table_knows_every_stage() -> None:
    """And no step leads to dev."""
    assert set(NEXT) == set(Stage)
    assert not any(DEV in to for to in NEXT.values())


def history(*changes: Sequence[Move]) -> list[Entry]:
    """The ledger of these changes."""
    entries: list[Entry] = []
    for move in (move for moves in changes for move in moves):
        head = Head.at(entries[-1]) if entries else Head()
        entries.append(following(head, "m", move, Note("local:x"), "2026-11-24T00:00:00.000Z"))
    return entries


class Model:
    """A name with versions in staging, and what was done to it."""

    def __init__(self, *versions: int) -> None:
        self.stages = dict.fromkeys(versions, STAGING)
        self.done: list[tuple[Move, ...]] = []

    def do(self, moves: tuple[Move, ...]) -> None:
        """Carry a change out."""
        self.done.append(moves)
        for move in moves:
            assert self.stages[move.version] is move.before
            self.stages[move.version] = move.after

    def promote(self, *versions: int) -> None:
        """To production, one after the other."""
        for version in versions:
            if self.stages[version] is ARCHIVED:
                self.do(promote(self.stages, version, STAGING))
            self.do(promote(self.stages, version, PRODUCTION))

    def roll_back(self) -> int:
        """The version that serves then."""
        self.do(roll_back(self.stages, history(*self.done)))
        return next(version for version, stage in self.stages.items() if stage is PRODUCTION)


def test_rolling_back_goes_back_step_by_step() -> None:
    """Never to one that was rolled back from; from the first there is no way back."""
    model = Model(1, 2, 3)
    model.promote(1, 2, 3)

    assert [model.roll_back(), model.roll_back()] == [2, 1]
    assert model.stages == {1: PRODUCTION, 2: STAGING, 3: STAGING}
    with pytest.raises(StageConflict, match="No version was in production before version 1"):
        model.roll_back()


def test_a_version_that_comes_again_counts_again() -> None:
    """After a rollback and a fix it is promoted anew, and what it replaced is what is before it."""
    model = Model(1, 2, 3)
    model.promote(1, 2, 3)
    model.roll_back()
    model.promote(3)

    assert model.roll_back() == 2


def test_one_that_was_promoted_twice_stands_where_it_was_last() -> None:
    """1, 2, 1: back to 2, then to nothing, since 1 was rolled back from."""
    model = Model(1, 2)
    model.promote(1, 2, 1)

    assert model.roll_back() == 2
    assert before_in_production(history(*model.done)) is None


def test_without_production_there_is_nothing_to_roll_back() -> None:
    """It says so."""
    with pytest.raises(StageConflict, match="No version is in production"):
        roll_back({1: STAGING}, [])


@pytest.mark.parametrize("change", [lambda: promote({1: DEV}, 2, STAGING), lambda: archive({1: DEV}, 2)])
def test_a_version_that_is_not_there_cannot_be_moved(change: Callable[[], object]) -> None:
    """It names those that are."""
    with pytest.raises(UnknownModel, match="There is no version 2 of this model; there are 1"):
        change()
