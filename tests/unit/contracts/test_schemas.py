"""The JSON Schemas of the contracts describe what is really written."""

import json
import tomllib
from importlib.resources import files

import jsonschema  # type: ignore[import-untyped]
import pytest
from tests.fakes.runs import ANSWER, closed_loop, run, stalled

from seatrial.contracts.proof import proof_schema, state, statement_adapter
from seatrial.contracts.record import sample_schema
from seatrial.contracts.slo import slo_schema
from seatrial.trials.load.plans import NAMES, plan_schema
from seatrial.trials.measure.records import encode
from seatrial.trials.slo.prove import prove
from seatrial.trials.slo.spec import SHIPPED, read_slo


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
    text = files("seatrial.trials.slo").joinpath(f"{name}.toml").read_text(encoding="utf-8")

    jsonschema.Draft202012Validator(slo_schema()).validate(tomllib.loads(text))


@pytest.mark.parametrize("name", NAMES)
def test_shipped_plans_keep_their_schema(name: str) -> None:
    """Each as TOML reads it."""
    text = files("seatrial.trials.load").joinpath("plans", f"{name}.toml").read_text(encoding="utf-8")

    jsonschema.Draft202012Validator(plan_schema()).validate(tomllib.loads(text))
