"""Who may do what with the files of a deployment: others nothing, and its owner all that a server does."""

import os
import pwd
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from seatrial.server.storage.finding import LISTED, Finding, Level, shown, word
from seatrial.server.storage.secrets import ADMIN_TOKEN, SECRET_KEY

FOLDER, WRITTEN, READ = 0o700, 0o600, 0o400
"""What a server needs of a folder, of the database, and of all other files."""
RIGHTS = {FOLDER: "u+rwx", WRITTEN: "u+rw", READ: "u+r"}
NOBODYS = "lost+found"
"""A folder that a file system makes for itself."""
Found = Iterable[tuple[Path, os.stat_result]]


def permission_findings(data_dir: Path, database: Path | None) -> Iterator[Finding]:
    """Whatever holds secrets is its owner's only; everything is the same user's, who can work with it.

    Args:
        data_dir: the data directory.
        database: the file of SQLite, there or elsewhere, if it is one.
    """
    copies = sorted(database.parent.glob(f"{database.name}.*.bak")) if database else []
    secrets = {data_dir: FOLDER}
    own = (data_dir / ADMIN_TOKEN, data_dir / SECRET_KEY)
    secrets |= dict.fromkeys([*own, *([database, *copies] if database else [])], WRITTEN)
    yield from open_to_others({path: (path.stat(), mode) for path, mode in secrets.items() if path.exists()}) or [
        Finding("permissions", Level.OK, f"{shown(data_dir)} is for its owner only.")
    ]
    owner = data_dir.stat().st_uid
    yield from owner_findings(_everything(data_dir, [database, *copies] if database else []), data_dir, owner, database)


def open_to_others(secrets: Mapping[Path, tuple[os.stat_result, int]]) -> list[Finding]:
    """What its group or anybody can read or write; with each path goes the mode that it should have.

    A mode that is stricter than that keeps the secret.
    """
    return [
        Finding(
            "permissions", Level.FAULT, f"{shown(path)} has the mode {mode:04o}.", f"chmod {right:o} {word(path)}"
        )
        for path, (found, right) in secrets.items()
        if (mode := _mode(found)) & 0o077
    ]  # fmt: skip


def owner_findings(found: Found, data_dir: Path, owner: int, database: Path | None) -> list[Finding]:
    """What belongs to another user than the data directory, or has a mode that keeps its owner out, whoever that is.

    Args:
        found: all files, each with what is known of it.
        data_dir: the data directory.
        owner: the number of its user. A server that is run as that one cannot write what is another's.
        database: which of the files is the database.
    """
    foreign, closed, name = [], [], user(owner)
    for path, one in found:
        if one.st_uid != owner:
            detail = f"{shown(path)} belongs to {user(one.st_uid)}, the data directory to {name}."
            foreign.append(Finding("owner", Level.FAULT, detail, f"chown -h {name} {word(path)}"))
        needed = FOLDER if stat.S_ISDIR(one.st_mode) else WRITTEN if path == database else READ
        missing = 0 if stat.S_ISLNK(one.st_mode) else needed & ~one.st_mode
        if missing:
            right = "write" if missing & stat.S_IWUSR else "read"
            detail = f"{shown(path)} has the mode {_mode(one):04o}, which does not let its owner {right}."
            closed.append(Finding("owner", Level.FAULT, detail, f"chmod {RIGHTS[needed]} {word(path)}"))
    told = f"{len(foreign)} of the files belong to another user than the data directory, which is {name}'s."
    wrong = _together(foreign, told, f"chown -R {name} {word(data_dir)}")
    told = f"{len(closed)} of the files have a mode that keeps their owner out."
    wrong += _together(closed, told, f"chmod -R u+rwX {word(data_dir)}")
    return wrong or [Finding("owner", Level.OK, f"All of it belongs to {name}, who can write.")]


def user(uid: int) -> str:
    """The name of a user, or the number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _mode(found: os.stat_result) -> int:
    return stat.S_IMODE(found.st_mode)


def _together(wrong: Sequence[Finding], detail: str, remedy: str) -> list[Finding]:
    """Each of them, or all as one where they are many."""
    return [Finding(wrong[0].check, wrong[0].level, detail, remedy)] if len(wrong) > LISTED else list(wrong)


def _everything(data_dir: Path, database: Sequence[Path]) -> Iterator[tuple[Path, os.stat_result]]:
    """The data directory, everything in it, and the files of a database elsewhere.

    Of a link what it is, but of `artifacts` all that is behind it. What is gone by the time it is looked at, or cannot
    be looked at, is left out.
    """
    yield data_dir, data_dir.stat()
    artifacts = data_dir / "artifacts"
    for top in (data_dir, *([artifacts] if artifacts.is_symlink() else [])):
        for folder, folders, files in os.walk(top):
            folders[:] = [name for name in folders if name != NOBODYS]
            for name in (*folders, *files):
                with suppress(OSError):
                    yield Path(folder, name), Path(folder, name).lstat()
    for path in database:
        if not path.resolve().is_relative_to(data_dir.resolve()):
            with suppress(OSError):
                yield path, path.stat()
