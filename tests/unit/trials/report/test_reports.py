"""Reports: the same proof for people, for CI, for spreadsheets and for programs."""

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console
from tests.fakes.runs import bench, closed_loop, open_loop, pairs, run, stalled, steady

from seatrial.contracts.proof import AnswerCheck, Proof
from seatrial.contracts.slo import Objective
from seatrial.grading import numbers
from seatrial.grading.spec import read_slo
from seatrial.grading.toml import WrongFile
from seatrial.trials.measure.prove import prove
from seatrial.trials.report import compare, files, text, words
from seatrial.trials.report.html import page
from seatrial.trials.report.junit import junit
from seatrial.trials.report.markdown import summary
from seatrial.trials.report.tables import history, stats

SLO = read_slo("default")
ATTACK = "=<script>alert(1)</script>|`x`\x01\x1b[31m"


REGRESSION = replace(
    SLO,
    document=replace(
        SLO.document,
        objective=(
            *SLO.document.objective,
            Objective(sli="p50_ms", plan="open", endpoint="POST /predict", versus_champion="<= +10%"),
        ),
    ),
)


def proof(latency: Callable[[float], float] = steady) -> Proof:
    facts = run()
    return prove(facts, closed_loop(facts, latency), SLO)


def failing() -> Proof:
    """A stall, a failure whose text is an attack, a regression and a wrong answer."""
    facts, samples = open_loop(500, 20)
    samples[::50] = [replace(sample, ok=False, endpoint=ATTACK, fault=ATTACK) for sample in samples[::50]]
    wrong = AnswerCheck(
        model_id="digits:1", check="one by one", cases=100, right=99, worst=0.5, tolerance=0.0001, example=ATTACK
    )
    return prove(facts, samples, REGRESSION, pairs(1.25), [wrong])


def benchmarked(endpoint: str) -> Proof:
    """Benchmarks, one of them against a champion, of an endpoint of this name."""
    facts, samples = bench()
    named = [replace(sample, endpoint=endpoint) if sample.endpoint == "POST /predict" else sample for sample in samples]
    blocks = (replace(sample, endpoint=endpoint) for sample in pairs(1.25))
    versus = Objective(sli="p50_ms", endpoint=endpoint, versus_champion="<= +10%")
    return prove(facts, named, replace(SLO, document=replace(SLO.document, objective=(versus,))), blocks)


def empty() -> Proof:
    return prove(run(users=0), [], SLO)


def shown(found: Proof, width: int = 80) -> str:
    output = io.StringIO()
    Console(width=width, file=output, no_color=True).print(text.render(found))
    return output.getvalue()


def test_a_terminal_of_80_columns_shows_the_verdict_first() -> None:
    """Then the reasons and the table; nothing is wider than the terminal, and no colour is needed."""
    lines = shown(proof(stalled)).splitlines()

    assert lines[1].split() == ["FAIL", "load", "high,", "graded", "by", "default,", "score", "56%"]
    assert any(line.startswith("  • p95_ms of all is 7") for line in lines)
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("made", [proof, failing, empty])
def test_every_kind_of_proof_can_be_shown(made: Callable[[], Proof], tmp_path: Path) -> None:
    """A good one, a bad one and an empty one, in every form; the HTML is far below 1 MB."""
    found = made()
    files.write(found, tmp_path)

    assert words.verdict(found.verdict) in shown(found, 120)
    assert {path.name for path in tmp_path.iterdir()} == {
        "proof.json", "report.html", "report.json", "junit.xml", "summary.md", "stats.csv", "history.csv",
    }  # fmt: skip
    assert (tmp_path / "report.html").stat().st_size < 1_000_000
    assert files.read(tmp_path) == found


@pytest.mark.proves("S48")
def test_html_needs_nothing_else_and_runs_nothing() -> None:
    """No script, no link to fetch; what a target answered is text."""
    html = page(failing())

    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "default-src 'none'" in html
    assert 'src="http' not in html
    assert "url(" not in html


def test_html_shows_charts_of_what_there_is() -> None:
    """Latency over time and the percentile curve, each wide and narrow; of an empty run none."""
    assert page(proof()).count("<svg") == 4
    assert page(failing()).count("<svg") == 6
    assert page(empty()).count("<svg") == 0


def test_charts_keep_text_text() -> None:
    """The name of an endpoint comes from a file of others, and stands in two charts: each wide and narrow."""
    html = page(benchmarked(ATTACK))

    assert html.count("<svg") == 4
    assert "<script" not in html


