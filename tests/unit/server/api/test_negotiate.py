"""Content negotiation between two media types."""

import pytest

from seatrial.server.api.negotiate import prefers

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("text/html", True),
        (BROWSER, True),
        ("TEXT/HTML", True),
        ("text/*", True),
        ("text/html;q=0.5", True),
        ("text/html;q=0.5, */*;q=0.4", True),
        ("text/html;q=0.5, application/json", False),
        ("text/html, application/json", False),
        ("text/html;q=0, */*", False),
        ("text/html;q=high", False),
        ("text/*;q=0.9, application/*;q=0.8", True),
        ("text/*;q=0.9, text/html;q=0.1, application/json;q=0.5", False),
        ("text/html;level=1;q=0.3, application/json;q=0.2", True),
        (";;,,", False),
    ],
)
def test_html_is_sent_to_who_prefers_it(accept: str, *, wanted: bool) -> None:
    """The most specific range decides, and with no preference the default stays."""
    assert prefers(accept, "text/html", "application/json") is wanted
