"""Rates, as they are written."""

import pytest

from seatrial.server.limits.rate import Rate, parse_rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("1/second", Rate(1, 1)),
        ("600/minute", Rate(600, 60)),
        (" 20/hour ", Rate(20, 3600)),
        ("1000000000/day", Rate(10**9, 86400)),
    ],
)
def test_a_rate_is_read_and_written(text: str, rate: Rate) -> None:
    """As the same text."""
    assert parse_rate(text) == rate
    assert str(rate) == text.strip()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "600",
        "0/minute",
        "-1/minute",
        "1.5/minute",
        "600/min",
        "600 / minute",
        "01/minute",
        "1000000001/day",
        "/day",
    ],
)
def test_what_is_no_rate(text: str) -> None:
    """It says what would be, and what came."""
    with pytest.raises(ValueError, match="expected calls per second, minute, hour or day, such as"):
        parse_rate(text)


def test_a_rate_over_a_time_without_a_name() -> None:
    """It is written in seconds."""
    assert str(Rate(50, 900)) == "50/900s"


@pytest.mark.parametrize(("limit", "workers", "share"), [(600, 1, 600), (600, 4, 150), (7, 2, 3), (3, 4, 1)])
def test_the_share_of_a_worker(limit: int, workers: int, share: int) -> None:
    """So many in the same time, and one at least."""
    assert Rate(limit, 60).shared_by(workers) == Rate(share, 60)


def test_the_time_of_one_call() -> None:
    """The window, by the limit."""
    assert Rate(10, 3600).interval == 360.0
