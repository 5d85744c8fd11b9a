"""The SLO file as it is used: read, checked, and known by the digest of its text."""

from importlib.resources import files
from pathlib import Path

from seatrial.contracts.digest import digest_of
from seatrial.contracts.proof import SloUsed
from seatrial.contracts.slo import slo_adapter
from seatrial.grading.toml import WrongFile, parse_toml, read_text

SHIPPED = ("default", "strict")
"""`default` holds the floors that comparable services promise, `strict` what we aim at."""


def read_slo_text(name: str) -> str:
    """The text of an SLO file; raises as `read_slo` does."""
    if name in SHIPPED:
        return files("seatrial.grading").joinpath("slo", f"{name}.toml").read_text(encoding="utf-8")
    if not Path(name).exists():
        raise WrongFile(f"{name}: expected the path of an SLO file, or one of {', '.join(SHIPPED)}; no such file")
    return read_text(Path(name))


def parse_slo(text: str, name: str) -> SloUsed:
    """Read the text of an SLO file, which faults call `name`; raises as `read_slo` does."""
    return SloUsed(name=name, digest=digest_of(text.encode()), document=parse_toml(text, name, slo_adapter))


def read_slo(name: str) -> SloUsed:
    """An SLO file by its path, or one of ours by its name, `default` or `strict`.

    Raises:
        WrongFile: it cannot be used; a line `file:line: ...` for each fault.
    """
    return parse_slo(read_slo_text(name), name)
