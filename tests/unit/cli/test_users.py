"""`seatrial users`: accounts, by whoever can write the database."""

import json
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Command

ADA = ("--email", "ada@example.org")
PASSWORD = "correct horse battery\n"  # noqa: S105 - of nobody


def listed(command: Command) -> list[tuple[str, str, bool]]:
    """Who there is, their roles, and whether they are kept out."""
    accounts = json.loads(command("users", "list", "--json")[1])
    return [(account["email"], account["role"], account["disabled"]) for account in accounts]


@pytest.mark.proves("S9")
def test_a_fresh_deployment_has_no_account(command: Command) -> None:
    """Nobody comes with it; the text says how to open one."""
    assert command("users", "list", "--json") == (0, "[]\n", "")
    assert command("users", "list") == (0, "No accounts yet: `seatrial users create --email E` opens one.\n", "")


def test_an_account_is_opened(command: Command) -> None:
    """For a viewer, if no role is said; the address is kept in lower case; the password comes on standard input."""
    opened = command("users", "create", "--email", "Ada@Example.ORG", typed=PASSWORD)
    command("users", "create", "--email", "bob@example.org", "--role", "admin", typed=PASSWORD)

    assert opened == (0, "ada@example.org may log in as viewer.\n", "")
    assert listed(command) == [("ada@example.org", "viewer", False), ("bob@example.org", "admin", False)]
    assert command("users", "list")[1].splitlines()[1].split()[:2] == ["ada@example.org", "viewer"]


def test_a_command_makes_no_secret(command: Command, deployed: Path) -> None:
    """It signs nothing: on a machine that has only the database nothing is left behind."""
    (deployed / "secret.key").unlink()
    command("users", "create", *ADA, typed=PASSWORD)

    assert not (deployed / "secret.key").exists()


@pytest.mark.parametrize(
    ("email", "typed", "told"),
    [
        ("ada@example.org", PASSWORD, "/email: The address has an account."),
        ("ada", PASSWORD, "/email: This is no e-mail address."),
        ("bob@example.org", "seven77\n", "Expected 8 to 128 characters, received 7."),
        ("bob@example.org", "\n", "Expected 8 to 128 characters, received 0."),
        ("bob@example.org", "password1\n", "Expected one that is not among the most common passwords"),
        ("robert@example.org", "xx robert xx\n", "Expected one that holds neither the name of this product nor"),
    ],
)
def test_an_account_that_cannot_be_is_refused(command: Command, email: str, typed: str, told: str) -> None:
    """With exit code 1, what was expected, and never the password; nothing is changed."""
    command("users", "create", *ADA, typed=PASSWORD)
    code, printed, text = command("users", "create", "--email", email, "--role", "admin", typed=typed)

    assert (code, printed, told in text) == (1, "", True), text
    assert len(typed.strip()) < 8 or typed.strip() not in text
    assert listed(command) == [("ada@example.org", "viewer", False)]


def test_a_role_is_set_and_somebody_is_kept_out_and_let_in(command: Command) -> None:
    """By their address in any case; the audit has each change, and who made it."""
    command("users", "create", *ADA, typed=PASSWORD)
    raised = command("users", "set-role", "--email", "ADA@example.org", "--role", "engineer")
    out = command("users", "disable", *ADA)
    while_out = listed(command), command("users", "list")[1].splitlines()[1].split()[:3]
    back = command("users", "enable", *ADA)
    entries = json.loads(command("audit", "--event", "account_changed", "--json")[1])

    assert raised == (0, "ada@example.org is engineer now.\n", "")
    assert out == (0, "ada@example.org is disabled.\n", "")
    assert while_out == ([("ada@example.org", "engineer", True)], ["ada@example.org", "engineer", "disabled"])
    assert back == (0, "ada@example.org may log in again.\n", "")
    assert listed(command) == [("ada@example.org", "engineer", False)]
    assert [entry["subject"].partition(" ")[2] for entry in entries] == ["(role engineer)", "(disabled)", "(enabled)"]
    assert {entry["who"].partition(":")[0] for entry in entries} == {"local"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("create", *ADA, "--role", "king"), "seatrial: --role: expected viewer, engineer or admin; received 'king'\n"),
        (("set-role", *ADA, "--role", ""), "seatrial: --role: expected viewer, engineer or admin; received ''\n"),
        (("set-role", *ADA, "--role", "admin"), "seatrial: There is no account of 'ada@example.org'.\n"),
        (("disable", *ADA), "seatrial: There is no account of 'ada@example.org'.\n"),
        (("enable", *ADA), "seatrial: There is no account of 'ada@example.org'.\n"),
        (("create",), "Missing option '--email'"),
        (("set-role", *ADA), "Missing option '--role'"),
    ],
)
def test_wrong_usage_ends_with_2(command: Command, arguments: tuple[str, ...], told: str) -> None:
    """With a text that says what was expected; nobody is changed."""
    code, printed, text = command("users", *arguments, typed=PASSWORD)

    assert (code, printed, told in text) == (2, "", True), text
    assert listed(command) == []


def test_without_a_database_it_is_said(command: Command, deployed: Path) -> None:
    """With exit code 3, and what to do; none is made."""
    (deployed / "seatrial.db").unlink()
    code, _, text = command("users", "list")

    assert (code, "start `seatrial serve` there once" in text) == (3, True)
    assert not (deployed / "seatrial.db").exists()


def test_a_forgotten_password_is_set_anew(command: Command) -> None:
    """The password comes as it does to `create`; who is not there has none."""
    command("users", "create", *ADA, typed=PASSWORD)

    assert command("users", "set-password", *ADA, typed="another one 1\n") == (
        0, "ada@example.org has another password.\n", "",
    )  # fmt: skip
    code, printed, text = command("users", "set-password", "--email", "bob@example.org", typed="another one 1\n")
    assert (code, printed, text) == (2, "", "seatrial: There is no account of 'bob@example.org'.\n")
