"""`seatrial keys` on the database: keys of the operator, and the keys that sign."""

import json
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.conftest import Command

from seatrial.server.access.keys import well_formed
from seatrial.server.storage.opening import open_registry

CI = ("create", "--name", "ci", "--scopes", "predict,read")


def listed(command: Command) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(command("keys", "list", "--json")[1])
    return found


def signing(deployed: Path) -> dict[str, float | None]:
    """Until when each signing key verifies, the newest first."""
    with closing(open_registry(None, deployed)) as registry:
        return {key.kid: key.retires for key in registry.keys.signing_keys()}


def test_a_fresh_deployment_has_no_key(command: Command) -> None:
    """The text says how to make one."""
    assert command("keys", "list") == (
        0, "No keys yet: `seatrial keys create --name ci --scopes predict` makes one.\n", "",
    )  # fmt: skip


@pytest.mark.proves("S27")
def test_a_key_is_printed_alone(command: Command, deployed: Path) -> None:
    """On standard output, for a variable of a shell; what it is called on standard error; no file holds it."""
    code, printed, told = command("keys", *CI)
    (kept,) = listed(command)

    assert (code, well_formed(printed.strip()), printed.count("\n")) == (0, True, 1)
    assert told == f"Key {kept['key_id']} (ci), to be kept now: it is not shown again.\n"
    assert not any(printed.strip().encode() in path.read_bytes() for path in deployed.rglob("*") if path.is_file())
    assert printed.strip() not in json.dumps(kept) + command("keys", "list")[1] + command("audit", "--json")[1]


def test_a_key_is_as_it_was_asked_for(command: Command) -> None:
    """Scopes, its end, and its own limits; without them it has none. With --json all of it is one document."""
    more = ("--expires", "90d", "--rate-limit", "600/minute", "--concurrency-limit", "4", "--json")
    made = json.loads(command("keys", *CI, *more)[1])
    command("keys", "create", "--name", "plain", "--scopes", " predict ")
    first, second = listed(command)
    length = datetime.fromisoformat(first["expires_at"]) - datetime.fromisoformat(first["created_at"])

    assert made == {**first, "key": made["key"]}
    assert (first["scopes"], first["rate_limit"], first["concurrency_limit"]) == (["predict", "read"], "600/minute", 4)
    assert length.total_seconds() == pytest.approx(90 * 86400, abs=10)
    assert (second["scopes"], second["owner"]) == (["predict"], None)
    assert {second[name] for name in ("expires_at", "revoked_at", "rate_limit", "concurrency_limit")} == {None}


def test_a_key_is_revoked_once(command: Command) -> None:
    """It stays in the list, with the time; a second time changes nothing."""
    command("keys", *CI)
    (key,) = listed(command)
    revoked = command("keys", "revoke", key["key_id"])
    (after,) = listed(command)
    again = command("keys", "revoke", key["key_id"])

    assert revoked == again == (0, f"{key['key_id']} is revoked.\n", "")
    assert (key["revoked_at"], after["revoked_at"] is not None) == (None, True)
    assert listed(command) == [after]
    assert len(json.loads(command("audit", "--event", "key_revoked", "--json")[1])) == 1


def test_a_key_is_exchanged_with_an_overlap(command: Command) -> None:
    """The new one is like the old one, and printed alone; the old one ends when the overlap does."""
    command("keys", *CI, "--rate-limit", "600/minute")
    (old,) = listed(command)
    code, printed, told = command("keys", "rotate", old["key_id"], "--overlap", "2h")
    before, new = listed(command)
    left = datetime.fromisoformat(before["expires_at"]) - datetime.fromisoformat(new["created_at"])

    assert (code, well_formed(printed.strip())) == (0, True)
    assert told == f"Key {new['key_id']} takes the place of {old['key_id']}, which is good for 2h more.\n"
    assert left.total_seconds() == pytest.approx(7200, abs=1)
    assert {**new, "key_id": "", "created_at": ""} == {**old, "key_id": "", "created_at": ""}


