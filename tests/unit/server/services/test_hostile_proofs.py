"""What somebody might write into a `proof.json`, or send under a trial, to fool or to break the server."""

import json
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from tests.fakes.runs import START, closed_loop, run, steady

from seatrial import zoo
from seatrial.contracts.manifest import parse_manifest
from seatrial.contracts.proof import Proof, state, statement_adapter
from seatrial.contracts.record import Subject
from seatrial.grading.regrade import asked, regrade
from seatrial.grading.spec import read_slo
from seatrial.server.core.errors import InvalidInput, InvalidJSON
from seatrial.server.registry.agreement import agree
from seatrial.server.registry.evidence import Tally, Trial
from seatrial.server.registry.model import ModelVersion, Stage
from seatrial.server.services.trials import read_proof
from seatrial.trials.measure.prove import prove

TRIAL = "a" * 32
SERVING = "sha256:5"
MANIFEST = parse_manifest((zoo.ROOT / "digits" / "manifest.json").read_bytes())
VERSION = ModelVersion("digits", 1, Stage.STAGING, MANIFEST, "", "", "")


@cache
def honest() -> Proof:
    """A load of a minute, under a trial."""
    subject = Subject(model_id="digits:1", digest=MANIFEST.digest, serving_config_digest=SERVING)
    facts = replace(run("smoke", users=10), model="digits:1", trial=TRIAL, subjects=(subject,))
    return prove(facts, closed_loop(facts, steady), read_slo("default"))


def document() -> dict[str, Any]:
    written: dict[str, Any] = json.loads(statement_adapter.dump_json(state(honest()), by_alias=True))
    return written


def refused_line(proof: Proof) -> str:
    """The step at which a server that has counted what was really asked does not agree; empty where it does."""
    counted = asked(honest())["", "POST /predict"]
    tally = Tally("", "POST /predict", "digits:1", counted.requests, 0, counted.latency.encoded(), START, START + 60)
    trial = Trial(TRIAL, "digits", 1, START, START + 3600, "key:ci")
    last = agree(proof, VERSION, trial, lambda: [tally], SERVING, read_slo("default").digest, START + 70)[-1]
    return "" if last.holds else last.step


def test_an_honest_proof_is_read_and_agrees() -> None:
    """What the others are told apart from."""
    proof = read_proof(json.dumps(document()).encode())

    assert (proof, refused_line(proof)) == (honest(), "")


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"a": NaN}', b'{"a": -Infinity}', b'{"a": 1e400}', b'{"a": 1%s}' % (b"0" * 400), b'"\\ud800"']
)
def test_what_is_no_json_is_no_proof(body: bytes) -> None:
    """Numbers are finite; a text has no half characters."""
    with pytest.raises(InvalidJSON):
        read_proof(body)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("run/plan", "a\x00b"),
        ("run/plan", "x" * 65),
        ("run/plan", "../high"),
        ("run/trial", "\x00" * 32),
        ("run/trial", "A" * 32),
        ("run/users", -1),
        ("run/duration_s", -1.0),
        ("total/failures", -1),
        ("total/failures", 1e300),
        ("total/requests", 2**60),
        ("total/wrong_answers", -3),
        ("total/measured/histogram", ""),
        ("total/corrected/histogram", "not base64"),
        ("endpoints/0/corrected/histogram", "AAAA"),
        ("failures", [{"endpoint": "POST /predict", "fault": "x", "status": 500, "count": -5, "first_second": 0.0}]),
        ("verdict", {}),
        ("extra", 1),
    ],
)
def test_what_cannot_be_of_a_run_is_no_proof(place: str, value: object) -> None:
    """Counts are not negative, names are names, every histogram is one: else nothing is kept, and the place is told."""
    written = document()
    *way, last = place.split("/")
    inner: Any = written["predicate"]
    for step in way:
        inner = inner[int(step) if step.isdigit() else step]
    inner[last] = value
    with pytest.raises(InvalidInput) as caught:
        read_proof(json.dumps(written).encode())

    assert caught.value.faults[0].pointer.startswith("/predicate/")


def test_a_rate_is_not_made_of_a_shorter_time() -> None:
    """A run that ended sooner than the server saw the last of it would have had a higher rate."""
    proof = honest()

    assert refused_line(replace(proof, run=replace(proof.run, ended=proof.run.started + 5))) == "duration"


def test_a_load_that_took_no_time_has_no_rate() -> None:
    """Whatever rate it claims."""
    proof = honest()
    claimed = replace(proof, run=replace(proof.run, ended=proof.run.started), total=replace(proof.total, rps=1e6))

    assert regrade(claimed, read_slo("default")).total.rps == 0


def test_an_answer_repeats_little_of_a_proof() -> None:
    """A subject of a megabyte is told in a line."""
    proof = honest()
    long = replace(proof, run=replace(proof.run, model="x" * 1_000_000))
    trial = Trial(TRIAL, "digits", 1, START, START + 3600, "key:ci")
    last = agree(long, VERSION, trial, list, SERVING, read_slo("default").digest, START + 70)[-1]

    assert (last.step, last.holds, len(last.received)) == ("subject", False, 600)
