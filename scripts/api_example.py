#!/usr/bin/env python3
"""A tour of the API with real images: start `scripts/serve`, then run `.venv/bin/python scripts/api_example.py`.

Everything is asked over HTTP, as your own program would; the images and points come from the server's golden answers.
"""

import argparse
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.columns import Columns
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

WIDTH = 100
SIDE = 28
YEARS = (1900, 1990, 2050, 2095)
PLACES = {
    "Yukon": (60.0, -135.0),
    "Denver": (39.7, -105.0),
    "Mexico City": (19.4, -99.1),
    "Miami": (25.8, -80.2),
}
COLD, HOT = -20.0, 30.0
SCALE = ("#2b3a8f", "#3f6fc4", "#69a9de", "#b7dcee", "#f4f1de", "#f7c873", "#ef8a4b", "#d1495b", "#8c1c2f")

SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="-20 0 {terminal_width} {terminal_height}">
<style>.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, monospace; font-size: {char_height}px;
line-height: {line_height}px; }} {styles}</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}</defs>
<rect x="-20" width="{terminal_width}" height="{terminal_height}" rx="8" fill="#10141c"/>
<g clip-path="url(#{unique_id}-clip-terminal)">{backgrounds}<g class="{unique_id}-matrix">{matrix}</g></g>
</svg>
"""


class Api:
    """A client in a dozen lines: JSON in, JSON out, problems told."""

    def __init__(self, base: str, key: str | None) -> None:
        self.base = base.rstrip("/")
        self.headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if key:
            self.headers["Authorization"] = f"Bearer {key}"

    def call(self, path: str, body: object = None) -> tuple[int, Any]:
        """Status and parsed body; POST where there is a body."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, self.headers)  # noqa: S310 - the caller's own target
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - the same
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def ask(self, path: str, body: object = None) -> Any:  # noqa: ANN401 - whatever the route answers
        """The body of a success; anything else ends the tour with the problem."""
        status, answer = self.call(path, body)
        if status >= 400:  # noqa: PLR2004 - where errors begin
            sys.exit(f"{path} answered {status}: {answer['detail']}")
        return answer


def draw_digit(pixels: Sequence[float]) -> Text:
    """28 x 28 grey values (0..1) as half blocks: two rows of pixels in a line of text."""
    text = Text()
    for row in range(0, SIDE, 2):
        for column in range(SIDE):
            upper, lower = (round(255 * pixels[(row + half) * SIDE + column]) for half in (0, 1))
            text.append("\u2580", f"rgb({upper},{upper},{upper}) on rgb({lower},{lower},{lower})")
        text.append("\n")
    return text


def bars(probabilities: dict[str, float]) -> Text:
    """A bar for each class."""
    best = max(probabilities, key=lambda label: probabilities[label])
    text = Text()
    for label, probability in probabilities.items():
        style = "bold green" if label == best else "dim"
        bar = "\u2588" * round(16 * probability)
        text.append(f"{label} {bar:16} {probability:7.2%}\n", style)
    return text


def show_models(api: Api) -> Table:
    """What is served."""
    table = Table("model", "stage", "task", "what it does", title="GET /models", title_justify="left", width=WIDTH - 4)
    for model in api.ask("/models"):
        table.add_row(model["model_id"], model["stage"], model["task"], model["description"])
    return table


def show_digits(api: Api, cases: list[dict[str, Any]]) -> Columns:
    """Three handwritten digits, two of them the hardest of the lot, and what the model reads in them."""
    hardest = sorted(cases, key=lambda case: max(case["output"]))[:2]
    panels = []
    for case in (cases[0], *hardest):
        answer = api.ask("/predict", {"data": case["input"], "return_probabilities": True})
        picture = Group(draw_digit(case["input"]["image"]), bars(answer["probabilities"]))
        panels.append(Panel(picture, title=f"read as {answer['prediction']}", width=SIDE + 4))
    return Columns(panels)


def show_batch(api: Api, cases: list[dict[str, Any]]) -> str:
    """All golden images in one request."""
    answer = api.ask("/predict/batch", {"data": [case["input"] for case in cases], "model_id": "digits:1"})
    right = sum(case["label"] == label for case, label in zip(cases, answer["predictions"], strict=True))
    return (
        f"POST /predict/batch: {len(cases)} images in one request, {right} right,"
        f" {answer['inference_time_ms']:.1f} ms in the model"
    )


