"""`seatrial trial`: what stops it before anything is sent."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from seatrial.cli.main import app

FLOOR = str(Path(__file__).resolve().parents[3] / "docs" / "reference" / "schemas" / "example" / "slo.toml")


def without(library: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """`seatrial trial` in a process of its own, as if one library were not installed."""
    code = f"import sys; sys.modules[{library!r}] = None; from seatrial.cli.main import app; app(sys.argv[1:])"
    command = [sys.executable, "-c", code, "trial", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("library", ["aiohttp", "hdrh", "altair", "psutil"])
def test_a_missing_library_is_told_with_the_remedy(library: str) -> None:
    """The server's own set-up has no load generators: no traceback, but what to run."""
    done = without(library, "load", "smoke")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"seatrial: trials need {library}")
    assert done.stderr.endswith("run scripts/setup in a checkout, or pip install '.[load]'\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("load", "nope"), "nope: expected a plan (smoke, baseline, medium, high, stress) or the path of a plan file"),
        (("load", "smoke", "--duration", "5"), "--duration: a duration is a number and ms, s, m, h or d"),
        (("load", "smoke", "--duration", "10ms"), "--duration: expected whole seconds, at least 1s; received '10ms'"),
        (("load", "smoke", "--duration", "2.5s"), "--duration: expected whole seconds, at least 1s; received '2.5s'"),
        (("bench", "--block", "0.5s"), "--block: expected at least 1s; received '0.5s'"),
        (("load", "smoke", "--target", "http://a..b"), "the target is a URL such as http://127.0.0.1:8000; received"),
        (("load", "smoke", "--target", "http://u:p@host"), "the target's URL holds credentials"),
        (("load", "smoke", "--api-key", "se\ncret"), "--api-key: expected letters, digits and signs of ASCII"),
        (("load", "smoke", "--classes", "Nobody"), "--classes: expected some of GeoClimateUser, APIStressUser"),
        (("load", "smoke", "--target", "here"), "the target is a URL such as http://127.0.0.1:8000; received 'here'"),
        (("load", "smoke", "--slo", "none.toml"), "none.toml: expected the path of an SLO file, or one of default"),
        (("open", "--rate", "5", "--arrivals", "x"), "--arrivals: expected constant or poisson; received 'x'"),
        (
            ("bench", "--against", "http://127.0.0.1:1", "--slo", FLOOR),
            "--against: the SLO file states versus_champion for no benchmark of this target; expected some of GET /hea",
        ),
        (("report", "."), "proof.json: cannot be read: No such file or directory; expected the folder of a run"),
    ],
)
def test_wrong_usage_is_exit_code_2(
    arguments: tuple[str, ...], told: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each says what was expected and what came."""
    monkeypatch.chdir(tmp_path_factory.mktemp("here"))
    done = CliRunner().invoke(app, ["trial", *arguments], env={"COLUMNS": "200"})

    assert done.exit_code == 2
    assert told in done.stderr
