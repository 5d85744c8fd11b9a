"""What both databases do with accounts, keys and the audit, beyond what the ports ask for."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import DBAPIError
from tests.fakes.models import a_manifest, a_version

from seatrial.server.access.audit import Deed
from seatrial.server.access.ports import KNOWN_SECONDS, Session
from seatrial.server.access.view import Account
from seatrial.server.core.chain import faults
from seatrial.server.registry.ledger import Note
from seatrial.server.storage import schema
from seatrial.server.storage.accounts import SqlAccounts
from seatrial.server.storage.audit import SqlAudit
from seatrial.server.storage.database import open_database
from seatrial.server.storage.registry import SqlRegistry

NOW = 1_800_000_000.0
ADA = Account("a1", "ada@example.org", "engineer", NOW)
BOB = Account("b1", "bob@example.org", "viewer", NOW)
DEED = Deed("account_changed", "local:someone")
MADE = {"accounts", "sessions", "networks", "api_keys", "signing_keys", "access_head", "audit", "audit_head"}


@pytest.fixture
def database(database_url: str) -> Iterator[Engine]:
    """One with our schema."""
    engine = open_database(database_url)
    schema.upgrade(engine)
    yield engine
    engine.dispose()


def login(accounts: SqlAccounts, account: Account, session_id: str, at: float = NOW) -> None:
    session = Session(session_id, account.account_id, account.epoch, "t0", at, at + 30 * 86400.0)
    assert accounts.open_session(session, "192.0.2.7", DEED)


def column(engine: Engine, query: str) -> list[object]:
    with engine.connect() as connection:
        return [row[0] for row in connection.execute(text(query))]


def test_the_step_to_accounts_and_back(database: Engine) -> None:
    """What was there before stays; accounts and the audit go with their step, and begin anew with it."""
    SqlRegistry(database).add(a_version(a_manifest()), Note("local:someone", "because"))
    ledger = SqlRegistry(database).history()
    for _ in range(2):
        assert SqlAccounts(database).create(ADA, "hash", DEED)
        assert set(inspect(database).get_table_names()) >= MADE
        schema.downgrade(database, "0002")
        assert not set(inspect(database).get_table_names()) & MADE
        assert schema.current(database) == "0002"
        schema.upgrade(database)

    assert (SqlAccounts(database).find(ADA.email), SqlAudit(database).entries()[0]) == (None, [])
    assert SqlRegistry(database).history() == ledger


def test_a_login_sweeps_what_is_over(database: Engine) -> None:
    """Sessions that have expired, and places of long ago; what is good stays."""
    accounts = SqlAccounts(database)
    for account in (ADA, BOB):
        accounts.create(account, "hash", DEED)
    login(accounts, BOB, "old", NOW)
    login(accounts, ADA, "good", NOW + KNOWN_SECONDS)
    login(accounts, ADA, "new", NOW + KNOWN_SECONDS + 1)

    assert sorted(map(str, column(database, "SELECT session_id FROM sessions"))) == ["good", "new"]
    assert column(database, "SELECT account_id FROM networks") == [ADA.account_id]


AGAIN = "SELECT number, at, event, outcome, 'x', subject, address, request_id, previous, digest FROM audit"


STATEMENTS = {
    "any": [
        "UPDATE audit SET who = 'x'",
        "DELETE FROM audit",
        f"INSERT INTO audit {AGAIN}",
        f"INSERT INTO audit {AGAIN} WHERE true ON CONFLICT (number) DO UPDATE SET who = 'x'",
    ],
    "sqlite": [f"REPLACE INTO audit {AGAIN}"],
    "postgresql": ["TRUNCATE audit"],
}


@pytest.mark.proves("S59")
def test_the_audit_is_append_only(database: Engine) -> None:
    """Whoever asks: the database itself refuses."""
    audit = SqlAudit(database)
    audit.note(DEED)
    before = audit.entries()

    for statement in STATEMENTS["any"] + STATEMENTS[database.dialect.name]:
        expected = "the audit is append-only|duplicate key value"
        with pytest.raises(DBAPIError, match=expected), database.begin() as connection:
            connection.execute(text(statement))
    assert audit.entries() == before


@pytest.mark.proves("S59")
@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE audit SET who = 'x' WHERE number = 2", "entry 2 was edited"),
        ("DELETE FROM audit WHERE number = 2", "entry 3 follows entry 1: something between is missing"),
        ("DELETE FROM audit WHERE number = 3", "the audit ends with entry 2, which is not the last one"),
        ("DELETE FROM audit", "the audit ends with entry 0, which is not the last one"),
    ],
)
def test_an_edit_by_force_is_found(database: Engine, statement: str, fault: str) -> None:
    """Who owns the database can take the triggers away, and not hide it."""
    audit = SqlAudit(database)
    audit.note(DEED, DEED, DEED)
    drop = "DROP TRIGGER audit_no_{}" if database.dialect.name == "sqlite" else "ALTER TABLE audit DISABLE TRIGGER USER"
    with database.begin() as connection:
        for what in ("update", "delete"):
            connection.execute(text(drop.format(what)))
        connection.execute(text(statement))
    entries, head = audit.entries()

    assert [found for found in faults(entries, head, "audit") if found.startswith(fault)]


@pytest.mark.proves("S19")
def test_a_dump_holds_what_was_given_to_be_kept(database: Engine) -> None:
    """Of tokens and passwords the digests and hashes, as they came: nothing makes the secrets out of them."""
    accounts = SqlAccounts(database)
    accounts.create(ADA, "$argon2id$hash", DEED)
    login(accounts, ADA, "s1")
    accounts.rotate("s1", "t0", "t1", NOW, DEED)

    assert column(database, "SELECT password FROM accounts") == ["$argon2id$hash"]
    assert column(database, "SELECT current || previous FROM sessions") == ["t1t0"]
