"""The composition root, as far as it decides something; what it composes is tested in tests/api."""

from pathlib import Path

import pytest

from seatrial.server.app import DRAIN_SECONDS, drain_seconds
from seatrial.server.settings import Settings


@pytest.mark.parametrize(
    ("host", "chosen", "seconds"),
    [
        ("127.0.0.1", None, 0.0),
        ("localhost", None, 0.0),
        ("::1", None, 0.0),
        ("0.0.0.0", None, DRAIN_SECONDS),  # noqa: S104 - nothing is bound
        ("10.0.0.7", None, DRAIN_SECONDS),
        ("127.0.0.1", 2.5, 2.5),
        ("10.0.0.7", 0.0, 0.0),
    ],
)
def test_how_long_a_stopping_server_goes_on(host: str, chosen: float | None, seconds: float, tmp_path: Path) -> None:
    """The setting, else no time on loopback and five seconds where others can reach it."""
    assert drain_seconds(Settings(host=host, drain_seconds=chosen, data_dir=tmp_path)) == seconds
