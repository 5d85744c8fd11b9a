"""Everything that a run leaves in its folder, made from its proof; and the proof, read again."""

from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from seatrial.contracts.proof import Proof, state, statement_adapter
from seatrial.grading.toml import WrongFile
from seatrial.trials.report.html import page
from seatrial.trials.report.junit import junit
from seatrial.trials.report.markdown import summary
from seatrial.trials.report.tables import history, stats

PROOF = "proof.json"
SCHEMA = "seatrial/report/v1"


def write(proof: Proof, folder: Path) -> None:
    """Write `proof.json` and every report of it."""
    folder.joinpath(PROOF).write_bytes(statement_adapter.dump_json(state(proof), by_alias=True) + b"\n")
    folder.joinpath("report.json").write_bytes(report_json(proof))
    texts = {
        "report.html": page(proof),
        "junit.xml": junit(proof),
        "summary.md": summary(proof),
        "stats.csv": stats(proof),
        "history.csv": history(proof),
    }
    for name, text in texts.items():
        folder.joinpath(name).write_text(text, encoding="utf-8", newline="")


def report_json(proof: Proof) -> bytes:
    """The proof for programs: everything but the histograms and the text of the SLO file."""
    document = statement_adapter.dump_python(state(proof), mode="json", by_alias=True)["predicate"]
    for measure in (document["total"], *document["endpoints"]):
        for kind in ("measured", "corrected"):
            if measure[kind]:
                del measure[kind]["histogram"]
    del document["slo"]["document"]
    shown: dict[str, Any] = {"schema": SCHEMA, **document}
    return orjson.dumps(shown, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def read(folder: Path) -> Proof:
    """The proof in a folder.

    Raises:
        WrongFile: there is none, or it is none.
    """
    path = folder / PROOF
    try:
        return statement_adapter.validate_json(path.read_bytes()).predicate
    except OSError as error:
        raise WrongFile(f"{path}: cannot be read: {error.strerror}; expected the folder of a run") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise WrongFile(f"{path}: is no proof: /{'/'.join(map(str, first['loc']))}: {first['msg']}") from error
