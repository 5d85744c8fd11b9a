"""The how-to pages for scikit-learn, PyTorch and XGBoost, as a reader follows them: from file to answers."""

import json
import re
import shlex
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tests.live import PATIENCE, PYTHON, ServerProcess, environment, until

from seatrial.contracts.golden import Golden, parse_golden

pytestmark = pytest.mark.e2e
GUIDES = Path(__file__).resolve().parents[2] / "docs" / "how-to"
NAMES = {"from-scikit-learn": "iris", "from-pytorch": "penguins", "from-xgboost": "tumours"}
StartServer = Callable[..., ServerProcess]


def commands(guide: str, start: str) -> list[list[str]]:
    """The commands of the page's shell blocks that begin so, as words."""
    page = (GUIDES / f"{guide}.md").read_text(encoding="utf-8")
    lines = "".join(re.findall(r"```sh\n(.*?)```", page, re.DOTALL)).splitlines()
    return [shlex.split(line) for line in lines if line.startswith(start)]


def run(folder: Path, guide: str, words: list[str]) -> str:
    """A command, in the folder of the guide and on the data of the server; what it printed."""
    done = subprocess.run(
        words,
        cwd=GUIDES / guide,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def loaded(server: ServerProcess, model_id: str) -> bool:
    return server.http.get(f"{server.url}/models/{model_id}").json().get("loaded") is True


def answers_of(server: ServerProcess, model_id: str, golden: Golden) -> list[list[float]]:
    """What the server answers to each recorded input."""
    given = []
    for case in golden.cases:
        several = {"return_probabilities": True} if len(case.output) > 1 else {}
        answer = server.http.post(f"{server.url}/predict", json={"model_id": model_id, "data": case.input, **several})
        assert answer.status_code == 200, answer.text
        document = answer.json()
        given.append(list(document["probabilities"].values()) if several else document["predictions"])
    return given


def test_models_of_three_frameworks_are_served(start_server: StartServer, tmp_path: Path) -> None:
    """Added by the page's command and put into staging, each answers as its framework did, and as the page prints."""
    server = start_server()
    for guide, name in NAMES.items():
        (add,) = commands(guide, "seatrial models add")
        assert f"{name}:1" in run(tmp_path, guide, [*PYTHON, *add[1:]])
        promote = ["models", "promote", f"{name}:1", "staging", "--override", "--reason", "a first look"]
        run(tmp_path, guide, [*PYTHON, *promote])
    for guide, name in NAMES.items():
        until(partial(loaded, server, f"{name}:1"), f"{name} is loaded")
        golden = parse_golden((GUIDES / guide / "recorded.json").read_bytes())
        given, expected = answers_of(server, f"{name}:1", golden), [case.output for case in golden.cases]
        assert np.abs(np.array(given) - np.array(expected)).max() <= golden.tolerance

        (curl,) = commands(guide, "curl")
        shown = json.loads(run(tmp_path, guide, [word.replace(":8000", f":{server.port}") for word in curl]))
        page = (GUIDES / f"{guide}.md").read_text(encoding="utf-8")
        (printed,) = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", page, re.DOTALL))
        assert shown.keys() == printed.keys()
        assert (shown["model_id"], shown["input_shape"]) == (printed["model_id"], printed["input_shape"])
        if isinstance(printed["prediction"], str):
            assert shown["prediction"] == printed["prediction"]
        else:
            assert shown["prediction"] == pytest.approx(printed["prediction"], abs=golden.tolerance)
