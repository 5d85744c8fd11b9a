"""`seatrial trial`: put a deployment on trial. Each command calls one verb and prints what it found."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from seatrial.cli.options import ApiKey
from seatrial.cli.terminal import console
from seatrial.contracts.proof import COULD_NOT_RUN, EXIT_CODES, USAGE_ERROR

if TYPE_CHECKING:
    from seatrial.contracts.proof import Proof, SloUsed
    from seatrial.trials.core.live import Live, Progress
    from seatrial.trials.proving import Part, Proven

app = typer.Typer(
    help="Put any deployment under realistic load, check its answers, and grade it.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 pass, 1 fail, 2 usage, 3 not proven, 4 could not run.",
)

TargetUrl = Annotated[
    str, typer.Option("--target", envvar="SEATRIAL_TARGET", help="URL of the server. [default: http://127.0.0.1:8000]")
]
TargetFile = Annotated[
    Path | None, typer.Option("--target-file", help="What to ask an API that is no Seatrial: paths, bodies, answers.")
]
SloFile = Annotated[str, typer.Option("--slo", help="An SLO file, or default (the floors), or strict.")]
Out = Annotated[
    Path | None, typer.Option("--out", help="A new folder for records and reports. [default: ./trials/<time>]")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print report.json instead of tables.")]


@app.command()
def load(  # noqa: PLR0913, PLR0917 - one option a choice
    plan: Annotated[str, typer.Argument(help="smoke, baseline, medium, high, stress, or the path of a plan file.")],
    target: TargetUrl = "",
    target_file: TargetFile = None,
    api_key: ApiKey = "",
    slo: SloFile = "default",
    out: Out = None,
    users: Annotated[int | None, typer.Option(min=0, help="Users, instead of the plan's.")] = None,
    duration: Annotated[str | None, typer.Option(help="How long, such as 60s or 5m, instead of the plan's.")] = None,
    classes: Annotated[str, typer.Option(help="Classes of users, with commas, instead of the plan's.")] = "",
    processes: Annotated[int, typer.Option(min=1, max=64, help="Processes of the load generator.")] = 1,
    as_json: AsJson = False,  # noqa: FBT002 - typer's flag
) -> None:
    """Run a load plan: users of a closed loop, who think, ask and wait for the answer."""
    with _exit_codes():
        from seatrial.trials import verbs

        names = tuple(name.strip() for name in classes.split(",") if name.strip())
        options = verbs.LoadOptions(users, duration, names, processes)
        where = verbs.find_target(target, api_key, target_file)
        with _run(slo, out) as (used, folder, progress):
            proof = verbs.load(plan, where, used, folder, options, progress)
        _end(proof, folder, as_json=as_json)


@app.command("open")
def open_loop(  # noqa: PLR0913, PLR0917 - one option a choice
    rate: Annotated[float, typer.Option(min=0.1, max=100_000, help="Requests a second; with --find-knee, the first.")],
    duration: Annotated[str, typer.Option(help="How long, such as 20s; with --find-knee, each step.")] = "20s",
    target: TargetUrl = "",
    target_file: TargetFile = None,
    api_key: ApiKey = "",
    slo: SloFile = "default",
    out: Out = None,
    arrivals: Annotated[str, typer.Option(help="constant, or poisson.")] = "constant",
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds after which an answer is given up.")] = 30.0,
    seed: Annotated[int, typer.Option(help="Makes arrivals and questions repeatable.")] = 1,
    find_knee: Annotated[bool, typer.Option("--find-knee", help="Search the highest rate that holds.")] = False,  # noqa: FBT002 - typer's flag
    as_json: AsJson = False,  # noqa: FBT002 - typer's flag
) -> None:
    """Send requests when they are due, however slow the answers are: an open loop."""
    with _exit_codes():
        from seatrial.trials import verbs
        from seatrial.trials.load.openloop.arrivals import read_arrivals
        from seatrial.trials.load.openloop.engine import OpenLoad

        load = OpenLoad(rate, verbs.seconds(duration), read_arrivals(arrivals), timeout, seed)
        where = verbs.find_target(target, api_key, target_file)
        with _run(slo, out) as (used, folder, progress):
            if find_knee:
                knee = verbs.find_knee(load, where, used, folder, progress)
            else:
                proof = verbs.open_loop(load, where, used, folder, progress)
        if not find_knee:
            _end(proof, folder, as_json=as_json)
        typer.echo(knee.as_json() if as_json else knee.told, nl=not as_json)
        raise typer.Exit(EXIT_CODES[knee.outcome])


@app.command()
def golden(
    model: Annotated[
        list[str] | None,
        typer.Option(help="A model, as name:version; may be given again. [default: all in production]"),
    ] = None,
    target: TargetUrl = "",
    api_key: ApiKey = "",
    slo: SloFile = "default",
    out: Out = None,
    as_json: AsJson = False,  # noqa: FBT002 - typer's flag
) -> None:
    """Check known answers: one by one against the record, and in batches of every size."""
    with _exit_codes():
        from seatrial.trials import verbs

        where = verbs.find_target(target, api_key, None)
        with _run(slo, out) as (used, folder, progress):
            proof = verbs.golden(model or (), where, used, folder, progress)
        _end(proof, folder, as_json=as_json)


@app.command()
def bench(  # noqa: PLR0913, PLR0917 - one option a choice
    target: TargetUrl = "",
    against: Annotated[str, typer.Option(help="URL of the champion, measured in turn with the target.")] = "",
    against_key: Annotated[
        str, typer.Option(envvar="SEATRIAL_AGAINST_API_KEY", help="The champion's bearer token.", show_envvar=True)
    ] = "",
    target_file: TargetFile = None,
    api_key: ApiKey = "",
    slo: SloFile = "default",
    out: Out = None,
    pairs: Annotated[int, typer.Option(min=1, max=1000, help="Pairs of blocks; fewer than 10 cannot pass.")] = 10,
    block: Annotated[str, typer.Option(help="How long each block takes.")] = "5s",
    save_baseline: Annotated[bool, typer.Option("--save-baseline", help="Keep as this machine's baseline.")] = False,  # noqa: FBT002 - typer's flag
    baselines: Annotated[Path, typer.Option(help="Where baselines are kept.")] = Path("trials/baselines"),
    as_json: AsJson = False,  # noqa: FBT002 - typer's flag
) -> None:
    """Benchmark the endpoints; with --against, say whether the target is slower than the champion."""
    with _exit_codes():
        from seatrial.trials import verbs
        from seatrial.trials.bench import BenchOptions
        from seatrial.trials.report.compare import render
        from seatrial.trials.report.words import moment

        where = verbs.find_target(target, api_key, target_file)
        champion = verbs.find_target(against, against_key, target_file) if against else None
        options = BenchOptions(pairs, verbs.seconds(block, "--block"))
        with _run(slo, out) as (used, folder, progress):
            proof = verbs.bench(where, champion, used, folder, options, progress)
        beside = verbs.beside_baseline(proof, baselines, where, folder)
        kept = verbs.keep_baseline(proof, baselines, where) if save_baseline else None
        _show(proof, folder, as_json=as_json)
        if beside and not as_json:
            typer.echo(f"\nThe baseline of this machine, of {moment(beside.first.run.started)}, and this run:")
            console().print(render(beside))
        if save_baseline:
            typer.echo(f"Baseline: {kept or 'not kept, since only a run that passes can be one'}", err=as_json)
        raise typer.Exit(EXIT_CODES[proof.verdict.outcome])


@app.command()
def prove(  # noqa: PLR0913, PLR0917 - one option a choice
    model: Annotated[str, typer.Option(help="The version to prove, as name:version.")],
    plan: Annotated[str, typer.Option(help="The load plan. [default: what its next stage asks for]")] = "",
    submit: Annotated[bool, typer.Option("--submit", help="Hand each proof in to the server's gate.")] = False,  # noqa: FBT002 - typer's flag
    target: TargetUrl = "",
    api_key: ApiKey = "",
    slo: Annotated[str | None, typer.Option("--slo", help="An SLO file. [default: the server's own]")] = None,
    out: Out = None,
    duration: Annotated[str | None, typer.Option(help="How long the load takes, such as 60s.")] = None,
    processes: Annotated[int, typer.Option(min=1, max=64, help="Processes of the load generator.")] = 1,
    pairs: Annotated[int, typer.Option(min=1, max=1000, help="Pairs of blocks against what serves now.")] = 10,
    block: Annotated[str, typer.Option(help="How long each block takes.")] = "5s",
    again: Annotated[bool, typer.Option("--again", help="Also what the gate holds proven already.")] = False,  # noqa: FBT002 - typer's flag
    as_json: Annotated[bool, typer.Option("--json", help="Print the gate's answer as JSON, and nothing else.")] = False,  # noqa: FBT002 - typer's flag
) -> None:
    """Prove a version for its next stage: everything that the server's gate asks for, one trial after the other."""
    with _exit_codes():
        from seatrial.grading.spec import read_slo
        from seatrial.trials import proving, verbs
        from seatrial.trials.bench import BenchOptions

        where = replace(verbs.find_target(target, api_key, None), model=model)
        used, folder = read_slo(slo) if slo else None, verbs.new_folder(out)
        bench = BenchOptions(pairs, verbs.seconds(block, "--block"))
        options = proving.ProveOptions(plan, duration, processes, bench, submit=submit, again=again)
        with _progress() as progress:
            for part in proving.prove(where, used, folder, options, progress):
                if isinstance(part, proving.Proven):
                    whole = part
                elif not as_json:
                    _show_part(part)
        _show_gate(whole, folder, as_json=as_json)
        raise typer.Exit(EXIT_CODES[whole.outcome])


