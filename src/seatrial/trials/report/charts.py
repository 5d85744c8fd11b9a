"""Charts as SVG text: drawn by Vega-Lite without a browser, coloured by the page through CSS.

Marks have stand-in colours; the page's style sheet gives each the colour of its theme: one file is light and dark.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import vl_convert

from seatrial.contracts.proof import Comparison, CurvePoint, Interval, Measure

INK, GRID, SHADE = "#010101", "#020202", "#030303"
P50, P95, P99, RATE, USERS, FAILED = "#0a0001", "#0a0002", "#0a0003", "#0a0004", "#0a0005", "#0a0006"
SERIES = {"p50": P50, "p95": P95, "p99": P99}
TICKS = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99)
PADDING = {"left": 36, "right": 12, "top": 6, "bottom": 6}
"""Room for labels: the font of whoever reads may be wider than the one that was measured."""
MOST_POINTS = 400
"""Points of a line over time: more cannot be told apart, and an hour of seconds would take a megabyte."""
Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Size:
    """The width of a drawing in pixels, and how many labels its time axis has room for."""

    name: str
    width: int
    ticks: int


SIZES = (Size("wide", 960, 10), Size("narrow", 300, 4))
"""Two drawings of each chart; the page shows the one that fits."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart in one size. `svg` is safe to put into a page: it is made from numbers and our own words."""

    size: str
    svg: str


def latency(history: Sequence[Interval], warm_up_s: float) -> tuple[Drawing, ...]:
    """p50, p95 and p99 of each second over the rate and the users; the warm-up is shaded, silence is a gap."""
    if not any(interval.p50_ms is not None for interval in history):
        return ()
    return _draw(lambda size: _over_time(_thinned(history), warm_up_s, size))


def _thinned(history: Sequence[Interval]) -> list[Interval]:
    """Of each few seconds of a long run the slowest of each percentile, the mean rate, and the most users."""
    every = -(-len(history) // MOST_POINTS)
    return [_joined(history[begin : begin + every]) for begin in range(0, len(history), every)]


def _joined(rows: Sequence[Interval]) -> Interval:
    return Interval(
        second=rows[0].second,
        users=max(row.users for row in rows),
        rps=sum(row.rps for row in rows) / len(rows),
        failures=sum(row.failures for row in rows),
        p50_ms=max((row.p50_ms for row in rows if row.p50_ms is not None), default=None),
        p95_ms=max((row.p95_ms for row in rows if row.p95_ms is not None), default=None),
        p99_ms=max((row.p99_ms for row in rows if row.p99_ms is not None), default=None),
    )


def distribution(curve: Sequence[CurvePoint]) -> tuple[Drawing, ...]:
    """The percentile curve: what share of requests took how long, as measured and corrected."""
    return _draw(lambda size: _percentiles(curve, size)) if curve else ()


def spans(endpoints: Sequence[Measure]) -> tuple[Drawing, ...]:
    """p50, p95 and p99 of each benchmark, on one logarithmic axis."""
    return _draw(lambda size: _spans(endpoints, size)) if any(row.measured for row in endpoints) else ()


def ratios(comparisons: Sequence[Comparison]) -> tuple[Drawing, ...]:
    """The ratio to the champion with its interval, and the limit."""
    return _draw(lambda size: _ratios(comparisons, size)) if comparisons else ()


def _draw(chart: Any) -> tuple[Drawing, ...]:  # noqa: ANN401 - a function of a Size
    return tuple(Drawing(size.name, _svg(chart(size))) for size in SIZES)


def _svg(chart: Any) -> str:  # noqa: ANN401 - any of Altair's charts
    styled = chart.configure(font="system-ui, sans-serif", background="transparent", padding=PADDING).configure_view(
        stroke=None
    )
    styled = styled.configure_axis(
        labelColor=INK, titleColor=INK, gridColor=GRID, domainColor=GRID, tickColor=GRID, titleFontWeight="normal"
    ).configure_legend(labelColor=INK, titleColor=INK, orient="top", title=None, symbolStrokeWidth=3)
    text: str = vl_convert.vegalite_to_svg(json.dumps(styled.to_dict()))
    return text


def _drawable(name: str) -> str:
    """A name without signs that no SVG can hold: the drawing library ends the whole process at one."""
    return "".join(sign if sign.isprintable() else "�" for sign in name)


def _x(size: Size, *, labels: bool) -> alt.X:
    axis = alt.Axis(title="seconds from the start" if labels else None, labels=labels, tickCount=size.ticks, grid=False)
    return alt.X("second:Q", axis=axis, scale=alt.Scale(nice=False))


def _over_time(history: Sequence[Interval], warm_up_s: float, size: Size) -> Any:  # noqa: ANN401 - Altair's own
    rows: Rows = [
        {"second": row.second, "series": name, "ms": value}
        for row in history
        for name, value in (("p50", row.p50_ms), ("p95", row.p95_ms), ("p99", row.p99_ms))
    ]
    lines = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(strokeWidth=1.6)
        .encode(
            x=_x(size, labels=False),
            y=alt.Y("ms:Q", title="latency, ms", axis=alt.Axis(tickCount=5), scale=_scale(rows)),
            color=alt.Color("series:N", scale=alt.Scale(domain=list(SERIES), range=list(SERIES.values()))),
        )
    )
    warm = alt.Data(values=[{"from": 0, "to": warm_up_s}])
    shade = alt.Chart(warm).mark_rect(color=SHADE).encode(x=alt.X("from:Q"), x2="to:Q")
    top = (alt.layer(shade, lines) if warm_up_s > 0 else lines).properties(width=size.width, height=220)
    rates: Rows = [{"second": row.second, "rps": row.rps, "users": row.users} for row in history]
    panels = [top, _panel(rates, "rps", "requests/s", RATE, size)]
    if any(row.users for row in history):
        panels.append(_panel(rates, "users", "users", USERS, size))
    panels[-1] = panels[-1].encode(x=_x(size, labels=True))
    return alt.vconcat(*panels, spacing=12)


