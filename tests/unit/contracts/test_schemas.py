"""The JSON Schemas of the contracts describe what is really written."""

import json
import subprocess
import sys
import tomllib
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from tests.fakes.runs import ANSWER, closed_loop, run, stalled

from seatrial import zoo
from seatrial.contracts.gate import decision_adapter
from seatrial.contracts.manifest import parse_manifest
from seatrial.contracts.proof import proof_schema, state, statement_adapter
from seatrial.contracts.record import run_adapter, sample_schema
from seatrial.contracts.slo import slo_schema
from seatrial.grading.histogram import decode
from seatrial.grading.plans import NAMES, plan_schema
from seatrial.grading.spec import SHIPPED, parse_slo, read_slo
from seatrial.server.registry.gate import Rules, examine
from seatrial.server.registry.model import ModelVersion, Stage
from seatrial.trials.measure.prove import prove
from seatrial.trials.measure.records import encode, read_samples

ROOT = Path(__file__).resolve().parents[3]
PUBLISHED = ROOT / "docs" / "reference" / "schemas"
EXAMPLE = PUBLISHED / "example"


def published(name: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((PUBLISHED / f"{name}.schema.json").read_bytes())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_published_schemas_are_what_the_code_says() -> None:
    """Whoever changes a contract publishes its schema."""
    command = [sys.executable, str(ROOT / "scripts" / "schemas.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_the_example_keeps_the_published_schemas() -> None:
    """Each of its files; the target file is that of the guide, models are the bundled ones."""
    published("run").validate(json.loads((EXAMPLE / "run.json").read_bytes()))
    published("gate").validate(json.loads((EXAMPLE / "gate.json").read_bytes()))
    published("proof").validate(json.loads((EXAMPLE / "proof.json").read_bytes()))
    published("slo").validate(tomllib.loads((EXAMPLE / "slo.toml").read_text(encoding="utf-8")))
    guide = ROOT / "docs" / "how-to" / "another-api" / "digits.toml"
    published("target").validate(tomllib.loads(guide.read_text(encoding="utf-8")))
    for folder in zoo.folders():
        published("manifest").validate(json.loads((folder / "manifest.json").read_bytes()))
        published("golden").validate(json.loads((folder / "golden.json").read_bytes()))
    for line in (EXAMPLE / "samples.jsonl").read_bytes().splitlines():
        published("sample").validate(json.loads(line))


def without_histograms(document: Any) -> Any:  # noqa: ANN401 - a JSON document
    """The figures; a histogram's text depends on the compressor."""
    if isinstance(document, list):
        return [without_histograms(item) for item in document]
    if isinstance(document, dict):
        return {name: without_histograms(item) for name, item in document.items() if name != "histogram"}
    return document


def test_the_same_records_make_the_same_proof() -> None:
    """The proof in the example, figure by figure, from its records and its SLO file: for ever."""
    run = run_adapter.validate_json((EXAMPLE / "run.json").read_bytes())
    slo = replace(read_slo(str(EXAMPLE / "slo.toml")), name="slo.toml")
    made = prove(run, read_samples(EXAMPLE / "samples.jsonl"), slo)
    kept = json.loads((EXAMPLE / "proof.json").read_bytes())

    document = statement_adapter.dump_python(state(made), mode="json", by_alias=True)
    assert without_histograms(json.loads(json.dumps(document))) == without_histograms(kept)
    whole = kept["predicate"]["total"]["corrected"]
    assert decode(whole["histogram"]).percentile(99) == whole["p99_ms"]


def test_the_gate_says_the_same_of_the_same_file() -> None:
    """The answer in the example, of a version that nothing was proven of."""
    kept = decision_adapter.validate_json((EXAMPLE / "gate.json").read_bytes())
    text = (EXAMPLE / "slo.toml").read_text(encoding="utf-8")
    manifest = parse_manifest((zoo.ROOT / "digits" / "manifest.json").read_bytes())
    version = ModelVersion("digits", 2, Stage.DEV, manifest, "", "", "")

    assert kept == examine(version, Stage.STAGING, None, Rules(parse_slo(text, "slo.toml"), text), (), now=0.0)
    assert (kept.allowed, [line.need for line in kept.refused]) == (False, ["load.smoke", "golden", "promotion"])


def test_a_proof_keeps_its_schema() -> None:
    """`proof.json` of a run with a stall: an in-toto statement, with all that was found."""
    facts = run()
    proof = prove(facts, closed_loop(facts, stalled), read_slo("default"))
    document = json.loads(statement_adapter.dump_json(state(proof), by_alias=True))

    jsonschema.Draft202012Validator(proof_schema()).validate(document)
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert document["predicateType"] == "urn:seatrial:proof:v1"
    assert document["predicate"]["result"] == "FAILED"


def test_a_sample_keeps_its_schema() -> None:
    """One line of the records; a line without its latency does not."""
    document = json.loads(encode(ANSWER))
    validator = jsonschema.Draft202012Validator(sample_schema())

    validator.validate(document)
    del document["latency_ms"]
    assert not validator.is_valid(document)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_slo_files_keep_their_schema(name: str) -> None:
    """Each as TOML reads it."""
    text = files("seatrial.grading").joinpath("slo", f"{name}.toml").read_text(encoding="utf-8")

    jsonschema.Draft202012Validator(slo_schema()).validate(tomllib.loads(text))


@pytest.mark.parametrize("name", NAMES)
def test_shipped_plans_keep_their_schema(name: str) -> None:
    """Each as TOML reads it."""
    text = files("seatrial.grading").joinpath("plans", f"{name}.toml").read_text(encoding="utf-8")

    jsonschema.Draft202012Validator(plan_schema()).validate(tomllib.loads(text))
