#!/usr/bin/env python3
"""Write the JSON Schemas of the contracts, and what the example shows, to docs/reference/schemas.

Run it after a change of a contract, as `.venv/bin/python scripts/schemas.py`. `--check` changes nothing, and fails
where a schema is not what the code says.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from seatrial import zoo
from seatrial.contracts.gate import decision_adapter, gate_schema
from seatrial.contracts.golden import golden_schema
from seatrial.contracts.manifest import manifest_schema, parse_manifest
from seatrial.contracts.proof import SloUsed, proof_schema, state, statement_adapter
from seatrial.contracts.record import run_adapter, run_schema, sample_schema
from seatrial.contracts.slo import slo_schema
from seatrial.grading.plans import plan_schema
from seatrial.grading.spec import read_slo
from seatrial.server.registry.gate import Rules, examine
from seatrial.server.registry.model import ModelVersion, Stage
from seatrial.trials.core.target import target_schema
from seatrial.trials.measure.prove import prove
from seatrial.trials.measure.records import read_samples

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference" / "schemas"
EXAMPLE = FOLDER / "example"
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
        "gate": gate_schema(),
    }
    for name, schema in made.items():
        yield f"{name}.schema.json", {"$schema": DIALECT, **schema}


def example_proof() -> bytes:
    """The proof of the example's records, under its SLO file."""
    run = run_adapter.validate_json((EXAMPLE / "run.json").read_bytes())
    proof = prove(run, read_samples(EXAMPLE / "samples.jsonl"), _slo())
    document = statement_adapter.dump_python(state(proof), mode="json", by_alias=True)
    return json.dumps(document, indent=1).encode() + b"\n"


def example_gate() -> bytes:
    """What the gate says, by the same file, of a version that nothing was proven of."""
    manifest = parse_manifest((zoo.ROOT / "digits" / "manifest.json").read_bytes())
    version = ModelVersion("digits", 2, Stage.DEV, manifest, "", "", "")
    rules = Rules(_slo(), (EXAMPLE / "slo.toml").read_text(encoding="utf-8"))
    decision = examine(version, Stage.STAGING, None, rules, (), now=0.0)
    return decision_adapter.dump_json(decision, indent=1) + b"\n"


def _slo() -> SloUsed:
    return replace(read_slo(str(EXAMPLE / "slo.toml")), name="slo.toml")


def main() -> None:
    """Write all of it, or check the schemas."""
    stale = [
        name
        for name, schema in schemas()
        if _write(FOLDER / name, json.dumps(schema, indent=2).encode() + b"\n", check="--check" in sys.argv)
    ]
    if "--check" not in sys.argv:
        _write(EXAMPLE / "proof.json", example_proof(), check=False)
        _write(EXAMPLE / "gate.json", example_gate(), check=False)
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