def _show_part(part: "Part") -> None:
    """One proof in a line, and what the server says of it."""
    from seatrial.trials.report import words

    found = part.proof.verdict
    typer.echo(f"{part.need:<12} {words.verdict(found)}, score {words.score(found)}: {words.load(part.proof)}")
    for reason in part.proof.verdict.reasons if part.proof.verdict.outcome != "pass" else ():
        typer.echo(f"{'':<12} {reason}")
    if part.answer:
        typer.echo(f"{'':<12} {'handed in: ' if part.answer.taken else 'NOT TAKEN: '}{part.answer.told}")


def _show_gate(whole: "Proven", folder: Path, *, as_json: bool) -> None:
    """The gate's table, and where the files are."""
    from seatrial.cli.gate import render
    from seatrial.contracts.gate import decision_adapter

    decision = whole.decision
    if as_json:
        typer.echo(decision_adapter.dump_json(decision, indent=2).decode())
        return
    if whole.submitted:
        console(width=160).print(render(decision))
        verdict = "may move to" if decision.allowed else "is not proven for"
        typer.echo(f"\n{decision.model_id} {verdict} {decision.new_stage}.")
    else:
        typer.echo("\nNothing was handed in: --submit does.")
    typer.echo(f"Reports: {folder}/<proof>/report.html")


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="The folder of a run.")],
    slo: Annotated[str | None, typer.Option("--slo", help="Grade it anew, by this SLO file.")] = None,
    as_json: AsJson = False,  # noqa: FBT002 - typer's flag
) -> None:
    """Make every report of a run again, from its records."""
    with _exit_codes():
        from seatrial.trials import verbs

        _end(verbs.report(folder, slo), folder, as_json=as_json)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="The folder of a run.")],
    second: Annotated[Path, typer.Argument(help="The folder of another.")],
    out: Annotated[Path | None, typer.Option("--out", help="A new folder for compare.html and compare.json.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print compare.json instead of a table.")] = False,  # noqa: FBT002 - typer's flag
) -> None:
    """Show two runs side by side."""
    with _exit_codes():
        from seatrial.trials import verbs
        from seatrial.trials.report.compare import as_document, render

        compared = verbs.side_by_side(first, second, out)
        if as_json:
            typer.echo(as_document(compared), nl=False)
        else:
            console().print(render(compared))