def show_places(api: Api) -> Table:
    """Four places through two centuries, under two scenarios."""
    table = Table("place", *map(str, YEARS), title="Mean temperature, deg C (A1B / E1)", title_justify="left")
    for place, (latitude, longitude) in PLACES.items():
        rows = [
            {"latitude": latitude, "longitude": longitude, "year": year, "scenario": scenario}
            for year in YEARS
            for scenario in ("A1B", "E1")
        ]
        values = api.ask("/predict/batch", {"data": rows})["predictions"]
        pairs = zip(values[::2], values[1::2], strict=True)
        table.add_row(place, *(f"{a1b:5.1f} / {e1:5.1f}" for a1b, e1 in pairs))
    return table


def show_map(api: Api, year: int) -> Panel:
    """North America as the model sees it: one request, 2 816 points."""
    latitudes = [60 - 45 * row / 31 for row in range(32)]
    longitudes = [-135 + 90 * column / 87 for column in range(88)]
    points = [[lat, lon, year, "A1B"] for lat in latitudes for lon in longitudes]
    values = api.ask("/predict/batch", {"data": points, "model_name": "geoclimate"})["predictions"]
    text = Text()
    for row in range(0, len(latitudes), 2):
        for column in range(len(longitudes)):
            upper, lower = (colour(values[(row + half) * len(longitudes) + column]) for half in (0, 1))
            text.append("\u2580", f"{upper} on {lower}")
        text.append("\n")
    for index, shade in enumerate(SCALE):
        text.append("\u2588\u2588", shade)
        text.append(f" {COLD + (HOT - COLD) * index / (len(SCALE) - 1):.0f}  ", "dim")
    return Panel(
        text, title=f"deg C in {year}, scenario A1B: {len(points)} points, one request", width=len(longitudes) + 4
    )


def colour(value: float) -> str:
    """The shade of a temperature."""
    place = (value - COLD) / (HOT - COLD) * (len(SCALE) - 1)
    return SCALE[min(max(round(place), 0), len(SCALE) - 1)]


def show_error(api: Api) -> Panel:
    """A mistake, and what the server says about it."""
    wrong = {"data": {"latitude": 95, "longitude": -105, "year": 2050, "scenario": "A1C"}}
    status, problem = api.call("/predict", wrong)
    lines = [f"[bold red]{status}[/] {problem['title']}"]
    lines += [
        f"  [cyan]{fault['pointer']}[/] {fault['detail']} Expected {fault['expected']}, received {fault['received']}."
        for fault in problem["errors"]
    ]
    return Panel("\n".join(lines), title=f"POST /predict {json.dumps(wrong['data'])}", width=WIDTH - 4)


def see_digits(api: Api, console: Console) -> None:
    """The server, its models, and handwriting."""
    health = api.ask("/health")
    console.print(f"\n[bold]Seatrial {health['version']}[/] at {api.base} is [green]{health['status']}[/]\n")
    console.print(show_models(api), "")
    cases = api.ask("/models/digits:1/golden")["cases"]
    console.print(show_digits(api, cases), show_batch(api, cases), sep="\n")


def see_climate(api: Api, console: Console) -> None:
    """Two centuries of climate, and a mistake."""
    console.print("", show_places(api), "", show_map(api, 2095), "", show_error(api), sep="\n")
    console.print(f"\nTry it in your browser: {api.base}/docs\n")


def main() -> None:
    """Take the tour; with `--svg FOLDER` keep it as pictures too."""
    parser = argparse.ArgumentParser(description="A tour of the API with real images.")
    parser.add_argument("--target", default="http://127.0.0.1:8000", help="where the server is")
    parser.add_argument("--api-key", help="a token, where the server is not on this machine")
    parser.add_argument("--svg", type=Path, help="also write what is printed as pictures into this folder")
    options = parser.parse_args()
    console = Console(record=options.svg is not None, width=WIDTH if options.svg else None, highlight=False)
    api = Api(options.target, options.api_key)
    try:
        for stop in (see_digits, see_climate):
            stop(api, console)
            if options.svg:
                picture = console.export_svg(title="Seatrial", code_format=SVG)
                (options.svg / f"{stop.__name__}.svg").write_text(picture, encoding="utf-8")
    except urllib.error.URLError as error:
        sys.exit(f"Nothing answers at {options.target} ({error.reason}). Start the server first: scripts/serve")


if __name__ == "__main__":
    main()
