"""The reference pages name what the code has, and nothing that it has not."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from starlette.testclient import TestClient

from seatrial.cli.main import app
from seatrial.contracts.slo import UNITS, Objective
from seatrial.grading.plans import NAMES, WAITS, Plan, read_plan
from seatrial.server.api import problems
from seatrial.server.inference.pool import Snapshot
from seatrial.server.settings import Settings
from seatrial.server.telemetry.metrics import Metrics
from seatrial.trials.core.target import RequestSpec

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
SETTINGS = {f"SEATRIAL_{name.upper()}" for name in Settings.model_fields}
SLUGS = {slug for slug, _, _ in (*problems.KINDS.values(), problems.INTERNAL, *problems.BY_STATUS.values())}
PAGES = ("/docs", "/redoc", "/openapi.json")


def page(name: str) -> str:
    return (REFERENCE / f"{name}.md").read_text(encoding="utf-8")


def rows(name: str) -> list[str]:
    """The first cell of each row of the tables of a page."""
    return [line.split("|")[1].strip() for line in page(name).splitlines() if line.startswith("|")]


def named(text: str) -> list[str]:
    """What stands in backticks, but for whole blocks."""
    return re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_every_setting_has_a_row(name: str) -> None:
    """settings.md has one row for each setting."""
    assert [cell for cell in rows("settings") if cell == f"`{name}`"] == [f"`{name}`"]


def test_every_setting_of_the_page_exists() -> None:
    """settings.md has no row for a setting that is not there."""
    assert {name for cell in rows("settings") for name in named(cell)} == SETTINGS


TRIAL_VARIABLES = {"SEATRIAL_TARGET", "SEATRIAL_API_KEY", "SEATRIAL_AGAINST_API_KEY", "SEATRIAL_PATIENCE"}
"""What `seatrial trial` and the tests take from the environment."""


def test_every_setting_that_docs_name_exists() -> None:
    """No page speaks of a setting that is not there."""
    pages = [REFERENCE.parents[1] / "README.md", *REFERENCE.parent.rglob("*.md")]
    mentioned = {
        name for path in pages for name in re.findall(r"SEATRIAL_[A-Z_]+[A-Z]", path.read_text(encoding="utf-8"))
    }

    assert mentioned <= SETTINGS | TRIAL_VARIABLES


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_every_default_is_told(name: str) -> None:
    """The row of a setting names its default, where there is one to name."""
    default = Settings.model_fields[name.removeprefix("SEATRIAL_").lower()].default
    (row,) = (line for line in page("settings").splitlines() if line.startswith(f"| `{name}` "))
    if default not in {None, ()}:
        text = (
            ",".join(default)
            if isinstance(default, tuple)
            else f"{default:g}"
            if isinstance(default, float)
            else default
        )
        assert f"`{text}`" in row.split("|")[2]


def test_every_problem_has_a_row_and_every_row_a_problem() -> None:
    """errors.md has one row for each slug, with the status that it has."""
    statuses = {
        slug: str(status)
        for slug, _, status in (*problems.KINDS.values(), problems.INTERNAL, *problems.BY_STATUS.values())
    }
    lines = [line.split("|") for line in page("errors").splitlines() if re.match(r"\| `[a-z-]+` \|", line)]

    assert {named(cells[1])[0]: cells[2].strip() for cells in lines} == statuses
    assert len(lines) == len(SLUGS)


def test_every_slug_that_docs_name_exists() -> None:
    """No page shows a problem type that is not there."""
    pages = [REFERENCE.parents[1] / "README.md", *REFERENCE.parent.rglob("*.md")]
    shown = {slug for path in pages for slug in re.findall(r"urn:seatrial:problem:([a-z-]+)", path.read_text("utf-8"))}

    assert shown <= SLUGS


def routes(client: TestClient) -> set[tuple[str, str]]:
    """Method and path of every route."""
    paths = client.get("/openapi.json").json()["paths"]
    described = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    return described | {("GET", path) for path in PAGES}


def test_every_route_has_a_row_and_every_row_a_route(client: TestClient) -> None:
    """api.md has each route with its method; a row may name several of one method."""
    told = set()
    for cell in rows("api"):
        method = ""
        for text in named(cell):
            first, _, rest = text.partition(" ")
            method, path = (first, rest) if rest else (method, first)
            if path.startswith("/"):
                told.add((method, path))

    assert told == routes(client)


def test_every_member_of_a_request_and_an_answer_is_told(client: TestClient) -> None:
    """api.md names every member of what is sent to predict, and of what comes back."""
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    told = set(named(page("api")))
    for name in ("PredictRequest", "BatchRequest", "PredictAnswer", "BatchAnswer"):
        assert set(schemas[name]["properties"]) <= told, name


Command = Any
"""A command of click, which typer carries within itself."""


def walk(command: Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each command and each of its flags."""
    yield path, ""
    for parameter in command.params:
        for flag in (*parameter.opts, *parameter.secondary_opts):
            yield path, flag
    for name, child in getattr(command, "commands", {}).items():
        yield from walk(child, (*path, name))


COMMANDS = sorted(walk(typer.main.get_command(app)))