def test_the_report_of_an_hour_is_below_1_mb() -> None:
    """Its lines have no more points than can be told apart; the slowest seconds stay."""
    facts = run(users=20, duration_s=3600)
    found = prove(facts, closed_loop(facts, stalled), SLO)

    assert len(found.history) == 3600
    assert len(page(found).encode()) < 1_000_000


def test_junit_has_a_case_for_everything() -> None:
    """Failures fail; what was not proven is an error; what was not measured is skipped."""
    suite = ET.fromstring(junit(failing()))  # noqa: S314 - our own XML
    results = {(case.get("classname"), case.get("name")): [child.tag for child in case] for case in suite}

    assert suite.get("failures") == str(sum(tags == ["failure"] for tags in results.values()))
    assert results["seatrial.verdict", "open"] == ["failure"]
    assert results["seatrial.objective", "error_ratio"] == ["failure"]
    assert results["seatrial.objective", "memory_growth"] == ["skipped"]
    assert results["seatrial.champion", "p50_ms of POST /predict"] == ["failure"]
    assert results["seatrial.answers", "digits:1 one by one"] == ["failure"]
    assert results["seatrial.run", "requests"] == []
    assert ET.fromstring(junit(empty())).get("errors") != "0"  # noqa: S314 - our own XML


def test_markdown_keeps_text_text() -> None:
    """The verdict is the title; what a target answered cannot break the table or the page."""
    shown_text = summary(failing())

    assert shown_text.startswith("## ❌ FAIL: open\n")
    assert "<script>" not in shown_text.replace("\\<script\\>", "")
    assert re.search(
        r"\| p50_ms of POST /predict \| 10 \| 4\.\d+ \| 5\.\d+ \| 1\.2\d+ \| .* \| 1\.10 \| ❌ fail \|", shown_text
    )


def test_csv_has_a_row_for_each_endpoint_and_each_second() -> None:
    """Measured and corrected columns; no cell is a formula."""
    found = proof(stalled)
    rows = list(csv.DictReader(io.StringIO(stats(found))))
    seconds = list(csv.DictReader(io.StringIO(history(found))))

    assert [row["name"] for row in rows] == ["POST /predict", "all"]
    assert float(rows[1]["corrected_p95_ms"]) > 1000
    assert float(rows[1]["measured_p95_ms"]) < 10
    assert [int(row["second"]) for row in seconds] == list(range(60))
    assert next(csv.DictReader(io.StringIO(stats(failing()))))["name"].startswith("'=")


def test_report_json_is_the_proof_without_its_histograms() -> None:
    """Programs get every figure, and not the bulk."""
    document = json.loads(files.report_json(proof()))

    assert document["schema"] == "seatrial/report/v1"
    assert "histogram" not in document["total"]["corrected"]
    assert document["slo"] == {"name": "default", "digest": SLO.digest}


@pytest.mark.parametrize(
    ("content", "complaint"), [(None, "cannot be read: No such file"), (b'{"subject": []}', "is no proof: /predicate")]
)
def test_a_folder_without_a_proof_is_refused(tmp_path: Path, content: bytes | None, complaint: str) -> None:
    """It says which file was expected, and what is wrong."""
    if content:
        (tmp_path / "proof.json").write_bytes(content)

    with pytest.raises(WrongFile, match=complaint):
        files.read(tmp_path)


def test_two_runs_stand_side_by_side(tmp_path: Path) -> None:
    """Ratios of what both asked, and everything else that differs."""
    first, second = proof(), proof(stalled)
    other = replace(second, run=replace(second.run, machine=replace(second.run.machine, digest="sha256:other")))
    compared = compare.compare(first, other)
    compare.write(compared, tmp_path)
    (p50,) = [row for row in compared.rows if (row.endpoint, row.figure) == ("all", "p50_ms")]

    assert p50.ratio == pytest.approx(p50.second / p50.first)
    assert compared.differences[0].startswith("not comparable: the machines differ")
    assert json.loads((tmp_path / "compare.json").read_bytes())["verdicts"] == ["PASS", "FAIL"]
    assert "not comparable" in (tmp_path / "compare.html").read_text(encoding="utf-8")
    assert compare.compare(first, empty()).rows == ()


@pytest.mark.parametrize(
    ("value", "shown_as"), [(None, "–"), (0.456, "0.46"), (12.34, "12.3"), (123.4, "123"), (12345.0, "12 345")]
)
def test_milliseconds_have_three_digits(value: float | None, shown_as: str) -> None:
    """As many as mean something."""
    assert numbers.ms(value) == shown_as
