"""The tables of a report, once: terminal, page and summary lay out the same cells, each in its own way."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from seatrial.contracts.proof import Comparison, Grade, Latency, Measure, Outcome, Proof
from seatrial.grading.numbers import NOTHING, ms, rate, value
from seatrial.trials.report import words

TONES: dict[Outcome, str] = {"pass": "target", "fail": "poor", "not proven": "not proven"}
FAILURES = "Failures"
HELD = {True: "target", False: "poor", None: "not measured"}


@dataclass(frozen=True, slots=True)
class Cell:
    """Text with a tone, which is the name of a grade; `more` follows it without."""

    text: str
    tone: str = ""
    more: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A heading. `left` holds words, not numbers; `wide` is for where there is room: the page."""

    name: str
    left: bool = False
    wide: bool = False


Row = tuple[str | Cell, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table. `whole`: its last row is all the others together."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str = ""
    whole: bool = False

    def narrow(self) -> "Sheet":
        """Without the columns that need room."""
        kept = [index for index, column in enumerate(self.columns) if not column.wide]
        rows = tuple(tuple(row[index] for index in kept) for row in self.rows)
        return Sheet(self.title, tuple(self.columns[index] for index in kept), rows, self.note, self.whole)


def objectives(proof: Proof) -> Sheet:
    """Each objective with its value, its limits and its grade."""
    columns = (
        Column("objective", left=True), Column("value"), Column("measured"), Column("target"), Column("acceptable"),
        Column("samples", wide=True), Column("grade", left=True),
    )  # fmt: skip
    note = (
        "* critical. Latency is graded as corrected for coordinated omission: requests that were not sent while an "
        "answer was late count with the wait that they would have had; “measured” is what those who asked saw."
    )
    return Sheet("Objectives", columns, tuple(map(_objective, proof.grades)), note if proof.run.is_load else "")


def _objective(grade: Grade) -> Row:
    return (
        words.what(grade) + (" *" if grade.critical else ""),
        value(grade.value, grade.unit),
        value(grade.measured, grade.unit),
        grade.target or NOTHING,
        grade.acceptable or NOTHING,
        str(grade.samples),
        Cell(grade.grade, grade.grade, grade.reason),
    )


def champion(proof: Proof) -> Sheet:
    """The candidate against the champion."""
    names = ("indicator", "pairs", "champion", "candidate", "ratio", "95 % interval", "limit", "outcome")
    columns = tuple(Column(name, left=name in {"indicator", "outcome"}) for name in names)
    note = (
        "Milliseconds. Both were asked in turn, in blocks; the ratio is the median over pairs of blocks, and its "
        "interval a bootstrap over them."
    )
    return Sheet("Against the champion", columns, tuple(map(_comparison, proof.comparisons)), note)


def _comparison(item: Comparison) -> Row:
    return (
        f"{item.sli} of {item.endpoint}",
        str(item.pairs),
        ms(item.champion),
        ms(item.candidate),
        f"{item.ratio:.3f}",
        f"{item.low:.3f} to {item.high:.3f}",
        f"{item.limit:.2f}",
        Cell(item.outcome, TONES[item.outcome], item.reason),
    )


def answers(proof: Proof) -> Sheet:
    """Known answers of each model, asked in each way."""
    columns = (
        Column("model", left=True), Column("check", left=True), Column("right"), Column("worst difference"),
        Column("tolerance"), Column("example", left=True, wide=True),
    )  # fmt: skip
    rows = [
        (
            item.model_id,
            item.check,
            Cell(f"{item.right} of {item.cases}", "target" if item.right == item.cases else "poor"),
            f"{item.worst:.3g}",
            f"{item.tolerance:g}",
            item.example,
        )
        for item in proof.answers
    ]
    return Sheet("Known answers", columns, tuple(rows))


Figure = tuple[Column, Callable[[Measure], str]]


def endpoints(proof: Proof) -> Sheet:
    """Counts, rates and latencies of each endpoint; of a load also of all together, and corrected."""
    load = proof.run.is_load
    figures = (*_counts(), *_latencies(load=load))
    columns = (Column("endpoint" if load else "benchmark", left=True), *(column for column, _ in figures))
    measures = (*proof.endpoints, proof.total) if load else proof.endpoints
    rows: list[Row] = [
        (measure.title, *(Cell(told(measure), _tone(column, measure)) for column, told in figures))
        for measure in measures
    ]
    note = (
        "Latency in milliseconds, as measured and corrected for coordinated omission."
        if load
        else "Latency in milliseconds; variation is the standard deviation as a share of the mean."
    )
    return Sheet("Endpoints" if load else "Benchmarks", columns, tuple(rows), note, whole=load)


def _counts() -> Iterator[Figure]:
    yield Column("requests"), lambda measure: str(measure.requests)
    yield Column("failed"), lambda measure: str(measure.failures)
    yield Column("wrong", wide=True), lambda measure: str(measure.wrong_answers)
    yield Column("req/s"), lambda measure: rate(measure.rps)
    yield Column("good/s", wide=True), lambda measure: rate(measure.goodput_rps)


def _latencies(*, load: bool) -> Iterator[Figure]:
    yield Column("mean", wide=load), _of(lambda found: ms(found.mean_ms))
    yield Column("p50"), _of(lambda found: ms(found.p50_ms))
    yield Column("p95"), _of(lambda found: ms(found.p95_ms))
    yield Column("p99"), _of(lambda found: ms(found.p99_ms))
    yield Column("max", wide=True), _of(lambda found: ms(found.max_ms))
    if load:
        yield Column("corrected p95"), lambda measure: ms(measure.corrected.p95_ms if measure.corrected else None)
        yield Column("corrected p99"), lambda measure: ms(measure.corrected.p99_ms if measure.corrected else None)
    else:
        yield Column("variation"), _of(lambda found: value(found.variation, "%"))


def _of(told: Callable[[Latency], str]) -> Callable[[Measure], str]:
    return lambda measure: told(measure.measured) if measure.measured else NOTHING


def _tone(column: Column, measure: Measure) -> str:
    wrong = (column.name == "failed" and measure.failures) or (column.name == "wrong" and measure.wrong_answers)
    return "poor" if wrong else ""


def failures(proof: Proof) -> Sheet:
    """Kinds of failure, each with its first example."""
    columns = (
        Column("endpoint", left=True), Column("what came, the first time", left=True), Column("status", wide=True),
        Column("count"), Column("first at"),
    )  # fmt: skip
    rows = [
        (item.endpoint, item.fault, str(item.status or NOTHING), str(item.count), f"{item.first_second:.1f} s")
        for item in proof.failures
    ]
    return Sheet(FAILURES, columns, tuple(rows))


def checks(proof: Proof) -> Sheet:
    """What must hold for the run to count, and what else there is to know of the generator."""
    names = ("check", "received", "expected", "holds")
    rows: list[Row] = [
        (check.name, check.received, check.expected, Cell(words.holds(check.holds), HELD[check.holds]))
        for check in proof.checks
    ]
    if proof.run.offered_rps:
        late = f"{proof.run.generator.late_starts} of {proof.total.requests} requests"
        rows.append(("sent over 1 ms late", late, NOTHING, NOTHING))
    note = (
        "A generator that is late or busy measures itself: where one of these does not hold, nothing passes; and "
        "nothing fails but what its lag cannot explain."
    )
    return Sheet("Run and generator", tuple(Column(name, left=True) for name in names), tuple(rows), note)


def sheets(proof: Proof) -> Iterable[Sheet]:
    """All of them that have rows, in the order in which a reader asks."""
    made = (objectives, champion, answers, endpoints, failures, checks)
    return (sheet for sheet in (make(proof) for make in made) if sheet.rows)
