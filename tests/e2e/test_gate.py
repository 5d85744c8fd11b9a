"""The gate of a running server, and every way around it that somebody with a key might try."""

import copy
import json
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from tests.inprocess import problem
from tests.live import PYTHON, ServerProcess, environment, server_process

from seatrial.grading.histogram import Histogram
from seatrial.server.registry.ledger import Note
from seatrial.server.registry.model import Stage
from seatrial.server.storage.opening import open_registry

pytestmark = pytest.mark.e2e
SLO = Path(__file__).resolve().parents[1] / "fakes" / "slo.toml"
Json = dict[str, Any]
Edit = Callable[[Json], None]


class Gate:
    """A server with two more versions of digits in `dev`, its operator, and a proof that was not handed in yet."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.data = server.folder / "data"
        self.bearer = {"Authorization": f"Bearer {server.token}"}
        with closing(open_registry(None, self.data)) as registry:
            first = registry.get("digits:1")
            for version in (2, 3):
                registry.add(replace(first, version=version, stage=Stage.DEV), Note("local:test", "the same again"))
        done = self.command(
            "trial", "prove", "--model", "digits:2", "--target", server.url, "--out", "proof", "--api-key", server.token
        )
        assert done.returncode == 0, done.stderr
        self.proof: Json = json.loads((server.folder / "proof" / "golden" / "proof.json").read_bytes())

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """A command of the operator, on the server's data directory."""
        return subprocess.run(
            [*PYTHON, *arguments],
            cwd=self.server.folder,
            env=environment(self.server.folder, SEATRIAL_SLO=str(SLO)),
            capture_output=True,
            text=True,
            check=False,
        )

    def post(self, path: str, document: object = None) -> httpx2.Response:
        """A request of the operator's."""
        content = None if document is None else json.dumps(document)
        kind = {} if document is None else {"Content-Type": "application/json"}
        return self.server.http.post(f"{self.server.url}{path}", content=content, headers={**self.bearer, **kind})

    def submit(self, proof: Json, model_id: str = "digits:2") -> httpx2.Response:
        """Hand a proof in."""
        return self.post(f"/models/{model_id}/proofs", proof)

    def stage(self, model_id: str) -> str:
        """Where a version stands."""
        return str(self.server.http.get(f"{self.server.url}/models/{model_id}").json()["stage"])


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """One for all tests of this file, which come in their order."""
    with server_process(tmp_path_factory.mktemp("gate"), SEATRIAL_SLO=str(SLO)) as server:
        yield Gate(server)


def made_up_trial(proof: Json) -> None:
    proof["predicate"]["run"]["trial"] = "0" * 32


def no_trial(proof: Json) -> None:
    proof["predicate"]["run"]["trial"] = ""


def lax_slo(proof: Json) -> None:
    proof["predicate"]["slo"]["digest"] = "sha256:" + "1" * 64


def other_model(proof: Json) -> None:
    proof["predicate"]["run"]["subjects"][-1]["digest"] = "sha256:" + "2" * 64


def other_configuration(proof: Json) -> None:
    proof["predicate"]["run"]["subjects"][-1]["serving_config_digest"] = "sha256:" + "3" * 64


def faster(proof: Json) -> None:
    """As many requests, each answered within 10 microseconds."""
    for endpoint in proof["predicate"]["endpoints"]:
        latency = endpoint["measured"]
        latency["histogram"] = Histogram(np.full(latency["count"], 0.01)).encoded()
        endpoint["corrected"] = latency


def fewer(proof: Json) -> None:
    """Consistently: half of the requests were left out."""
    for measure in (*proof["predicate"]["endpoints"], proof["predicate"]["total"]):
        measure["requests"] //= 2
        if measure["measured"]:
            kept = Histogram(np.full(measure["requests"], measure["measured"]["max_ms"])).summary()
            assert kept
            latency = {name: getattr(kept, name) for name in measure["measured"]}
            measure["measured"] = measure["corrected"] = latency
    endpoints = proof["predicate"]["endpoints"]
    proof["predicate"]["total"]["requests"] = sum(item["requests"] for item in endpoints if not item["payload"])