@contextmanager
def _exit_codes() -> Iterator[None]:
    """What stops a trial, as an exit code and one text on standard error."""
    from seatrial.grading.toml import WrongFile
    from seatrial.trials.core.errors import CouldNotRun

    ending = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    except WrongFile as error:
        typer.echo(f"seatrial: {error}", err=True)
        raise typer.Exit(USAGE_ERROR) from error
    except ModuleNotFoundError as error:
        if not error.name or error.name.startswith("seatrial"):
            raise
        typer.echo(
            f"seatrial: trials need {error.name}, which is not installed; "
            "run scripts/setup in a checkout, or pip install '.[load]'",
            err=True,
        )
        raise typer.Exit(USAGE_ERROR) from error
    except CouldNotRun as error:
        typer.echo(f"seatrial: could not run: {error}", err=True)
        raise typer.Exit(COULD_NOT_RUN) from error
    except OSError as error:  # a full disk, a folder that may not be written
        typer.echo(f"seatrial: could not run: {error}", err=True)
        raise typer.Exit(COULD_NOT_RUN) from error
    finally:
        for number, handler in ending.items():
            signal.signal(number, handler)


def _interrupt(_: int, frame: FrameType | None) -> None:
    """SIGTERM and SIGHUP end a trial as Ctrl-C does: its generators with it, its records kept."""
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):  # who was started in the background of a shell does not hear SIGINT
        raise KeyboardInterrupt
    handler(signal.SIGINT, frame)


