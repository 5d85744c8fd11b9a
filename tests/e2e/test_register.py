"""Registering as operators do it: by the command line, beside running servers, and over HTTP from many places."""

import json
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from tests.fakes.onnx_models import answers, linear, softmax
from tests.live import PYTHON, ServerProcess, environment, until

from seatrial.server.app import prepare
from seatrial.server.core.chain import faults
from seatrial.server.registry.ledger import Note
from seatrial.server.registry.lifecycle import promote
from seatrial.server.registry.model import Stage
from seatrial.server.settings import Settings
from seatrial.server.storage.opening import open_registry

pytestmark = pytest.mark.e2e
StartServer = Callable[..., ServerProcess]
LINEAR: bytes = linear().SerializeToString()


def seatrial(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """A command on the same data directory as the server's."""
    return subprocess.run(
        [*PYTHON, *arguments], cwd=folder, env=environment(folder), capture_output=True, text=True, check=False
    )


def test_a_file_is_added_listed_and_served(start_server: StartServer, tmp_path: Path) -> None:
    """The server sees it within a second; once it is in staging it answers as another implementation does."""
    server = start_server()
    (tmp_path / "model.onnx").write_bytes(LINEAR)
    (tmp_path / "it.toml").write_text('[[inputs]]\nname = "x"\nmin = 0\n[output]\nunits = "EUR"\n')
    added = seatrial(
        tmp_path, "models", "add", "model.onnx", "--name", "it", "--manifest", "it.toml", "--reason", "first"
    )
    shown = json.loads(seatrial(tmp_path, "models", "show", "it:1", "--json").stdout)
    (entry,) = json.loads(seatrial(tmp_path, "models", "history", "it", "--json").stdout)

    digest = shown["digest"]
    assert (added.returncode, added.stdout) == (0, f"it:1  dev  {digest}\nregression of x float32[4]\n"), added.stderr
    assert (shown["stage"], shown["reason"], shown["manifest"]["output"]["units"]) == ("dev", "first", "EUR")
    assert (entry["action"], entry["to"], entry["why"]) == ("register", "dev", "first")
    assert entry["who"].startswith("local:")
    until(lambda: server.http.get(f"{server.url}/models/it:1").status_code == 200, "the server knows it")

    with closing(open_registry(None, tmp_path / "data")) as registry:
        registry.change("it", lambda stages, _: promote(stages, 1, Stage.STAGING), Note("local:test", "try it"))
    body = {"model_id": "it:1", "data": {"x": [1, 2, 3, 4]}}
    until(lambda: server.http.post(f"{server.url}/predict", json=body).status_code == 200, "it answers")
    (right,) = answers(linear(), [[1, 2, 3, 4]])[0]

    assert server.http.post(f"{server.url}/predict", json=body).json()["prediction"] == pytest.approx(right)


def test_what_is_refused_is_told(tmp_path: Path) -> None:
    """A line for each fault, and exit codes; nothing is left in staging, nor a version."""
    prepare(Settings(data_dir=tmp_path / "data"))
    for name, content in {
        "model.onnx": LINEAR,
        "logits.onnx": softmax(end="Identity").SerializeToString(),
        "model.pkl": b"\x80\x04N.",
        "bad.toml": b'stage = "production"\nroles = 1\n',
        "seatrial.toml": b"max_model_bytes = 1000\n",
        "large.onnx": bytes(1001),
    }.items():
        (tmp_path / name).write_bytes(content)

    def refused(*arguments: str) -> tuple[int, str, str]:
        done = seatrial(tmp_path, "models", "add", *arguments)
        return done.returncode, done.stdout, done.stderr

    assert refused("model.pkl", "--name", "it") == (
        1, "", "seatrial: The file is a Python pickle; an ONNX file is expected.\n",
    )  # fmt: skip
    code, _, told = refused("model.onnx", "--name", "it", "--manifest", "bad.toml")
    assert (code, [line.split(":")[0] for line in told.splitlines()]) == (
        1, ["seatrial", "  /manifest/stage", "  /manifest/roles"],
    )  # fmt: skip
    code, _, told = refused("logits.onnx", "--name", "it")
    assert (code, "ends in Softmax" in told) == (1, True)
    assert refused("large.onnx", "--name", "it")[::2] == (
        1, "seatrial: large.onnx has more than 1000 bytes, the limit (SEATRIAL_MAX_MODEL_BYTES).\n",
    )  # fmt: skip
    assert refused("nowhere.onnx", "--name", "it")[::2] == (
        2, "seatrial: Cannot read nowhere.onnx: No such file or directory.\n",
    )  # fmt: skip
    assert refused("model.onnx", "--name", "It")[0] == 2
    assert list((tmp_path / "data" / "artifacts" / "staging").iterdir()) == []
    assert seatrial(tmp_path, "models", "show", "it:1").returncode == 2


def test_json_has_the_whole_manifest(tmp_path: Path) -> None:
    """For programs."""
    prepare(Settings(data_dir=tmp_path / "data"))
    (tmp_path / "model.onnx").write_bytes(LINEAR)
    done = seatrial(tmp_path, "models", "add", "model.onnx", "--name", "it", "--json")
    document = json.loads(done.stdout)

    assert (document["model_id"], document["stage"], document["manifest"]["task"]) == ("it:1", "dev", "regression")


def test_registrations_at_once_lose_nothing(start_server: StartServer, tmp_path: Path) -> None:
    """From many callers, over two workers: each gets a number of its own, and the ledger is whole."""
    server = start_server("--workers", "2", workers=2)
    headers = {"Authorization": f"Bearer {server.token}"}
    with ThreadPoolExecutor(8) as threads:
        done = list(
            threads.map(
                lambda _: server.http.post(f"{server.url}/models?name=it", content=LINEAR, headers=headers), range(8)
            )
        )
    with closing(open_registry(None, tmp_path / "data")) as registry:
        versions = [version.version for version in registry.versions() if version.name == "it"]
        broken = list(faults(*registry.whole()[:2]))

    assert [answer.status_code for answer in done] == [201] * 8
    assert sorted(answer.json()["model_version"] for answer in done) == list(range(1, 9)) == versions
    assert broken == []
    assert list((tmp_path / "data" / "artifacts" / "staging").iterdir()) == []