def hidden_failures(proof: Json) -> None:
    proof["predicate"]["endpoints"][0]["failures"] = 5


@pytest.mark.proves("S32")
@pytest.mark.parametrize(
    ("edit", "step"),
    [
        (made_up_trial, "trial"),
        (no_trial, "trial"),
        (other_model, "model digest"),
        (other_configuration, "serving config digest"),
        (lax_slo, "SLO digest"),
        (hidden_failures, "records"),
        (fewer, "requests"),
        (faster, "latency"),
    ],
)
def test_a_proof_that_was_tampered_with_is_refused(gate: Gate, edit: Edit, step: str) -> None:
    """409, with the line on which it differs from what the server knows; nothing is kept."""
    forged = copy.deepcopy(gate.proof)
    edit(forged)
    told = problem(gate.submit(forged), 409, "proof-refused")

    assert (told["checks"][-1]["step"], told["checks"][-1]["holds"]) == (step, False)
    assert gate.server.http.get(f"{gate.server.url}/models/digits:2/proofs").json() == []


def test_a_proof_of_another_version_is_refused(gate: Gate) -> None:
    """Of the same bytes, too; and also where it says that it is of this one."""
    renamed = json.loads(json.dumps(gate.proof).replace("digits:2", "digits:3"))

    for forged in (gate.proof, renamed):
        told = problem(gate.submit(forged, "digits:3"), 409, "proof-refused")
        assert told["checks"][-1]["step"] == "subject"


def test_what_is_no_proof_is_told_with_its_place(gate: Gate) -> None:
    """A verdict by itself is none."""
    told = problem(gate.submit({"predicate": {"verdict": {"outcome": "pass"}}}), 422, "invalid-input")

    assert told["errors_total"] > 5
    assert told["errors"][0]["pointer"].startswith("/")


@pytest.mark.parametrize(
    ("path", "status", "slug"),
    [
        ("/models/digits:2/promote?new_stage=staging", 409, "gate-refused"),
        ("/models/digits:2/promote?new_stage=production", 409, "stage-conflict"),
        ("/models/digits:2/promote?new_stage=archived", 422, "invalid-input"),
        ("/models/digits:2/promote?new_stage=dev", 422, "invalid-input"),
        ("/models/digits:2/promote?new_stage=staging&override=true", 422, "invalid-input"),
        ("/models/digits:2/promote", 422, "invalid-input"),
        ("/models/digits/rollback", 409, "stage-conflict"),
        ("/models/digits:2", 405, "wrong-method"),
    ],
)
@pytest.mark.proves("S32")
def test_no_route_leads_past_the_gate(gate: Gate, path: str, status: int, slug: str) -> None:
    """Whatever is asked of whichever, an unproven version stays in dev."""
    problem(gate.post(path), status, slug)

    assert (gate.stage("digits:2"), gate.stage("digits:1")) == ("dev", "production")


def test_a_command_goes_through_the_same_gate(gate: Gate) -> None:
    """It prints the table, and ends with 1; an override is explained."""
    refused = gate.command("models", "promote", "digits:3", "staging")
    unexplained = gate.command("models", "promote", "digits:3", "staging", "--override")

    assert refused.returncode == 1
    assert "none was submitted" in refused.stdout
    assert refused.stderr == (
        "seatrial: digits:3 is not proven for staging. Run: seatrial trial prove --model digits:3 --submit\n"
    )
    assert (unexplained.returncode, unexplained.stderr) == (2, "seatrial: --override needs a --reason\n")
    assert gate.stage("digits:3") == "dev"


