"""Trials, what was counted in them, and proofs, in the database of the registry."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import orjson
from sqlalchemy import Engine, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from seatrial.server.core.errors import TrialConflict
from seatrial.server.registry.evidence import KEPT_SECONDS, MOST_OPEN_TRIALS, Submitted, Tally, Trial
from seatrial.server.registry.model import parse_model_id
from seatrial.server.storage import tables
from seatrial.server.storage.database import reading, writing
from seatrial.server.storage.tables import proofs, tallies, trials


class SqlEvidence:
    """Implements `registry.ports.EvidenceStore` over an engine; lives as long as that."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def open_trial(self, trial: Trial) -> None:
        """See `EvidenceStore.open_trial`."""
        with writing(self._engine) as connection:
            connection.execute(select(tables.head.c.number).with_for_update())
            still = (~trials.c.closed) & (trials.c.expires > trial.opened)
            found = connection.execute(
                select(trials.c.trial_id, trials.c.who).where(still).order_by(trials.c.opened)
            ).all()
            if len(found) >= MOST_OPEN_TRIALS:
                own = next((row.trial_id for row in found if row.who == trial.who), None)
                if own is None:
                    raise TrialConflict(f"{len(found)} trials of others are open; wait until one ends.")
                connection.execute(update(trials).filter_by(trial_id=own).values(closed=True))
            ended = trials.c.closed | (trials.c.expires <= trial.opened)
            connection.execute(delete(tallies).where(tallies.c.trial_id.in_(select(trials.c.trial_id).where(ended))))
            connection.execute(delete(trials).where(ended, trials.c.expires < trial.opened - KEPT_SECONDS))
            connection.execute(insert(trials).values(asdict(trial)))

    def trial(self, trial_id: str) -> Trial | None:
        """See `EvidenceStore.trial`."""
        with reading(self._engine) as connection:
            row = connection.execute(select(trials).filter_by(trial_id=trial_id)).one_or_none()
        return _trial(row) if row else None

    def open_trials(self, now: float) -> Sequence[Trial]:
        """See `EvidenceStore.open_trials`."""
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(trials).where(~trials.c.closed, trials.c.expires > now).order_by(trials.c.opened)
            ).all()
        return tuple(_trial(row) for row in rows)

    def count(self, worker: str, trial_id: str, counted: Sequence[Tally]) -> None:
        """See `EvidenceStore.count`."""
        rows = [{"trial_id": trial_id, "worker": worker, **asdict(tally)} for tally in counted]
        with writing(self._engine) as connection:
            connection.execute(delete(tallies).filter_by(trial_id=trial_id, worker=worker))
            if rows:
                connection.execute(insert(tallies), rows)

    def tallies(self, trial_id: str) -> Sequence[Tally]:
        """See `EvidenceStore.tallies`."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(tallies).filter_by(trial_id=trial_id)).all()
        return tuple(_tally(dict(row._mapping)) for row in rows)  # noqa: SLF001 - SQLAlchemy's public name for it

    def submit(self, submitted: Submitted) -> None:
        """See `EvidenceStore.submit`."""
        values = asdict(submitted)
        values["counted"] = orjson.dumps(values["counted"]).decode()
        try:
            with writing(self._engine) as connection:
                closed = connection.execute(
                    update(trials).filter_by(trial_id=submitted.trial_id, closed=False).values(closed=True)
                )
                if not closed.rowcount:
                    raise TrialConflict("The trial led to a proof already.")
                connection.execute(insert(proofs).values(values))
        except IntegrityError as error:
            raise TrialConflict("This proof was submitted already.") from error

    def documents(self) -> set[str]:
        """The digests of all proofs, whose files are to be kept."""
        with reading(self._engine) as connection:
            return set(connection.execute(select(proofs.c.digest)).scalars())

    def proofs(self, model_id: str, limit: int) -> Sequence[Submitted]:
        """See `EvidenceStore.proofs`."""
        name, version = parse_model_id(model_id)
        last = proofs.c.submitted.desc(), proofs.c.digest.desc()
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(proofs).filter_by(name=name, version=version).order_by(*last).limit(limit)
            ).all()
        return tuple(_submitted(row) for row in reversed(rows))

    def latest_proofs(self, model_id: str) -> Sequence[Submitted]:
        """See `EvidenceStore.latest_proofs`."""
        name, version = parse_model_id(model_id)
        last = proofs.c.submitted.desc(), proofs.c.digest.desc()
        place = func.row_number().over(partition_by=proofs.c.need, order_by=last).label("place")
        ranked = select(proofs.c.digest, place).filter_by(name=name, version=version).subquery()
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(proofs)
                .join(ranked, ranked.c.digest == proofs.c.digest)
                .where(ranked.c.place == 1)
                .order_by(proofs.c.need)
            ).all()
        return tuple(_submitted(row) for row in rows)


def _trial(row: Row[Any]) -> Trial:
    return Trial(**row._mapping)  # noqa: SLF001 - the same


def _tally(values: dict[str, Any]) -> Tally:
    return Tally(**{name: value for name, value in values.items() if name not in {"trial_id", "worker"}})


def _submitted(row: Row[Any]) -> Submitted:
    values = dict(row._mapping)  # noqa: SLF001 - the same
    return Submitted(**{**values, "counted": tuple(_tally(item) for item in orjson.loads(values["counted"]))})
