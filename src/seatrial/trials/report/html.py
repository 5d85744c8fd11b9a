"""`report.html`: one file that needs nothing else, for light and dark, wide and narrow, screen and paper."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from seatrial.contracts.proof import Proof
from seatrial.grading import numbers
from seatrial.trials.report import charts, layout, words

GRADE_SIGNS = {"target": "●", "acceptable": "●", "marginal": "◐", "poor": "✕", "not proven": "?"}
COLOURS = {
    charts.INK: "--ink-2",
    charts.GRID: "--line",
    charts.SHADE: "--shade",
    charts.P50: "--p50",
    charts.P95: "--p95",
    charts.P99: "--p99",
    charts.RATE: "--rate",
    charts.USERS: "--users",
    charts.FAILED: "--bad",
}


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("seatrial.trials.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["words"] = words
    environment.globals["numbers"] = numbers
    environment.globals["layout"] = layout
    environment.globals["signs"] = GRADE_SIGNS
    environment.globals["chart_colours"] = COLOURS
    return environment


def page(proof: Proof) -> str:
    """The report of a proof."""
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            proof=proof,
            run=proof.run,
            endpoints=_marked(() if proof.run.is_load else charts.spans(proof.endpoints)),
            latency=_marked(charts.latency(proof.history, proof.warm_up_s)),
            distribution=_marked(charts.distribution(proof.curve)),
            ratios=_marked(charts.ratios(proof.comparisons)),
        )
    )


def comparison(compared: object) -> str:
    """Two runs side by side: a `Compared` of `report.compare`."""
    return _environment().get_template("compare.html.j2").render(compared=compared)


def _marked(drawings: tuple[charts.Drawing, ...]) -> list[tuple[str, Markup]]:
    """Drawings as markup: they hold no text of others but names, which Vega escapes."""
    return [(drawing.size, Markup(drawing.svg)) for drawing in drawings]  # noqa: S704 - see above