def test_who_may_not_write_is_refused_first(gate: Gate) -> None:
    """Anonymous callers of the same machine may read the gate's answer, and no more."""
    url = f"{gate.server.url}/models/digits:2"
    for path in ("/promote?new_stage=staging", "/trials", "/proofs"):
        problem(gate.server.http.post(url + path), 401, "unauthenticated")
    problem(gate.server.http.post(f"{gate.server.url}/models/digits/rollback"), 401, "unauthenticated")

    told = problem(gate.server.http.get(f"{url}/gate"), 409, "gate-refused")
    assert (told["gate"]["new_stage"], told["gate"]["needs"]) == ("staging", ["golden"])


def test_a_version_on_trial_answers_under_its_trial_only(gate: Gate) -> None:
    """To everybody else it is in dev."""
    trial = gate.proof["predicate"]["run"]["trial"]
    digit = {"data": [0.0] * 784, "model_id": "digits:2"}
    answers = [
        gate.server.http.post(f"{gate.server.url}/predict", json=digit, headers=headers)
        for headers in ({}, {"X-Seatrial-Trial": "0" * 32}, {"X-Seatrial-Trial": trial})
    ]

    for refused in answers[:2]:
        assert "it is in the stage 'dev'" in problem(refused, 409, "model-not-loaded")["detail"]
    assert (answers[2].status_code, answers[2].json()["model_id"]) == (200, "digits:2")


def test_an_honest_proof_opens_the_gate_once(gate: Gate) -> None:
    """A second time it is a replay. Then the version moves, and production asks for more."""
    done = gate.command(
        *("trial", "prove", "--model", "digits:2", "--target", gate.server.url, "--out", "again", "--submit"),
        *("--api-key", gate.bearer["Authorization"].removeprefix("Bearer ")),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    proof = json.loads((gate.server.folder / "again" / "golden" / "proof.json").read_bytes())
    replayed = problem(gate.submit(proof), 409, "proof-refused")
    (kept,) = gate.server.http.get(f"{gate.server.url}/models/digits:2/proofs").json()

    assert replayed["checks"][-1]["step"] == "trial is open"
    assert (kept["need"], kept["outcome"], kept["who"]) == ("golden", "pass", "local:admin.token")

    moved = gate.post("/models/digits:2/promote?new_stage=staging&reason=proven").json()
    assert [(change["from"], change["to"], change["why"]) for change in moved["changes"]] == [
        ("dev", "staging", "proven")
    ]
    refused = problem(gate.post("/models/digits:2/promote?new_stage=production"), 409, "gate-refused")
    assert "bench, evidence: expected a proof of bench" in refused["detail"]
    last = gate.server.http.get(f"{gate.server.url}/models/digits/history").json()[-1]
    assert [(proof["need"], proof["digest"]) for proof in last["proofs"]] == [("golden", kept["digest"])]


def test_an_override_stands_out(gate: Gate) -> None:
    """In the ledger; and the one that was replaced comes back, once it has answered as it did."""
    forced = gate.post("/models/digits:2/promote?new_stage=production&override=true&reason=the+fair+is+today")
    assert forced.status_code == 200, forced.text
    back = gate.post("/models/digits/rollback?reason=it+was+not+proven").json()
    entries = gate.server.http.get(f"{gate.server.url}/models/digits/history").json()

    assert [(entry["gate"], entry["why"]) for entry in entries[-4:-2]] == [("override", "the fair is today")] * 2
    assert (back["model_id"], back["replayed"]["cases"] > 10) == ("digits:1", True)
    assert back["replayed"]["worst"] <= back["replayed"]["tolerance"]
    assert (gate.stage("digits:1"), gate.stage("digits:2")) == ("production", "staging")
    assert gate.command("models", "history", "--verify", "--json").returncode == 0


def test_a_stage_that_was_written_beside_the_ledger_is_found(gate: Gate) -> None:
    """By somebody who can write the database."""
    with closing(sqlite3.connect(gate.data / "seatrial.db")) as connection, connection:
        connection.execute("UPDATE versions SET stage = 'staging' WHERE name = 'digits' AND version = 3")
    found = gate.command("models", "history", "digits", "--verify")

    assert found.returncode == 1
    assert "seatrial: the ledger is not whole: digits:3 is in staging, and the ledger says dev\n" in found.stderr
