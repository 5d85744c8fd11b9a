"""The operator's way in: a bearer token in the data directory, made once, readable by its owner only."""

import os
import secrets
from pathlib import Path

NAME = "admin.token"


def admin_token(data_dir: Path) -> str:
    """The token of this data directory; made at the first call. Safe where several workers start at once.

    Raises:
        OSError: the directory or the file cannot be used.
        ValueError: the file is empty; an empty token would let everybody in.
    """
    path = data_dir / NAME
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        _publish(path, secrets.token_urlsafe(32))
    token = path.read_text(encoding="ascii").strip()
    if not token:
        raise ValueError(f"{path} is empty. Delete it, and the next start makes a new one.")
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
