"""The guides, run as they are printed; and the script that runs every plan."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.live import free_port, server_process

pytestmark = [pytest.mark.load, pytest.mark.long]
ROOT = Path(__file__).resolve().parents[2]
GUIDES = ROOT / "docs" / "how-to"


def variables(folder: Path, **more: str) -> dict[str, str]:
    """As after `. .venv/bin/activate`."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("SEATRIAL_")}
    return {**ours, "PATH": f"{Path(sys.executable).parent}:{ours['PATH']}", "HOME": str(folder), **more}


def test_somebody_elses_api(tmp_path: Path) -> None:
    """Each command of the guide ends with exit code 0."""
    (tmp_path / "src").symlink_to(ROOT / "src")  # where the guide's service has its model from
    folder = tmp_path / "docs" / "how-to" / "another-api"
    shutil.copytree(GUIDES / "another-api", folder)
    page = (GUIDES / "test-another-api.md").read_text(encoding="utf-8")
    (shell,) = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    port = str(free_port())
    target = folder / "digits.toml"
    target.write_text(target.read_text(encoding="utf-8").replace("9000", port), encoding="utf-8")
    script = shell.replace("9000", port).replace(". .venv/bin/activate\n", "")
    ready = f"curl --silent --retry 60 --retry-delay 1 --retry-connrefused http://127.0.0.1:{port}/health\n"
    script = script.replace(" &\n", f" &\ntrap 'kill %1' EXIT\n{ready}")
    done = subprocess.run(
        ["/bin/bash", "-euc", script],
        cwd=tmp_path,
        env=variables(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((folder / "trials").glob("*/report.html"))) == 3


def test_every_plan_is_run_by_the_script(tmp_path: Path) -> None:
    """Twenty seconds each: they leave CSV and HTML, Locust's and ours, and pass the floors, but for one.

    `medium` asks seventeen times a second and needs ten to start: too few requests for a p99, which is not proven.
    """
    with server_process(tmp_path) as server:
        done = subprocess.run(
            [ROOT / "scripts" / "run_load_tests.sh"],
            cwd=tmp_path, env=variables(tmp_path, QUICK="1", SEATRIAL_TARGET=server.url),
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    assert re.findall(r"^(\w+) +(\w+)", done.stdout, re.MULTILINE) == [
        ("smoke", "pass"), ("baseline", "pass"), ("medium", "not"), ("high", "pass"), ("stress", "pass"),
    ], done.stderr  # fmt: skip
    assert done.returncode == 3
    for name in ("report.html", "stats.csv", "locust.html", "locust_stats.csv"):
        assert len(list(tmp_path.glob(f"trials/*/*/{name}"))) == 5