def test_a_key_that_has_ended_is_not_exchanged(command: Command) -> None:
    """A revoked one does not come back under another name."""
    command("keys", *CI)
    (key,) = listed(command)
    command("keys", "revoke", key["key_id"])

    assert command("keys", "rotate", key["key_id"]) == (
        2, "", f"seatrial: The API key '{key['key_id']}' has ended; make another one.\n",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("create", "--name", "", "--scopes", "read"), "--name: expected 1 to 64 letters, digits, blanks and . _ -"),
        (("create", "--name", "a/b", "--scopes", "read"), "--name: expected 1 to 64 letters"),
        (
            ("create", "--name", "x", "--scopes", "root,read"),
            "models:write, predict, proofs:write, read; received root",
        ),
        (("create", "--name", "x", "--scopes", ","), "read; received none"),
        (
            ("create", "--name", "x", "--scopes", "read", "--expires", "soon"),
            "--expires: a duration is a number and ms, s,",
        ),
        (
            ("create", "--name", "x", "--scopes", "read", "--expires", "-1d"),
            "--expires: a duration is a number and ms, s,",
        ),
        (("create", "--name", "x", "--scopes", "read", "--expires", "99999d"), "--expires: expected a hundred years"),
        (("create", "--name", "x", "--scopes", "read", "--rate-limit", "9/year"), "--rate-limit: expected calls per"),
        (("create", "--name", "x", "--scopes", "read", "--rate-limit", "0/day"), "--rate-limit: expected calls per"),
        (("create", "--name", "x"), "Missing option '--scopes'"),
        (("create", "--name", "x", "--scopes", "read", "--concurrency-limit", "0"), "--concurrency-limit"),
        (("rotate", "nobody", "--overlap", "1w"), "--overlap: a duration is a number and ms, s,"),
        (("rotate", "nobody", "--overlap", "91d"), "--overlap: expected 90d at most; received '91d'"),
        (("rotate", "nobody"), "There is no API key 'nobody'."),
        (("revoke", "nobody"), "There is no API key 'nobody'."),
        (("list", "--server", "http://127.0.0.1:9"), "takes neither --data-dir nor --database-url"),
    ],
)
def test_wrong_usage_ends_with_2(command: Command, arguments: tuple[str, ...], told: str) -> None:
    """With a text that says what was expected; no key is made."""
    code, printed, text = command("keys", *arguments)

    assert (code, printed, told in " ".join(text.split())) == (2, "", True), text
    assert listed(command) == []


def test_a_key_that_would_have_ended_already_is_refused(command: Command) -> None:
    """With exit code 1."""
    code, printed, text = command("keys", *CI, "--expires", "0s")

    assert (code, printed) == (1, "")
    assert text.startswith("seatrial: The key would have ended already.\n  /expires_at: ")


def test_another_key_signs(command: Command, deployed: Path) -> None:
    """The one before verifies as long as what it has signed may be good: 16 minutes."""
    (first,) = signing(deployed)
    code, printed, text = command("keys", "rotate-signing")
    after = signing(deployed)
    (entry,) = json.loads(command("audit", "--event", "signing_key_rotated", "--json")[1])
    newest, old = after

    assert (code, printed, text) == (0, f"{newest} signs from now on.\n", "")
    assert (old, after[newest], entry["subject"]) == (first, None, newest)
    assert after[first] == pytest.approx(datetime.fromisoformat(entry["at"]).timestamp() + 960, abs=5)


def test_no_signing_key_is_sealed_where_servers_could_not_open_it(command: Command, deployed: Path) -> None:
    """On a machine that has neither the secret of the servers nor the setting nothing is made: exit code 3."""
    (deployed / "secret.key").unlink()
    before = signing(deployed)
    code, printed, text = command("keys", "rotate-signing")

    assert (code, printed) == (3, "")
    assert f"there is no secret.key in {deployed}, and SEATRIAL_SECRET_KEY is not set" in text
    assert (signing(deployed), (deployed / "secret.key").exists()) == (before, False)
