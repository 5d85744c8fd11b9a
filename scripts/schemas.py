#!/usr/bin/env python3
"""Write the JSON Schemas of the contracts, and the proof of the example, to docs/reference/schemas.

Run it after a change of a contract, as `.venv/bin/python scripts/schemas.py`. `--check` changes nothing, and fails
where a schema is not what the code says.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from seatrial.contracts.golden import golden_schema
from seatrial.contracts.manifest import manifest_schema
from seatrial.contracts.proof import proof_schema, state, statement_adapter
from seatrial.contracts.record import run_adapter, run_schema, sample_schema
from seatrial.contracts.slo import slo_schema
from seatrial.grading.plans import plan_schema
from seatrial.grading.spec import read_slo
from seatrial.trials.core.target import target_schema
from seatrial.trials.measure.prove import prove
from seatrial.trials.measure.records import read_samples

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference" / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each schema and the name of its file."""
    made = {
        "slo": slo_schema(),
        "plan": plan_schema(),
        "target": target_schema(),
        "run": run_schema(),
        "sample": sample_schema(),
        "proof": proof_schema(),
        "manifest": manifest_schema(),
        "golden": golden_schema(),
    }
    for name, schema in made.items():
        yield f"{name}.schema.json", {"$schema": DIALECT, **schema}


def example() -> bytes:
    """The proof of the example's records, under its SLO file."""
    folder = FOLDER / "example"
    run = run_adapter.validate_json((folder / "run.json").read_bytes())
    slo = read_slo(str(folder / "slo.toml"))
    proof = prove(run, read_samples(folder / "samples.jsonl"), replace(slo, name="slo.toml"))
    document = statement_adapter.dump_python(state(proof), mode="json", by_alias=True)
    return json.dumps(document, indent=1).encode() + b"\n"


def main() -> None:
    """Write all of it, or check the schemas."""
    stale = [
        name
        for name, schema in schemas()
        if _write(FOLDER / name, json.dumps(schema, indent=2).encode() + b"\n", check="--check" in sys.argv)
    ]
    if "--check" not in sys.argv:
        _write(FOLDER / "example" / "proof.json", example(), check=False)
    elif stale:
        sys.exit(f"not what the code says: {', '.join(stale)}; run scripts/schemas.py")


def _write(path: Path, content: bytes, *, check: bool) -> bool:
    """Write a file, or only tell whether it would change."""
    changed = not path.exists() or path.read_bytes() != content
    if not check:
        path.write_bytes(content)
    return changed


if __name__ == "__main__":
    main()
