"""Brings `docs/explanation/performance.md` and its chart to what the last runs measured; run as a module."""

import json
import sys
from collections.abc import Sequence
from typing import Any

import altair as alt
import vl_convert
from benchmarks import harness

ROOT = harness.ROOT.parent
PAGE = ROOT / "docs" / "explanation" / "performance.md"
FAULTS_PAGE = ROOT / "docs" / "explanation" / "reliability.md"
CHART = ROOT / "docs" / "img" / "peers.svg"
BEGIN, END = "<!-- made by `python -m benchmarks.page` -->", "<!-- end of what was made -->"
OURS = "#0f766e"
THEIRS = "#94a3b8"


def results(name: str) -> dict[str, Any]:
    """What a benchmark measured."""
    found: dict[str, Any] = json.loads((harness.RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def with_interval(ratio: Sequence[float], digits: int = 2) -> str:
    """A median and its 95 % interval."""
    middle, low, high = (f"{value:.{digits}f}" for value in ratio)
    return f"**{middle}** ({low} to {high})"


def thousands(value: float) -> str:
    """A number that people can read."""
    return f"{value:,.0f}".replace(",", " ")


def peers_table(peers: dict[str, Any]) -> list[str]:
    """Ours against each of them, the fastest first."""
    lines = ["| | requests/s | CPU us a request | p99 ms | Seatrial is |", "|---|---|---|---|---|"]
    for peer in sorted(peers["peers"], key=lambda row: -row["requests_per_second"]):
        figures = f"{thousands(peer['requests_per_second'])} | {thousands(peer['cpu_us'])} | {peer['p99_ms']:.1f}"
        lines.append(
            f"| {peer['name']} ({peer['version']}) | {figures} | {with_interval(peer['times'], 1)} times faster |"
        )
    return lines


def scaling_table(scaling: dict[str, Any]) -> list[str]:
    """From one caller to 256."""
    lines = ["| callers at once | requests/s | p99 ms | of the ceiling | its p99 ms |", "|---|---|---|---|---|"]
    for row in scaling["connections"]:
        rate, p99 = thousands(row["requests_per_second"]), f"{row['p99_ms']:.1f}"
        share, theirs = with_interval(row["ratio"]), f"{row['ceiling_p99_ms']:.1f}"
        lines.append(f"| {row['connections']} | {rate} | {p99} | {share} | {theirs} |")
    return lines


def rest() -> list[tuple[str, str, str]]:
    """What else was measured: what, how much, and of what."""
    batch, cache, overload = results("batch"), results("cache"), results("overload")
    users, scaling, soak, replicas = results("users"), results("scaling"), results("soak"), results("replicas")
    return [
        (
            f"`/predict/batch`, {batch['rows']} images of JSON",
            with_interval(batch["ratio"]),
            "of the images that ONNX Runtime alone answers in a loop, in batches of the size that it likes best",
        ),
        (
            "A hit in the cache",
            with_interval(cache["hit_cpu"]),
            f"of the CPU time of a miss; {with_interval(cache['hit_cpu_without'])} of a prediction without a cache",
        ),
        (
            "Traffic in which nothing is asked twice, with the cache on",
            with_interval(cache["unique_rate"]),
            "of the requests/s without a cache",
        ),
        (
            f"A 5 ms model, asked twice as often as it can for {overload['seconds']:.0f} s",
            f"**{overload['share']:.0%}**",
            (
                f"of its peak ({overload['peak']:.0f}/s) is answered in time; {overload['refused']} refusals took "
                f"{overload['refusal_p99_ms']:.0f} ms (p99); as before {overload['normal_s']:.1f} s after"
            ),
        ),
        (
            "Digits meanwhile",
            f"**{overload['digits_ms']:.1f} ms**",
            f"p99, {overload['digits_before_ms']:.1f} ms before; health and metrics answered throughout",
        ),
        (
            f"{users['users']} people who ask for digits, {users['seconds']} s of Locust",
            f"**{users['p99_ms']:.1f} ms**",
            (
                f"p99 ({users['floor_p99_ms']:.1f} where the same people ask a server that does nothing); "
                f"{users['failures']} of {thousands(users['requests'])} failed"
            ),
        ),
        (
            "Two workers on two cores, which the generator shares",
            with_interval(scaling["two_workers"]),
            "times the requests/s of one",
        ),
        (
            f"Two replicas behind HAProxy, over PostgreSQL and Redis, on {replicas['cores']} cores for all of it",
            with_interval(replicas["ratio"]),
            f"times the requests/s of one ({thousands(replicas['two'])} and {thousands(replicas['one'])})",
        ),
        (
            f"{soak['minutes']:.0f} minutes at half of what it can, {thousands(soak['rate'])} requests/s",
            f"**{soak['resident_mb_per_hour']:+.1f} MB**",
            (
                f"of memory an hour ({soak['resident_mb'][1]:.0f} MB at the end), {soak['descriptors'][1]} descriptors "
                f"throughout; {soak['failed']} of {thousands(soak['asked'])} failed"
            ),
        ),
    ]


def render() -> str:
    """The part of the page between the marks."""
    ceiling, peers, scaling = results("ceiling"), results("peers"), results("scaling")
    pairs = [[pair[side] for pair in ceiling["pairs"]] for side in ("a", "b")]

    def median(side: int, name: str) -> float:
        values = sorted(block[name] for block in pairs[side])
        return float(values[len(values) // 2])

    rows = [("requests/s", "requests_per_second", "ratio"), ("CPU time for a request, us", "cpu_us", "cpu_ratio")]
    lines = ["| | Seatrial | ceiling | ratio (95 % interval) |", "|---|---|---|---|"]
    lines += [
        f"| {label} | {thousands(median(0, field))} | {thousands(median(1, field))} | {with_interval(ceiling[ratio])} |"
        for label, field, ratio in rows
    ]
    lines.append(f"| p99 at 32 connections, ms | {median(0, 'p99_ms'):.1f} | {median(1, 'p99_ms'):.1f} | |")
    machine = ceiling["machine"]
    lines += [
        "",
        (
            f"{len(ceiling['pairs'])} interleaved pairs of blocks on {machine['cores']} cores of {machine['cpu']}, "
            f"Python {machine['python']}; each server had one core, the generator the other."
        ),
        "",
        *scaling_table(scaling),
        "",
        "![Requests a second of each server, as a share of the ceiling](../img/peers.svg)",
        "",
        *peers_table(peers),
        "",
        "| | | |",
        "|---|---|---|",
        *(f"| {what} | {figure} | {of} |" for what, figure, of in rest()),
    ]
    return "\n".join(lines) + "\n"


def faults_table() -> str:
    """What became of an open load during each fault, and of half an hour with one each minute."""
    faults, chaos = results("faults"), results("chaos")
    lines = [
        f"| under {faults['rate']} requests/s | for | failed | wrong | p99 before | meanwhile | writes |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in faults["faults"]:
        writes = "; ".join(
            part
            for part in (
                row["note"].removeprefix("writes: "),
                "" if row["recovery_s"] is None else f"again {max(0.1, row['recovery_s']):.1f} s after",
            )
            if part
        )
        failed = f"**{row['failed']}** of {thousands(row['asked'])}"
        p99 = f"{row['before_ms']:.0f} ms | {row['during_ms']:.0f} ms"
        lines.append(f"| {row['name']} | {row['seconds']:.0f} s | {failed} | {row['wrong']} | {p99} | {writes} |")
    slopes = " and ".join(f"{slope:+.1f}" for slope in chaos["mb_per_hour"])
    return "\n".join(
        [
            *lines,
            "",
            (
                f"{chaos['minutes']} minutes of mixed load, {chaos['faults']} faults: of {thousands(chaos['asked'])} "
                f"requests **{chaos['failed']}** failed and **{chaos['wrong']}** were answered wrongly; of "
                f"{chaos['acknowledged']} writes that were acknowledged **{chaos['lost']}** were lost, and "
                f"{chaos['refused']} were refused with a time to come again. The memory of the replicas that ran "
                f"longest changed by {slopes} MB an hour, and was {chaos['mb']:.0f} MB at most."
            ),
            "",
        ]
    )


def chart() -> str:
    """Requests a second of all, as shares of the ceiling, as SVG."""
    ceiling, peers = results("ceiling"), results("peers")
    share = ceiling["ratio"][0]
    rows = [{"server": "Seatrial, everything on", "share": share, "who": "ours"}]
    rows.append({"server": "the ceiling: bare ASGI", "share": 1.0, "who": "theirs"})
    rows += [{"server": peer["name"], "share": share / peer["times"][0], "who": "theirs"} for peer in peers["peers"]]
    order = [row["server"] for row in sorted(rows, key=lambda row: -float(row["share"]))]
    widest = alt.Scale(domain=[0, 1.1 * max(float(row["share"]) for row in rows)])
    title, plain = "requests a second, as a share of the ceiling", alt.Axis(format=".1f", grid=False)
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        y=alt.Y("server:N", sort=order, title=None, axis=alt.Axis(labelLimit=420, ticks=False, domain=False)),
        x=alt.X("share:Q", title=title, axis=plain, scale=widest),
    )
    bars = base.mark_bar(height=18, cornerRadiusEnd=2).encode(
        color=alt.Color("who:N", scale=alt.Scale(domain=["ours", "theirs"], range=[OURS, THEIRS]), legend=None)
    )
    text = base.mark_text(align="left", dx=5).encode(text=alt.Text("share:Q", format=".2f"))
    whole = (bars + text).properties(width=460, height=alt.Step(26)).configure_view(stroke=None)
    styled = whole.configure(font="Helvetica, Arial, sans-serif", background="white", padding=12)
    svg: str = vl_convert.vegalite_to_svg(styled.to_dict())
    return svg


def replaced(text: str, made: str) -> str:
    """The page with another part between the marks."""
    before, _, rest_ = text.partition(BEGIN)
    _, _, after = rest_.partition(END)
    return f"{before}{BEGIN}\n\n{made}\n{END}{after}"


def main() -> int:
    """Write both."""
    PAGE.write_text(replaced(PAGE.read_text(encoding="utf-8"), render()), encoding="utf-8")
    FAULTS_PAGE.write_text(replaced(FAULTS_PAGE.read_text(encoding="utf-8"), faults_table()), encoding="utf-8")
    CHART.write_text(chart(), encoding="utf-8")
    print(", ".join(str(path.relative_to(ROOT)) for path in (PAGE, FAULTS_PAGE, CHART)) + " say what was measured")
    return 0


if __name__ == "__main__":
    sys.exit(main())
