"""TOML files of the caller's, read into contracts; what is wrong is told with its line and what to do."""

import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")


class WrongFile(Exception):
    """A file of the caller's cannot be used. The text has a line `file:line: what was expected; what came` a fault."""


Path_ = tuple[str | int, ...]
_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")


def read_toml(path: Path, adapter: TypeAdapter[T]) -> T:
    """Read a file into what the adapter describes.

    Raises:
        WrongFile: it is not there, is no TOML, or holds something else; a line `file:line: ...` for each fault.
    """
    return parse_toml(read_text(path), str(path), adapter)


def read_text(path: Path) -> str:
    """The text of a file, or WrongFile."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise WrongFile(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise WrongFile(f"{path}: is not UTF-8 text (byte {error.start})") from error


def parse_toml(text: str, name: str, adapter: TypeAdapter[T]) -> T:
    """Read a text as `read_toml` reads a file; `name` is what faults call it."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise WrongFile(f"{name}: is not TOML: {error}") from error
    try:
        return adapter.validate_python(document)
    except ValidationError as error:
        entries = error.errors(include_url=False)
        faults = sorted(_fault(text, entry) for entry in entries if not _follows(entry, entries))
        raise WrongFile("\n".join(f"{name}:{line}: {told}" for line, told in faults)) from error


def _follows(entry: Any, entries: Iterable[Any]) -> bool:  # noqa: ANN401 - pydantic's ErrorDetails
    """Whether a list is too short only because of faults in its items."""
    inner = (other["loc"][: len(entry["loc"])] == entry["loc"] for other in entries if other is not entry)
    return entry["type"] == "too_short" and any(inner)


def _fault(text: str, entry: Any) -> tuple[int, str]:  # noqa: ANN401 - pydantic's ErrorDetails
    """Its line, and what is wrong there."""
    where = tuple(entry["loc"])
    pointer = "/" + "/".join(map(str, where))
    line = line_of(text, where)
    match entry["type"]:
        case "missing" | "missing_argument" | "missing_keyword_only_argument":
            told = f"{pointer} is missing; add it"
        case "extra_forbidden" | "unexpected_keyword_argument":
            told = f"{pointer} is not a name that is known here; correct or remove it"
        case "value_error":
            told = f"{pointer}: {entry['ctx']['error']}"
        case _:
            told = f"{pointer}: {entry['msg']}; received {_short(entry['input'])}"
    return line, told


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004 - fits a terminal's line


def line_of(text: str, where: Path_) -> int:
    """The line, counted from 1, of a place in a TOML document, or of the nearest table around it."""
    best, depth = 1, 0
    for number, path in _places(text):
        shared = _shared(path, where)
        if shared == len(path) and shared > depth:
            best, depth = number, shared
    return best


def _shared(path: Path_, where: Path_) -> int:
    count = 0
    for ours, wanted in zip(path, where, strict=False):
        if ours != wanted:
            break
        count += 1
    return count


def _places(text: str) -> Iterator[tuple[int, Path_]]:
    """The line and path of each table header and key."""
    counts: dict[Path_, int] = {}
    table: Path_ = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _resolve(_parts(header[2]), counts)
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            yield number, table
        elif key := _KEY.match(line):
            yield number, table + _parts(key[1])


def _resolve(parts: Path_, counts: dict[Path_, int]) -> Path_:
    """The path of a table, with the index of each array of tables that it lies in."""
    path: Path_ = ()
    for index, part in enumerate(parts):
        path = (*path, part)
        if path in counts and index < len(parts) - 1:
            path = (*path, counts[path])
    return path


def _parts(dotted: str) -> Path_:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))
