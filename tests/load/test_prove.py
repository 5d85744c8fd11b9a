"""A version proves itself: under load, with its known answers, against what serves; and the gate believes no more."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.live import PYTHON, ServerProcess, environment, server_process

from seatrial.contracts.proof import EXIT_CODES
from seatrial.server.registry.ledger import Note
from seatrial.server.registry.model import Stage
from seatrial.server.storage.opening import open_registry

pytestmark = pytest.mark.load
BENCH_ONLY = Path(__file__).resolve().parents[1] / "fakes" / "slo.toml"


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    """Two workers, and a second version of digits in `dev`."""
    variables: dict[str, str] = getattr(request, "param", {})
    with server_process(tmp_path, "--workers", "2", workers=2, **variables) as started:
        with closing(open_registry(None, tmp_path / "data")) as registry:
            second = replace(registry.get("digits:1"), version=2, stage=Stage.DEV)
            registry.add(second, Note("local:test", "the same again"))
        yield started


def run(server: ServerProcess, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """A command beside the server, with the operator's token."""
    token = server.token
    return subprocess.run(
        [*PYTHON, *arguments],
        cwd=server.folder,
        env=environment(server.folder, SEATRIAL_API_KEY=token, SEATRIAL_TARGET=server.url, **variables),
        capture_output=True,
        text=True,
        check=False,
    )


def read(folder: Path) -> Any:  # noqa: ANN401 - a JSON document
    return json.loads(folder.read_bytes())


def test_a_version_proves_itself_for_staging(server: ServerProcess) -> None:
    """What was counted by both workers agrees; production asks for load.high, and says how to come by it."""
    done = run(server, "trial", "prove", "--model", "digits:2", "--duration", "9s", "--out", "proof", "--submit")
    moved = run(server, "models", "promote", "digits:2", "staging", "--reason", "proven")
    refused = run(server, "models", "promote", "digits:2", "production")
    decision = read(server.folder / "proof" / "gate.json")

    assert done.returncode == 0, done.stdout + done.stderr
    assert [proof["need"] for proof in decision["proofs"]] == ["load.smoke", "golden"]
    assert (decision["allowed"], {line["holds"] for line in decision["checks"]}) == (True, {True})
    assert (moved.returncode, moved.stdout) == (0, "digits:2  dev -> staging\n")
    assert refused.returncode == 1
    assert "Run: seatrial trial prove --model digits:2 --plan high --submit" in refused.stderr


@pytest.mark.shared
@pytest.mark.parametrize("server", [{"SEATRIAL_SLO": str(BENCH_ONLY)}], indirect=True)
def test_a_champion_is_asked_in_turn_under_the_same_trial(server: ServerProcess) -> None:
    """Its pairs are counted apart; one pair is too few to tell, and that is what the gate says."""
    run(server, "models", "promote", "digits:2", "staging", "--override", "--reason", "to be compared")
    done = run(
        *(server, "trial", "prove", "--model", "digits:2", "--out", "proof", "--submit"),
        *("--pairs", "1", "--block", "1s"),
    )
    decision = read(server.folder / "proof" / "gate.json")
    bench = read(server.folder / "proof" / "bench" / "proof.json")["predicate"]
    stopped = [line for line in decision["checks"] if line["holds"] is False]

    assert done.returncode == 3, done.stdout + done.stderr
    assert (decision["champion"], [proof["need"] for proof in decision["proofs"]]) == ("digits:1", ["golden", "bench"])
    assert {(block["side"], block["pair"]) for block in bench["blocks"]} == {
        ("champion", 0), ("champion", 1), ("candidate", 0), ("candidate", 1),
    }  # fmt: skip
    assert (stopped[0]["need"], stopped[0]["step"]) == ("bench", "versus champion")


@pytest.mark.long
def test_a_version_proves_itself_for_production(server: ServerProcess) -> None:
    """A hundred users for a minute, its known answers, and ten pairs with what serves; then it serves.

    Where others use the machine ten pairs may not tell 1.0 from 1.1: whoever is told so asks for what is missing again.
    """
    run(server, "models", "promote", "digits:2", "staging", "--override", "--reason", "to be compared")
    plan = ("--plan", "high", "--duration", "60s", "--submit")
    for turn in ("first", "second", "third"):
        done = run(server, "trial", "prove", "--model", "digits:2", *plan, "--out", turn)
        if done.returncode != EXIT_CODES["not proven"]:
            break
    moved = run(server, "models", "promote", "digits:2", "production", "--reason", "proven")

    assert done.returncode == 0, done.stdout + done.stderr
    assert moved.stdout == "digits:1  production -> archived\ndigits:2  staging -> production\n"