@contextmanager
def _run(slo: str, out: Path | None) -> Iterator[tuple["SloUsed", Path, "Progress"]]:
    """What every run needs: the SLO file, a new folder, and somebody to tell."""
    from seatrial.grading.spec import read_slo
    from seatrial.trials import verbs

    used, folder = read_slo(slo), verbs.new_folder(out)
    with _progress() as progress:
        yield used, folder, progress


def _end(proof: "Proof", folder: Path, *, as_json: bool) -> None:
    """Show the proof, and leave with its exit code."""
    _show(proof, folder, as_json=as_json)
    raise typer.Exit(EXIT_CODES[proof.verdict.outcome])


def _show(proof: "Proof", folder: Path, *, as_json: bool) -> None:
    """Print the proof, and where its files are."""
    from seatrial.trials.report.files import report_json
    from seatrial.trials.report.text import render

    if as_json:
        sys.stdout.buffer.write(report_json(proof))
        sys.stdout.flush()
    else:
        console().print(render(proof))
        typer.echo(f"\nReport: {folder / 'report.html'}")


@contextmanager
def _progress() -> Iterator["Progress"]:
    """A line on standard error that follows the run; nothing where that is no terminal."""
    from rich.live import Live as Display

    errors = console(stderr=True)
    if not errors.is_terminal:
        yield lambda _: None
        return
    with Display(console=errors, transient=True, refresh_per_second=4) as display:
        yield lambda live: display.update(_told(live))


def _told(live: "Live") -> str:
    from seatrial.grading.numbers import ms, rate

    bar = "━" * int(24 * live.elapsed_s / live.duration_s) if live.duration_s else ""
    latencies = " / ".join(ms(value) for value in (live.p50_ms, live.p95_ms, live.p99_ms))
    failed = f"[bold red]{live.failures} failed[/]" if live.failures else "0 failed"
    return (
        f"[bold]{live.phase}[/] [green]{bar:<24}[/] {live.elapsed_s:.0f} of {live.duration_s:.0f} s  "
        f"{live.users} users  {rate(live.rps)} requests/s  {live.requests} requests, {failed}\n"
        f"p50 / p95 / p99 of the last seconds: {latencies} ms"
    )
