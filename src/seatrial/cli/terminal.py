"""What the commands share: where they print, and how they explain a setting that is wrong."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def console(*, stderr: bool = False, width: int = 120) -> "Console":
    """Standard output or error; `width` columns where that is no terminal and nobody says how wide it is."""
    from rich.console import Console

    found = Console(stderr=stderr, highlight=False)
    if not found.is_terminal and "COLUMNS" not in found._environ:  # noqa: SLF001 - no public way to ask
        found.width = width
    return found


def explain(error: Exception) -> str:
    """A configuration error for a person: which setting, what came, what was expected."""
    errors = getattr(error, "errors", None)
    if errors is None:
        return str(error)
    lines = []
    for entry in errors():
        name = str(entry["loc"][0]).upper() if entry["loc"] else "?"
        lines.append(f"SEATRIAL_{name}: {entry['msg']}; received {entry['input']!r}.")
    return "\n".join(lines)
