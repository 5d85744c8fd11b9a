"""The report in a real browser: light and dark, wide and narrow. Pictures go where SEATRIAL_PICTURES says."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, sync_playwright
from tests.fakes.runs import bench, closed_loop, pairs, run, stalled

from seatrial.contracts.proof import AnswerCheck
from seatrial.grading.spec import read_slo
from seatrial.trials.measure.prove import prove
from seatrial.trials.report import compare, files

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; nothing is downloaded."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with reports of a run with a stall, of nothing, of benchmarks; and of a comparison of unlike runs."""
    folder = tmp_path_factory.mktemp("pages")
    facts = run()
    stall = prove(facts, closed_loop(facts, stalled), read_slo("default"))
    nothing = prove(run(users=0), [], read_slo("default"))
    facts, samples = bench()
    known = AnswerCheck(
        model_id="digits:1", check="one by one", cases=100, right=99, worst=0.5, tolerance=1e-4, example="case 3"
    )
    compared = prove(facts, samples, read_slo("strict"), pairs(1.25), [known])
    for name, proof in (("stall", stall), ("empty", nothing), ("bench", compared)):
        (folder / name).mkdir()
        files.write(proof, folder / name)
    compare.write(compare.compare(stall, compared), folder)
    return folder


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["stall/report.html", "empty/report.html", "bench/report.html", "compare.html"])
def test_a_page_stands_alone(
    browser: Browser, pages: Path, name: str, scheme: Literal["light", "dark"], width: int
) -> None:
    """No error on the console, no request but for itself, no sideways scroll, below 1 MB."""
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    told: list[str] = []
    requested: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: requested.append(request.url))
    url = (pages / name).as_uri()
    page.goto(url)
    if folder := os.environ.get("SEATRIAL_PICTURES"):
        page.screenshot(path=Path(folder) / f"{name.replace('/', '-')}-{scheme}-{width}.png", full_page=True)
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    charts = page.locator("svg:visible").count()
    page.close()

    assert (told, [other for other in requested if not other.startswith("data:")]) == ([], [url])
    assert overflow <= 0
    assert background == {"light": "rgb(251, 251, 249)", "dark": "rgb(15, 21, 27)"}[scheme]
    assert charts == (2 if name.startswith(("stall", "bench")) else 0)
    assert (pages / name).stat().st_size < 1_000_000
