"""TOML files of the caller's: each fault with its line."""

import pytest

from seatrial.grading.toml import line_of

TEXT = """\
schema = "x"
"quoted key" = 1

[[request]]
path = "/a"
[request.expect]
status = 200

[[request]]
path = "/b"   # the second
  [request.expect]
  json = { "/digit" = 7 }
  status = 404

[promotion.staging]
needs = ["golden"]
total.pass = 1
"""


@pytest.mark.parametrize(
    ("where", "line"),
    [
        (("schema",), 1),
        (("quoted key",), 2),
        (("request", 0), 4),
        (("request", 0, "path"), 5),
        (("request", 0, "expect", "status"), 7),
        (("request", 1, "path"), 10),
        (("request", 1, "expect", "status"), 13),
        (("request", 1, "expect", "json", "/digit"), 12),
        (("request", 1, "body"), 9),
        (("promotion", "staging", "needs", 0), 16),
        (("promotion", "staging", "total", "pass"), 17),
        (("nowhere",), 1),
    ],
)
def test_a_place_has_its_line(where: tuple[str | int, ...], line: int) -> None:
    """Of a key, of an item of a list of tables; of what is missing the table that it belongs in."""
    assert line_of(TEXT, where) == line