def _scale(rows: Rows) -> alt.Scale:
    """Logarithmic where the slowest second is over fifty times the fastest: a stall must not flatten the rest."""
    values = [row["ms"] for row in rows if row["ms"] is not None]
    return alt.Scale(type="log") if max(values) > 50 * max(min(values), 0.05) else alt.Scale(zero=True)


def _panel(rows: Rows, name: str, title: str, colour: str, size: Size) -> Any:  # noqa: ANN401 - Altair's own
    mark = alt.Chart(alt.Data(values=rows)).mark_area(
        color=colour, opacity=0.25, line={"color": colour, "strokeWidth": 1.4}, interpolate="step-after"
    )
    y = alt.Y(f"{name}:Q", title=title, axis=alt.Axis(tickCount=3))
    return mark.encode(x=_x(size, labels=False), y=y).properties(width=size.width, height=70)


def _percentiles(curve: Sequence[CurvePoint], size: Size) -> Any:  # noqa: ANN401 - Altair's own
    rows: Rows = [
        {"x": 100 / (100 - point.percentile), "series": name, "ms": value}
        for point in curve
        for name, value in (("measured", point.measured_ms), ("corrected", point.corrected_ms))
    ]
    most = max(row["x"] for row in rows)
    ticks = [100 / (100 - at) for at in TICKS if 100 / (100 - at) <= most]
    label = "format(100 - 100 / datum.value, '~r') + ' %'"
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_line(strokeWidth=1.8)
        .encode(
            x=alt.X(
                "x:Q",
                title="share of requests that took at most so long",
                scale=alt.Scale(type="log", nice=False),
                axis=alt.Axis(values=ticks, labelExpr=label, grid=False),
            ),
            y=alt.Y("ms:Q", title="latency, ms", axis=alt.Axis(tickCount=6), scale=_scale(rows)),
            color=alt.Color("series:N", scale=alt.Scale(domain=["measured", "corrected"], range=[P50, P99])),
            strokeDash=alt.StrokeDash(
                "series:N", scale=alt.Scale(domain=["measured", "corrected"], range=[[5, 3], [1, 0]])
            ),
        )
        .properties(width=size.width, height=220)
    )


def _spans(endpoints: Sequence[Measure], size: Size) -> Any:  # noqa: ANN401 - Altair's own
    rows: Rows = [
        {"name": _drawable(row.title), "series": name, "ms": value}
        for row in endpoints
        if (of := row.measured)
        for name, value in (("p50", of.p50_ms), ("p95", of.p95_ms), ("p99", of.p99_ms))
    ]
    data = alt.Chart(alt.Data(values=rows))
    y = alt.Y("name:N", title=None, sort=None, axis=alt.Axis(labelLimit=size.width // 2))
    values = [row["ms"] for row in rows]
    scale = alt.Scale(type="log", nice=False, domain=[min(values) / 1.15, max(values) * 1.15])
    line = data.mark_line(color=GRID, strokeWidth=5).encode(y=y, x=alt.X("ms:Q", scale=scale), detail="name:N")
    points = data.mark_point(filled=True, size=70, opacity=1).encode(
        y=y,
        x=alt.X("ms:Q", title="latency, ms", scale=scale, axis=alt.Axis(tickCount=size.ticks // 2, format="~r")),
        color=alt.Color("series:N", scale=alt.Scale(domain=list(SERIES), range=list(SERIES.values()))),
    )
    return alt.layer(line, points).properties(width=size.width, height=40 + 24 * len(rows) // 3)


def _ratios(comparisons: Sequence[Comparison], size: Size) -> Any:  # noqa: ANN401 - Altair's own
    rows: Rows = [
        {"name": _drawable(f"{item.sli} of {item.endpoint}"), "ratio": item.ratio, "low": item.low, "high": item.high}
        for item in comparisons
    ]
    data = alt.Chart(alt.Data(values=rows))
    y = alt.Y("name:N", title=None, axis=alt.Axis(labelLimit=size.width // 2))
    x = alt.X(
        "low:Q", title="times the champion's", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=size.ticks // 2)
    )
    spans = data.mark_rule(color=P50, strokeWidth=3).encode(y=y, x=x, x2="high:Q")
    points = data.mark_point(color=P50, filled=True, size=70).encode(y=y, x="ratio:Q")
    limits = alt.Chart(alt.Data(values=[{"limit": item.limit} for item in comparisons]))
    line = limits.mark_rule(color=FAILED, strokeDash=[4, 3]).encode(x="limit:Q")
    return alt.layer(line, spans, points).properties(width=size.width, height=40 + 28 * len(rows))
