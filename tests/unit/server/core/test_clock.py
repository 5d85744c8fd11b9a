"""Time."""

import re
from datetime import UTC, datetime

from seatrial.server.core.clock import monotonic, timestamp


def test_a_timestamp_is_rfc_3339_in_utc() -> None:
    """It has milliseconds and ends in Z, and lies between the moments before and after."""
    before = datetime.now(UTC)
    text = timestamp()
    after = datetime.now(UTC)

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    assert before.replace(microsecond=before.microsecond // 1000 * 1000) <= datetime.fromisoformat(text) <= after


def test_the_monotonic_clock_never_goes_back() -> None:
    """Readings are in order."""
    readings = [monotonic() for _ in range(1000)]

    assert readings == sorted(readings)
