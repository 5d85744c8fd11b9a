"""The tables, as the newest schema has them: what `migrations` makes, and a test compares with this."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
)

from seatrial.server.access.principal import ROLES
from seatrial.server.registry.model import Stage

metadata = MetaData()
_in_production = text(f"stage = '{Stage.PRODUCTION}'")
versions = Table(
    "versions",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("stage", String(16), nullable=False),
    Column("digest", String(71), nullable=False),
    Column("golden", String(71), nullable=False),
    Column("manifest", Text, nullable=False),
    Column("registered_at", String(32), nullable=False),
    Column("reason", Text, nullable=False),
    CheckConstraint(f"stage IN ({', '.join(repr(str(stage)) for stage in Stage)})", name="known_stage"),
    Index(
        "one_production", "name", unique=True, sqlite_where=_in_production, postgresql_where=_in_production
    ),
)  # fmt: skip
"""Every version, with its manifest as JSON. The index keeps a second one of a name out of production."""
ledger = Table(
    "ledger",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("name", String(64), nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("action", String(16), nullable=False),
    Column("before", String(16)),
    Column("after", String(16), nullable=False),
    Column("at", String(32), nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("proof", String(71), nullable=False),
    Column("gate", String(16), nullable=False),
    Column("previous", String(71), nullable=False, unique=True),
    Column("digest", String(71), nullable=False, unique=True),
)
"""Every change, never changed itself: triggers of the migration see to that."""
head = Table(
    "head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False),
    Column("digest", String(71), nullable=False),
    CheckConstraint("id = 1", name="one_head"),
)
"""The last entry of the ledger: one row, which every writer locks first."""
trials = Table(
    "trials",
    metadata,
    Column("trial_id", String(32), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("opened", Float(53), nullable=False),
    Column("expires", Float(53), nullable=False),
    Column("who", Text, nullable=False),
    Column("closed", Boolean, nullable=False),
)
"""Trials that were begun. Times are Unix time in seconds."""
tallies = Table(
    "tallies",
    metadata,
    Column("trial_id", String(32), primary_key=True),
    Column("worker", String(32), primary_key=True),
    Column("phase", String(16), primary_key=True),
    Column("endpoint", String(128), primary_key=True),
    Column("model_id", String(80), primary_key=True),
    Column("requests", Integer, nullable=False),
    Column("errors", Integer, nullable=False),
    Column("histogram", Text, nullable=False),
    Column("first", Float(53), nullable=False),
    Column("last", Float(53), nullable=False),
)
"""What each worker has counted under a trial so far."""
proofs = Table(
    "proofs",
    metadata,
    Column("digest", String(71), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("need", String(80), nullable=False),
    Column("trial_id", String(32), nullable=False, unique=True),
    Column("submitted", Float(53), nullable=False),
    Column("who", Text, nullable=False),
    Column("counted", Text, nullable=False),
    Index("ix_proofs_version", "name", "version"),
)
"""Proofs that agreed with what was counted; their files lie under their digests. One a trial."""
accounts = Table(
    "accounts",
    metadata,
    Column("account_id", String(32), primary_key=True),
    Column("email", String(254), nullable=False, unique=True),
    Column("password", Text, nullable=False),
    Column("role", String(16), nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("created", Float(53), nullable=False),
    CheckConstraint(f"role IN ({', '.join(repr(role) for role in ROLES)})", name="known_role"),
)
"""People. `password` is an argon2id hash; access tokens of another `epoch` than this are not valid any more."""
sessions = Table(
    "sessions",
    metadata,
    Column("session_id", String(32), primary_key=True),
    Column("account_id", String(32), nullable=False, index=True),
    Column("current", String(64), nullable=False),
    Column("previous", String(64), nullable=False),
    Column("rotated", Float(53), nullable=False),
    Column("expires", Float(53), nullable=False),
    Column("revoked", Boolean, nullable=False),
)
"""Logins. `current` and `previous` are SHA-256 of refresh tokens: the one that is good, and the one before it."""
networks = Table(
    "networks",
    metadata,
    Column("account_id", String(32), primary_key=True),
    Column("network", String(64), primary_key=True),
    Column("seen", Float(53), nullable=False),
)
"""From where somebody has logged in: who attacks from elsewhere does not lock them out there."""
api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", String(16), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("account_id", String(32), index=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("scopes", Text, nullable=False),
    Column("created", Float(53), nullable=False),
    Column("expires", Float(53)),
    Column("lifetime", Float(53)),
    Column("revoked", Float(53)),
    Column("used", Float(53)),
    Column("rate", String(32)),
    Column("concurrency", Integer),
)
"""Keys of programs, by the SHA-256 of each; those without an account are the operator's."""
signing_keys = Table(
    "signing_keys",
    metadata,
    Column("kid", String(32), primary_key=True),
    Column("public", Text, nullable=False),
    Column("sealed", Text, nullable=False),
    Column("created", Float(53), nullable=False),
    Column("retires", Float(53)),
)
"""What access tokens are signed with; `sealed` is the private half, encrypted. Past `retires` it verifies none."""
access_head = Table(
    "access_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("generation", Integer, nullable=False),
    CheckConstraint("id = 1", name="one_access_head"),
)
"""Counts the changes of accounts, keys and signing keys: one row, by which workers see that there is something new."""
audit = Table(
    "audit",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", String(32), nullable=False),
    Column("event", String(40), nullable=False, index=True),
    Column("outcome", String(16), nullable=False),
    Column("who", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("address", String(64), nullable=False),
    Column("request_id", String(128), nullable=False),
    Column("previous", String(71), nullable=False, unique=True),
    Column("digest", String(71), nullable=False, unique=True),
)
"""What was done with accounts, keys and models, and by whom; never changed itself."""
audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False),
    Column("digest", String(71), nullable=False),
    CheckConstraint("id = 1", name="one_audit_head"),
)
"""The last entry of the audit."""
