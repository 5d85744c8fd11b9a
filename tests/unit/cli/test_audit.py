"""`seatrial audit`: what was done, and whether it is all there."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Command

from seatrial.server.access.audit import Deed, Origin
from seatrial.server.storage.opening import open_registry

ORIGIN = Origin("2001:db8:1234:5678::1", "0123456789abcdef0123456789abcdef")
DEEDS = (
    Deed("authn_login_success", "user:ada@example.org", "session 0123456789012345678901", ORIGIN),
    Deed("authn_login_fail", "unknown", "bob@example.org", ORIGIN, "failure"),
    Deed("key_created", "local:root", "abcdefgh (the [red] one)"),
)
WHOLE = "The audit is whole: nothing was edited or dropped.\n"


@pytest.fixture(autouse=True)
def deeds(deployed: Path) -> None:
    """Three deeds stand in the audit."""
    with closing(open_registry(None, deployed)) as registry:
        for deed in DEEDS:
            registry.audit.note(deed)


def numbers(printed: str) -> list[int]:
    return [entry["number"] for entry in json.loads(printed)]


def test_all_of_it_is_a_document(command: Command) -> None:
    """The oldest first, with the whole id of each request."""
    code, printed, text = command("audit", "--json")
    first = json.loads(printed)[0]

    assert (code, numbers(printed), text) == (0, [1, 2, 3], "")
    assert (first["event"], first["who"], first["outcome"]) == (DEEDS[0].event, DEEDS[0].who, "success")
    assert (first["address"], first["request_id"]) == (ORIGIN.address, ORIGIN.request_id)


def test_it_can_be_read_at_120_columns(command: Command) -> None:
    """Times, events, addresses and the beginning of the request's id stand on one line; brackets are no markup."""
    code, printed, _ = command("audit", columns=120)
    lines = printed.splitlines()
    rows = [line.split() for line in lines if line[0].isdigit()]

    assert (code, len(rows), max(map(len, lines)) <= 120) == (0, 3, True)
    assert rows[0][2] == "authn_login_success"
    assert rows[0][-2:] == [ORIGIN.address, ORIGIN.request_id[:12]]
    assert rows[0][1][-1] == "Z"
    assert "[red]" in printed


def test_the_newest_and_those_of_one_event_can_be_asked_for(command: Command) -> None:
    """Together, the newest of that event."""
    assert numbers(command("audit", "--last", "2", "--json")[1]) == [2, 3]
    assert numbers(command("audit", "--event", "authn_login_fail", "--json")[1]) == [2]
    assert numbers(command("audit", "--event", "authn_logout", "--json")[1]) == []
    assert numbers(command("audit", "--event", "authn_login_fail", "--last", "1", "--verify", "--json")[1]) == [2]


def test_one_that_is_whole_is_said_to_be(command: Command) -> None:
    """With --json on standard error, so that the document stands alone; all of it is looked at, whatever is shown."""
    code, printed, _ = command("audit", "--verify", "--last", "1")
    document = command("audit", "--verify", "--json")

    assert (code, printed.endswith(WHOLE)) == (0, True)
    assert (numbers(document[1]), document[2]) == ([1, 2, 3], WHOLE)


@pytest.mark.proves("S59")
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("UPDATE audit SET who = 'nobody' WHERE number = 1", "entry 1 was edited"),
        ("DELETE FROM audit WHERE number = 2", "entry 3 follows entry 1: something between is missing"),
        ("DELETE FROM audit WHERE number = 3", "ends with entry 2, which is not the last one that was written (3)"),
    ],
)
def test_what_was_edited_or_dropped_is_found(command: Command, deployed: Path, change: str, told: str) -> None:
    """The database refuses a change; of one that is made all the same each fault is a line, and the exit code 1."""
    with closing(sqlite3.connect(deployed / "seatrial.db")) as database:
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            database.execute(change)
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        database.execute(change)
        database.commit()
    code, _, text = command("audit", "--verify", "--last", "1")

    assert code == 1
    assert (text.startswith("seatrial: the audit is not whole: "), told in text) == (True, True)
    assert command("audit")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--event", "login"), "--event: expected one of authn_login_success, authn_login_fail, "),
        (("--last", "0"), "--last"),
        (("--last", "many"), "--last"),
    ],
)
def test_wrong_usage_ends_with_2(command: Command, arguments: tuple[str, ...], told: str) -> None:
    """A slip in an event is not an audit without entries."""
    code, printed, text = command("audit", *arguments)

    assert (code, printed, told in text) == (2, "", True)