@pytest.mark.parametrize(("path", "flag"), COMMANDS)
def test_every_command_and_flag_is_told(path: tuple[str, ...], flag: str) -> None:
    """commands.md names each command, and each flag in the section of its command."""
    sections = re.split(r"^## ", page("commands"), flags=re.MULTILINE)
    title = "`" + " ".join(("seatrial", *path)) + "`"
    section = sections[0] if not path else next(text for text in sections if text.startswith(title))

    assert not flag or flag in {text.partition(" ")[0] for text in named(section)}


def test_every_flag_that_the_page_names_exists() -> None:
    """commands.md names no flag of `seatrial` that is not there."""
    text = page("commands").partition("## Scripts")[0]
    flags = {flag for _, flag in COMMANDS if flag.startswith("--")} | {"--help"}

    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)) <= flags


def test_every_script_is_told() -> None:
    """commands.md has a row for each script that people run, and none for one that is not there."""
    folder = REFERENCE.parents[1] / "scripts"
    present = {f"scripts/{path.name}" for path in folder.iterdir() if path.stat().st_mode & 0o100 and path.is_file()}
    told = {name for cell in rows("commands") for name in named(cell) if name.startswith("scripts/")}

    assert told <= present
    assert present - told <= {"scripts/house.py"}  # which scripts/lint runs


def lines(name: str, first: str) -> list[list[str]]:
    """The rows, as cells, of the table of a page whose heading begins with a cell."""
    (table,) = (part for part in page(name).split("\n\n") if part.startswith(f"| {first} |"))
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[2:]]


def test_every_plan_is_told_as_it_is() -> None:
    """plans.md has the figures of each shipped plan."""
    told = {named(row[0])[0]: row[1:4] for row in lines("plans", "plan")}
    seconds = {"20 s": 20, "2 min": 120, "5 min": 300, "10 min": 600}
    plans = {name: read_plan(name) for name in NAMES}

    assert {name: (int(row[0]), float(row[1]), seconds[row[2]]) for name, row in told.items()} == {
        name: (plan.users, plan.spawn_rate, plan.seconds) for name, plan in plans.items()
    }
    for row in lines("plans", "plan"):
        classes = set(WAITS) if row[4] == "all" else set(named(row[4]))
        assert set(plans[named(row[0])[0]].classes) == classes


def test_every_class_is_told_with_its_waits() -> None:
    """plans.md and the README of the load tests say how long each class waits."""
    told = {named(row[0])[0]: tuple(map(float, re.findall(r"[\d.]+", row[1]))) for row in lines("plans", "class")}
    readme = (REFERENCE.parents[1] / "tests" / "load" / "README.md").read_text(encoding="utf-8")

    assert told == WAITS
    for name, (shortest, longest) in WAITS.items():
        assert f"| `{name}` | {shortest:g} to {longest:g} s |" in readme


def test_every_indicator_has_a_row_with_its_unit() -> None:
    """slo.md has each service level indicator."""
    told = {name: row[1] for row in lines("slo", "`sli`") for name in named(row[0])}

    assert told == UNITS


@pytest.mark.parametrize(
    ("name", "heading", "described"),
    [
        ("slo", "member of `[[objective]]`", Objective),
        ("target-file", "member of `[[request]]`", RequestSpec),
        ("plans", "member", Plan),
    ],
)
def test_every_member_of_a_file_has_a_row(name: str, heading: str, described: type) -> None:
    """And no row is of a member that is not there."""
    told = {member for row in lines(name, heading) for member in named(row[0])}

    assert told == {field.name for field in dataclasses.fields(described)}


def test_every_metric_has_a_row_and_every_row_a_metric(client: TestClient) -> None:
    """metrics.md has one row for each family of our own on /metrics."""
    client.get("/nowhere")
    families = set(re.findall(r"^# TYPE (seatrial_\w+) ", client.get("/metrics").text, re.MULTILINE))
    told = [name for cell in rows("metrics") for name in named(cell) if name.startswith("seatrial_")]

    assert sorted(told) == sorted(families)


def test_every_label_of_a_metric_is_told(client: TestClient) -> None:
    """The row of a metric names its labels."""
    client.post("/predict", json={"data": [39.7, -105, 2050, "A1B"]})
    client.post("/predict/batch", json={"data": [[39.7, -105, 2050, "A1B"]]})
    client.get("/nowhere")
    other = Metrics("0", lambda: 0.0, lambda *_: None)  # of what does not happen to a server that is well
    other.limits_lost("refused")
    other.departed("/predict")
    other.serving(Snapshot(), {"digits:2": 0.004})
    text = client.get("/metrics").text + other.exposition("*/*")[0].decode()
    for line in page("metrics").splitlines():
        if not line.startswith("| `seatrial_"):
            continue
        name, labels = line.split("|")[1].strip(" `"), set(named(line.split("|")[3]))
        samples = re.findall(rf"^{name}(?:_bucket|_count)?\{{([^}}]*)\}} ", text, re.MULTILINE)
        found = {label for sample in samples for label in re.findall(r'(\w+)="', sample)} - {"le"}
        assert found == labels, name


def test_the_json_view_is_told(client: TestClient) -> None:
    """metrics.md names each member of the JSON view."""
    document = client.get("/metrics", headers={"Accept": "application/json"}).json()

    assert set(document) <= set(named(page("metrics")))
