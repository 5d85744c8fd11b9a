"""The pages for people: links that lead somewhere, and commands that work as printed."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.live import PATIENCE, ServerProcess, environment, server_process

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "src").rglob("card.md")])
VARYING = {"timestamp", "inference_time_ms", "request_id", "cached"}
"""What differs from one answer to the next: another page may have asked the same before."""
FENCE = re.compile(r"<!-- test -->\n```sh\n(?P<shell>.*?)```\n(?:\n```json\n(?P<json>.*?)```)?", re.DOTALL)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(path: Path) -> set[str]:
    """The anchors that the headings of a page have."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    """Every relative link and picture of a page is there, with the anchor that it names."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href|srcset)="([^"\s]+)"', text)
    broken = []
    for target in targets:
        place, _, anchor = target.partition("#")
        if ":" in place:
            continue
        file = path.parent / place if place else path
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            broken.append(target)

    assert not broken


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_pages_have_no_gaps(path: Path) -> None:
    """No page holds a place that is still to be filled."""
    assert not re.findall(r"@@|\bTODO\b|\bTBD\b|\bFIXME\b|\bXXX\b", path.read_text(encoding="utf-8"))


class Example(NamedTuple):
    """A command as printed, and the answer that is printed below it."""

    shell: str
    answer: str | None


def examples() -> Iterator[Any]:
    """Every block of shell with `<!-- test -->` above it."""
    for path in (ROOT / "README.md", *sorted((ROOT / "docs" / "tutorial").glob("*.md"))):
        for number, match in enumerate(FENCE.finditer(path.read_text(encoding="utf-8")), start=1):
            yield pytest.param(Example(match["shell"], match["json"]), id=f"{path.name} {number}")


EXAMPLES = list(examples())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with server_process(tmp_path_factory.mktemp("server")) as started:
        yield started


def alike(printed: object, given: object) -> bool:
    """Whether an answer is the printed one, but for times, ids and the last digits of numbers."""
    if isinstance(printed, dict) and isinstance(given, dict):
        return printed.keys() == given.keys() and all(
            name in VARYING or alike(value, given[name]) for name, value in printed.items()
        )
    if isinstance(printed, list) and isinstance(given, list):
        return len(printed) == len(given) and all(map(alike, printed, given))
    if isinstance(printed, float) and isinstance(given, float):
        return abs(printed - given) <= 1e-4
    return type(printed) is type(given) and printed == given


@pytest.mark.e2e
@pytest.mark.parametrize("example", EXAMPLES)
def test_commands_work_as_printed(server: ServerProcess, example: Example, tmp_path: Path) -> None:
    """A command of README or tutorial ends well, and prints what stands below it."""
    shell = re.sub(r"(?:127\.0\.0\.1|localhost):8000", f"127.0.0.1:{server.port}", example.shell)
    result = subprocess.run(
        ["/bin/sh", "-ec", shell],
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    if example.answer is not None:
        assert alike(json.loads(example.answer), json.loads(result.stdout)), result.stdout


def test_commands_are_tested() -> None:
    """README shows at least two commands that are tested, the tutorial five; each curl of a prediction is tested."""
    counts = {
        name: sum(entry.id.startswith(name) for entry in EXAMPLES) for name in ("README.md", "first-prediction.md")
    }

    assert counts["README.md"] >= 2
    assert counts["first-prediction.md"] >= 5


@pytest.mark.parametrize(
    ("printed", "given", "same"),
    [
        ({"a": 1.0, "timestamp": "x"}, {"a": 1.00005, "timestamp": "y"}, True),
        ({"a": 1.0}, {"a": 1.001}, False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ([1, "x"], [1, "y"], False),
        ({"a": False}, {"a": 0}, False),
    ],
)
def test_an_answer_that_is_not_the_printed_one_is_found(printed: object, given: object, same: bool) -> None:  # noqa: FBT001 - a column
    """The comparison lets pass times, ids and rounding, and nothing else."""
    assert alike(printed, given) is same
