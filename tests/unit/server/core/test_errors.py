"""The tree of errors, and their texts."""

import re

import pytest

from seatrial.contracts.problem import Fault
from seatrial.server.core import errors

FAULT = Fault("/data", "wrong", "a number", "null")


def branches(root: type[Exception], depth: int = 0) -> list[str]:
    lines = [f"{'  ' * depth}{root.__name__}"]
    for branch in root.__subclasses__():
        if branch.__module__ == errors.__name__:
            lines += branches(branch, depth + 1)
    return lines


def test_the_tree_is_the_one_that_is_drawn() -> None:
    """The drawing in the module's docstring names each error, once, below its root."""
    drawing = (errors.__doc__ or "").split("\n\n")[1].splitlines()
    names = [re.sub(r"[^A-Za-z ]", " ", line).split()[0] for line in drawing]
    drawn = ["  " * (line.index(name) // 4) + name for line, name in zip(drawing, names, strict=True)]

    assert branches(errors.SeatrialError) == drawn


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (errors.InvalidJSON("Not JSON"), "Not JSON"),
        (errors.InvalidJSON("Not JSON", 0), "Not JSON (at byte 0)"),
        (errors.Forbidden("read"), "This needs the scope 'read', which these credentials do not have."),
        (errors.BodyTooLarge(16), "The body is larger than the limit of 16 bytes."),
        (errors.NotReady({"a:1": "not loaded", "server": "stopping"}), "a:1: not loaded; server: stopping"),
        (errors.DeadlineExceeded("queue", 0.25), "The deadline of 0.25 s passed in the phase 'queue'."),
        (errors.InvalidInput("Wrong.", [FAULT]), "Wrong."),
    ],
)
def test_an_error_says_what_is_wrong(error: errors.SeatrialError, text: str) -> None:
    """The text is made for the caller."""
    assert str(error) == text


@pytest.mark.parametrize(("total", "expected"), [(None, 1), (30, 30)])
def test_the_total_of_an_invalid_input_counts_what_is_not_listed(total: int | None, expected: int) -> None:
    """Without a total, it is the number of listed faults."""
    error = errors.InvalidInput("Wrong.", [FAULT], total)

    assert (error.faults, error.total) == ((FAULT,), expected)
