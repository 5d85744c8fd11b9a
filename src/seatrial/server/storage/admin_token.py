"""The operator's way in: a bearer token in the data directory, made once, readable by its owner only."""

import os
import secrets
from pathlib import Path

NAME = "admin.token"


def admin_token(data_dir: Path) -> str:
    """The token of this data directory; made at the first call. Safe where several workers start at once.

    Raises:
        OSError: the directory or the file cannot be used.
        ValueError: the file is empty, or no text; an empty token would let everybody in.
    """
    path = data_dir / NAME
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        _publish(path, secrets.token_urlsafe(32))
    try:
        return read_token(path)
    except ValueError as error:
        raise ValueError(f"{path} {error}. Delete it, and the next start makes a new one.") from error


def read_token(path: Path) -> str:
    """The token in a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it holds none; the text goes on after the name of the file (`is empty`).
    """
    try:
        token = path.read_bytes().decode("ascii").strip()
    except UnicodeDecodeError as error:
        raise ValueError("holds bytes that are no ASCII text") from error
    if not token:
        raise ValueError("is empty")
    return token


def _publish(path: Path, token: str) -> None:
    """Write it beside its place and link it there whole; whoever comes second keeps the first one's."""
    draft = path.with_name(f"{NAME}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(token + "\n")
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
