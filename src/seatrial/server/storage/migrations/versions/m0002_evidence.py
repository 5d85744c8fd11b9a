"""Trials, what was counted in them, and proofs."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "trials",
        sa.Column("trial_id", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("opened", sa.Float(53), nullable=False),
        sa.Column("expires", sa.Float(53), nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("closed", sa.Boolean, nullable=False),
    )
    op.create_table(
        "tallies",
        sa.Column("trial_id", sa.String(32), primary_key=True),
        sa.Column("worker", sa.String(32), primary_key=True),
        sa.Column("phase", sa.String(16), primary_key=True),
        sa.Column("endpoint", sa.String(128), primary_key=True),
        sa.Column("model_id", sa.String(80), primary_key=True),
        sa.Column("requests", sa.Integer, nullable=False),
        sa.Column("errors", sa.Integer, nullable=False),
        sa.Column("histogram", sa.Text, nullable=False),
        sa.Column("first", sa.Float(53), nullable=False),
        sa.Column("last", sa.Float(53), nullable=False),
    )
    op.create_table(
        "proofs",
        sa.Column("digest", sa.String(71), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("need", sa.String(80), nullable=False),
        sa.Column("trial_id", sa.String(32), nullable=False, unique=True),
        sa.Column("submitted", sa.Float(53), nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("counted", sa.Text, nullable=False),
    )
    op.create_index("ix_proofs_version", "proofs", ["name", "version"])


def downgrade() -> None:
    """Take them away, with all that was proven."""
    for table in ("proofs", "tallies", "trials"):
        op.drop_table(table)
