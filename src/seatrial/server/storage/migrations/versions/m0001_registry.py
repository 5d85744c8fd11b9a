"""Versions, the ledger, and its head."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NOTHING = "sha256:" + "0" * 64
IN_PRODUCTION = "stage = 'production'"


def upgrade() -> None:
    """Make the tables, and keep the ledger from being changed."""
    op.create_table(
        "versions",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("stage", sa.String(16), nullable=False),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("golden", sa.String(71), nullable=False),
        sa.Column("manifest", sa.Text, nullable=False),
        sa.Column("registered_at", sa.String(32), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.CheckConstraint("stage IN ('dev', 'staging', 'production', 'archived')", name="known_stage"),
    )
    op.create_index(
        "one_production", "versions", ["name"], unique=True,
        sqlite_where=sa.text(IN_PRODUCTION), postgresql_where=sa.text(IN_PRODUCTION),
    )  # fmt: skip
    op.create_table(
        "ledger",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("before", sa.String(16)),
        sa.Column("after", sa.String(16), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("proof", sa.String(71), nullable=False),
        sa.Column("gate", sa.String(16), nullable=False),
        sa.Column("previous", sa.String(71), nullable=False, unique=True),
        sa.Column("digest", sa.String(71), nullable=False, unique=True),
    )
    op.create_index("ix_ledger_name", "ledger", ["name"])
    head = op.create_table(
        "head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.CheckConstraint("id = 1", name="one_head"),
    )
    op.bulk_insert(head, [{"id": 1, "number": 0, "digest": NOTHING}])
    _keep_ledger()


def _keep_ledger() -> None:
    """No entry is changed or deleted, whoever asks."""
    if op.get_bind().dialect.name == "sqlite":
        for what in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER ledger_no_{what.lower()} BEFORE {what} ON ledger "
                "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
            )
        op.execute(  # INSERT OR REPLACE deletes without a word
            "CREATE TRIGGER ledger_no_replace BEFORE INSERT ON ledger WHEN EXISTS (SELECT 1 FROM ledger WHERE "
            "number = NEW.number OR previous = NEW.previous OR digest = NEW.digest) "
            "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
        )
        return
    op.execute(
        "CREATE FUNCTION ledger_is_kept() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER ledger_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger "
        "FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_kept()"
    )


def downgrade() -> None:
    """Back to an empty database."""
    op.drop_table("head")
    op.drop_table("ledger")
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP FUNCTION ledger_is_kept()")
    op.drop_table("versions")
