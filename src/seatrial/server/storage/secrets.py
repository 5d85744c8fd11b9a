"""What a data directory keeps secret, each in a file that is made once and readable by its owner only."""

import os
import secrets
from pathlib import Path

from pydantic import SecretStr

from seatrial.server.storage.disk import to_disk

ADMIN_TOKEN = "admin.token"  # noqa: S105 - the name of a file
"""The operator's way in: a bearer token."""
SECRET_KEY = "secret.key"  # noqa: S105 - the same
"""What signing keys are sealed under, where no setting says it."""


def own_secret(data_dir: Path, name: str) -> str:
    """The secret of this name in a data directory; made at the first call. Safe where several workers start at once.

    Raises:
        OSError: the directory or the file cannot be used.
        ValueError: the file is empty, or no text; an empty token would let everybody in.
    """
    path = data_dir / name
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        _publish(path, secrets.token_urlsafe(32))
    try:
        return read_secret(path)
    except ValueError as error:
        raise ValueError(f"{path} {error}. Delete it, and the next start makes a new one.") from error


def keep_secret(data_dir: Path, name: str, secret: str) -> None:
    """Put a secret from elsewhere into a data directory.

    Raises:
        OSError: the directory or the file cannot be used.
        ValueError: it has another one already.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = data_dir / name
    if not path.exists():
        _publish(path, secret)
    if secret_at(path) != secret:
        raise ValueError(f"{path} is there already, and another one: use a new data directory.")


def secret_key(data_dir: Path, setting: SecretStr | None) -> bytes:
    """What signing keys are sealed under: the setting, else the data directory's own; raises as `own_secret` does."""
    return setting.get_secret_value().encode() if setting else own_secret(data_dir, SECRET_KEY).encode("ascii")


def secret_at(path: Path) -> str:
    """The secret in a file; raises as `read_secret` does, with the name of the file."""
    try:
        return read_secret(path)
    except ValueError as error:
        raise ValueError(f"{path} {error}.") from error


def read_secret(path: Path) -> str:
    """The secret in a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it holds none; the text goes on after the name of the file (`is empty`).
    """
    try:
        secret = path.read_bytes().decode("ascii").strip()
    except UnicodeDecodeError as error:
        raise ValueError("holds bytes that are no ASCII text") from error
    if not secret:
        raise ValueError("is empty")
    return secret


def _publish(path: Path, secret: str) -> None:
    """Write it beside its place and link it there whole; whoever comes second keeps the first one's."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secret + "\n")
    to_disk(draft)
    try:
        os.link(draft, path)
        to_disk(path.parent)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
