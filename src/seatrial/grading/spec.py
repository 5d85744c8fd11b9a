"""The SLO file as it is used: read, checked, and known by the digest of its text."""

from importlib.resources import files
from pathlib import Path

from seatrial.contracts.digest import digest_of
from seatrial.contracts.proof import SloUsed
from seatrial.contracts.slo import slo_adapter
from seatrial.grading.toml import WrongFile, parse_toml, read_text

SHIPPED = ("default", "strict")
"""`default` holds the floors that comparable services promise, `strict` what we aim at."""


def read_slo(name: str) -> SloUsed:
    """An SLO file by its path, or one of ours by its name, `default` or `strict`.

    Raises:
        WrongFile: it cannot be used; a line `file:line: ...` for each fault.
    """
    if name in SHIPPED:
        text = files("seatrial.grading").joinpath("slo", f"{name}.toml").read_text(encoding="utf-8")
    elif not Path(name).exists():
        raise WrongFile(f"{name}: expected the path of an SLO file, or one of {', '.join(SHIPPED)}; no such file")
    else:
        text = read_text(Path(name))
    document = parse_toml(text, name, slo_adapter)
    return SloUsed(name=name, digest=digest_of(text.encode()), document=document)
