"""What a data directory keeps secret: made once, whole, for its owner only."""

import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from seatrial.server.storage.secrets import ADMIN_TOKEN, _publish, own_secret


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_token_is_made_once(tmp_path: Path) -> None:
    """Later calls read the same token; there are 256 random bits in it."""
    token = own_secret(tmp_path, ADMIN_TOKEN)

    assert own_secret(tmp_path, ADMIN_TOKEN) == token
    assert len(token) == 43
    assert token != own_secret(tmp_path / "other", ADMIN_TOKEN)
    assert (tmp_path / ADMIN_TOKEN).read_text() == token + "\n"


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    """The file has mode 0600 and a new folder 0700, whatever the umask."""
    before = os.umask(0)
    try:
        own_secret(tmp_path / "made" / "here", ADMIN_TOKEN)
    finally:
        os.umask(before)

    assert mode(tmp_path / "made" / "here" / ADMIN_TOKEN) == 0o600
    assert mode(tmp_path / "made" / "here") == 0o700


def test_a_token_of_the_operator_is_kept(tmp_path: Path) -> None:
    """White space around it does not count."""
    (tmp_path / ADMIN_TOKEN).write_text("  my-own-token\n\n")

    assert own_secret(tmp_path, ADMIN_TOKEN) == "my-own-token"


def test_an_empty_file_is_no_token(tmp_path: Path) -> None:
    """With an empty token `Authorization: Bearer` would be the operator, so it is never in force."""
    (tmp_path / ADMIN_TOKEN).write_text("\n")
    try:
        token = own_secret(tmp_path, ADMIN_TOKEN)
    except (OSError, ValueError):
        return  # refusing to start is as good as a new token

    assert len(token) == 43


def test_many_makers_agree(tmp_path: Path) -> None:
    """Workers that start at once have one token between them, and leave no drafts."""
    makers = 20
    together = threading.Barrier(makers)

    def make(_: int) -> str:
        together.wait()
        return own_secret(tmp_path, ADMIN_TOKEN)

    with ThreadPoolExecutor(makers) as pool:
        tokens = set(pool.map(make, range(makers)))

    assert len(tokens) == 1
    assert [path.name for path in tmp_path.iterdir()] == [ADMIN_TOKEN]
    assert mode(tmp_path / ADMIN_TOKEN) == 0o600


def test_who_comes_second_keeps_the_first_ones_token(tmp_path: Path) -> None:
    """A worker that has found no token, but is overtaken, does not replace the one that is there by then."""
    for token in ("first", "second"):
        _publish(tmp_path / ADMIN_TOKEN, token)

    assert own_secret(tmp_path, ADMIN_TOKEN) == "first"
    assert [path.name for path in tmp_path.iterdir()] == [ADMIN_TOKEN]
