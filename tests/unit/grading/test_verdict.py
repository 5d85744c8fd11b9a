"""Grades and verdicts: what passes, what fails, and what proves nothing."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from pydantic import TypeAdapter
from tests.fakes.runs import ANSWER, GOOD_GENERATOR, bench, closed_loop, open_loop, pairs, run, stalled, steady

from seatrial.contracts.proof import EXIT_CODES, AnswerCheck, Grade, Proof, state, statement_adapter
from seatrial.contracts.record import Generator, MemoryReading, Run, Sample
from seatrial.contracts.slo import Objective, Slo, Total, slo_adapter
from seatrial.grading.histogram import decode
from seatrial.grading.spec import read_slo
from seatrial.grading.toml import WrongFile
from seatrial.trials.measure.prove import prove

DEFAULT = read_slo("default")


def slo(*objectives: Objective) -> Slo:
    return slo_adapter.validate_python({"schema": "seatrial/slo/v1", "objective": objectives})


def proof(run: Run, samples: list[Sample], *objectives: Objective) -> Proof:
    return prove(run, samples, replace(DEFAULT, document=slo(*objectives)) if objectives else DEFAULT)


def closed(latency: Callable[[float], float] = steady, **facts: object) -> tuple[Run, list[Sample]]:
    of = run(**facts)  # type: ignore[arg-type]
    return of, list(closed_loop(of, latency))


def graded(found: Proof, sli: str) -> Grade:
    (grade,) = [grade for grade in found.grades if grade.sli == sli]
    return grade


def test_a_good_run_passes() -> None:
    """All on target: 100 %, exit code 0, PASSED in in-toto's words."""
    found = proof(*closed())

    assert (found.verdict.outcome, found.verdict.score, found.result) == ("pass", 1.0, "PASSED")
    assert EXIT_CODES[found.verdict.outcome] == 0


def test_a_stall_fails_though_the_measured_p95_is_fine() -> None:
    """10 s in which nobody is answered: the corrected percentiles fail, the measured stand beside."""
    found = proof(*closed(stalled))
    p95, p99 = graded(found, "p95_ms"), graded(found, "p99_ms")

    assert (found.verdict.outcome, found.result) == ("fail", "FAILED")
    assert p99.value is not None
    assert p99.value >= 5000
    assert p95.measured is not None
    assert p95.measured < 7
    assert found.verdict.reasons[0].startswith("p95_ms of all is 7")


def test_an_empty_run_proves_nothing() -> None:
    """No requests: not proven, exit code 3, never a pass."""
    found = proof(run(users=0), [])

    assert (found.verdict.outcome, found.verdict.reasons) == ("not proven", ("requests: 0; expected at least 1",))
    assert EXIT_CODES[found.verdict.outcome] == 3


def test_too_few_samples_prove_nothing() -> None:
    """A p95 needs 59 requests, whatever they show."""
    facts, samples = open_loop(5, 10)
    found = proof(facts, samples, Objective(sli="p95_ms", target="<= 1", critical=True))

    assert found.grades[0].grade == "not proven"
    assert found.verdict.outcome == "not proven"
    assert found.verdict.reasons == ("p95_ms of all: 50 samples, 59 needed",)


@pytest.mark.parametrize(
    ("generator", "name"),
    [
        (replace(GOOD_GENERATOR, cpu=0.95), "CPU of a generator process"),
        (replace(GOOD_GENERATOR, ceiling_rps=50.0), "rate within the generator's ceiling"),
        (replace(GOOD_GENERATOR, steal=0.2), "steal"),
        (replace(GOOD_GENERATOR, faults=("process 2 ended with -9",)), "generator ran whole"),
    ],
)
@pytest.mark.parametrize("latency", [steady, stalled])
def test_a_starved_generator_proves_nothing(generator: Generator, name: str, latency: Callable[[float], float]) -> None:
    """It can neither pass a service nor fail one."""
    found = proof(*closed(latency, generator=generator))

    assert found.verdict.outcome == "not proven"
    assert found.verdict.reasons[0].startswith(name)


@pytest.mark.parametrize(
    ("latency", "lag_ms", "outcome"),
    [(steady, 40.0, "not proven"), (stalled, 40.0, "fail"), (stalled, 4000.0, "not proven")],
)
def test_a_late_generator_cannot_pass_and_fails_only_what_its_lag_cannot_explain(
    latency: Callable[[float], float], lag_ms: float, outcome: str
) -> None:
    """Answers that come all at once after a stall hold up our own sends; the stall is the service's all the same."""
    found = proof(*closed(latency, generator=replace(GOOD_GENERATOR, lag_p99_ms=lag_ms)))

    assert found.verdict.outcome == outcome


def test_wrong_answers_fail_however_late_the_generator_was() -> None:
    """No lag makes an answer wrong; a rate it may have spoilt."""
    facts, samples = open_loop(500, 20)
    late = replace(facts, generator=replace(facts.generator, lag_p99_ms=40.0))
    wrong = [replace(sample, ok=False, fault="wrong answer: 1, not 7") for sample in samples]
    rate = Objective(sli="rps", target=">= 1000", critical=True)

    assert proof(late, wrong).verdict.outcome == "fail"
    assert proof(late, samples, rate).verdict.outcome == "not proven"
    assert proof(facts, samples, rate).verdict.outcome == "fail"


@pytest.mark.parametrize("in_time", [970, 0, None])
def test_a_rate_that_was_not_reached_proves_nothing(in_time: int | None) -> None:
    """An open loop that came to less than 98 % of what was due before its time was over, though it sent all later."""
    facts, samples = open_loop(100, 10)
    found = proof(replace(facts, generator=replace(facts.generator, in_time=in_time)), samples)

    assert found.verdict.reasons[0] == f"achieved / offered: {(in_time or 0) / 1000:.3f}; expected at least 0.98"


def test_requests_that_left_no_record_were_not_sent() -> None:
    """Whatever the generator says of itself."""
    facts, samples = open_loop(100, 20)
    found = proof(facts, samples[: int(len(samples) * 0.97)])

    assert found.verdict.reasons[0] == "achieved / offered: 0.970; expected at least 0.98"


def test_what_was_not_measured_does_not_void_a_run() -> None:
    """Where the system does not tell steal, that is told, and the rest counts."""
    found = proof(*closed(generator=replace(GOOD_GENERATOR, steal=None)))

    assert found.verdict.outcome == "pass"
    assert [check.holds for check in found.checks if check.name == "steal"] == [None]


def test_a_run_that_drifts_does_not_pass_but_may_fail() -> None:
    """No steady state: a good p95 proves nothing, a bad one fails all the same."""
    facts, samples = closed(lambda second: 5 + max(0.0, second - 20))

    assert proof(facts, samples, Objective(sli="p95_ms", target="<= 500")).verdict.outcome == "not proven"
    assert proof(facts, samples, Objective(sli="p95_ms", target="<= 1", critical=True)).verdict.outcome == "fail"


@pytest.mark.parametrize(
    ("every", "count", "outcome"), [(100, 10_000, "fail"), (100, 1000, "not proven"), (0, 10_000, "pass")]
)
@pytest.mark.parametrize("fault", ["status 500, expected 200", "wrong answer: answer 0 expected 7, received 1"])
def test_rare_faults_need_many_requests(every: int, count: int, outcome: str, fault: str) -> None:
    """Errors and wrong answers fail an open run of 10 000 requests; fewer prove nothing either way."""
    facts, samples = open_loop(500, count / 500)
    if every:
        samples[::every] = [replace(sample, ok=False, fault=fault) for sample in samples[::every]]

    assert proof(facts, samples).verdict.outcome == outcome


@pytest.mark.parametrize(
    ("value", "grade"), [(5.0, "target"), (15.0, "acceptable"), (40.0, "marginal"), (60.0, "poor")]
)
def test_grades(value: float, grade: str) -> None:
    """Target, acceptable, then marginal up to the poor limit."""
    facts, samples = open_loop(50, 10)
    objective = Objective(sli="p95_ms", target="<= 10", acceptable="<= 20", poor="> 50")
    found = proof(facts, [replace(sample, latency_ms=value) for sample in samples], objective)

    assert found.grades[0].grade == grade


def test_a_limit_that_nobody_stated_is_unverifiable() -> None:
    """An objective without limits neither passes nor counts."""
    found = proof(*closed(), Objective(sli="p95_ms"))

    assert (found.grades[0].grade, found.verdict.outcome) == ("unverifiable", "not proven")


@pytest.mark.parametrize(("machine", "grades"), [("run's", "fail"), ("another", "pass")])
def test_limits_of_time_bind_on_the_machine_that_they_were_set_for(machine: str, grades: str) -> None:
    """Elsewhere they are unverifiable; failures are failures everywhere."""
    digest = {"run's": "sha256:" + "a" * 64, "another": "sha256:" + "b" * 64}[machine]
    facts, samples = closed()
    here = replace(facts, machine=replace(facts.machine, digest="sha256:" + "a" * 64))
    limits = [Objective(sli="p95_ms", target="<= 1", critical=True), Objective(sli="error_ratio", target="<= 0%")]
    found = prove(here, samples, replace(DEFAULT, document=replace(slo(*limits), machine=digest)))

    assert found.verdict.outcome == grades
    assert [grade.grade for grade in found.grades] == [
        "poor" if grades == "fail" else "unverifiable", "target",
    ]  # fmt: skip


def test_a_metric_of_an_endpoint_that_was_not_asked_is_not_proven() -> None:
    """A missing metric is not a pass."""
    found = proof(*closed(), Objective(sli="mean_ms", endpoint="GET /models", target="<= 1"))

    assert (found.grades[0].grade, found.verdict.outcome) == ("not proven", "not proven")


def test_marginal_runs_pass_and_say_so() -> None:
    """A score between the two conditions: exit code 0, WARNED in in-toto's words."""
    good = [Objective(sli="p95_ms", target="<= 100")] * 4
    found = proof(*closed(), *good, Objective(sli="mean_ms", target="<= 0.1"))

    assert (found.verdict.outcome, found.verdict.marginal, found.result) == ("pass", True, "WARNED")
    assert found.verdict.reasons[0] == "the score is 80%; 90% is needed"


@pytest.mark.parametrize("passing", ["score >= 50% and no critical below acceptable", "score >= 50%"])
def test_what_is_critical_fails_whatever_the_score(passing: str) -> None:
    """No wording of the total makes a critical objective less so."""
    objectives = [Objective(sli="p95_ms", target="<= 100"), Objective(sli="mean_ms", target="<= 0.1", critical=True)]
    total = TypeAdapter(Total).validate_python({"pass": passing, "marginal": "score >= 50%"})
    found = prove(*closed(), replace(DEFAULT, document=replace(slo(*objectives), total=total)))

    assert (found.verdict.outcome, found.verdict.score) == ("fail", 0.5)


def test_acceptable_everywhere_is_a_pass_however_many_there_are() -> None:
    """The mean of twenty-one times 0.9 is 0.9."""
    found = proof(*closed(), *[Objective(sli="p95_ms", target="<= 1", acceptable="<= 100")] * 21)

    assert (found.verdict.outcome, found.verdict.marginal) == ("pass", False)
    assert found.verdict.score == pytest.approx(0.9)


@pytest.mark.parametrize("stall", [(9, 19), (10, 20), (12, 22)])
def test_a_stall_at_the_start_is_no_warm_up(stall: tuple[int, int]) -> None:
    """Who waits when the ramp ends, or five seconds after it, waits: ten seconds are not hidden in a run's start."""
    begin, end = stall
    found = proof(*closed(lambda second: (end - second) * 1000 if begin <= second < end else steady(second)))

    assert found.verdict.outcome == "fail"
    assert found.total.corrected is not None
    assert found.total.corrected.p99_ms >= 5000


def test_a_service_that_is_slow_for_a_minute_was_not_warming_up() -> None:
    """Three seconds for each answer until second 80 of 300."""
    found = proof(*closed(lambda second: 3000 if second < 80 else steady(second), duration_s=300))

    assert found.warm_up_s == 10
    assert found.verdict.outcome != "pass"
    assert found.total.corrected is not None
    assert found.total.corrected.p95_ms == pytest.approx(3000, rel=0.001)


def test_samples_of_the_ramp_do_not_count_towards_a_percentile() -> None:
    """The ramp takes 20 of 22 seconds: there are requests enough, but not after it."""
    facts, samples = closed(users=200, duration_s=22)
    after = [sample for sample in samples if sample.intended < facts.started + 20 or sample.intended % 2 < 0.2]
    found = proof(facts, after, Objective(sli="p95_ms", target="<= 100"), Objective(sli="error_ratio", target="<= 0%"))
    p95, errors = found.grades

    assert (p95.grade, errors.grade) == ("not proven", "target")
    assert (p95.samples, errors.samples) == (found.total.measured.count if found.total.measured else 0, len(after))
    assert p95.samples < 59 < errors.samples


def test_a_run_too_short_to_be_steady_passes_nothing() -> None:
    """One second after the ramp: not proven, however good it was."""
    found = proof(*closed(duration_s=11), Objective(sli="error_ratio", target="<= 0%"))

    assert found.verdict.outcome == "not proven"
    assert found.verdict.reasons[-1].startswith("steady state: 1 seconds with answers after the ramp, 6 needed")


def test_the_worst_kind_of_payload_is_graded() -> None:
    """An endpoint that answers for two models, one of them slowly: the median of both would hide it."""
    facts, samples = closed()
    mixed = [
        replace(sample, model="geoclimate", latency_ms=900.0) if index % 10 == 0 else sample
        for index, sample in enumerate(samples)
    ]
    found = proof(facts, mixed, Objective(sli="p50_ms", endpoint="POST /predict", target="<= 100"))
    (grade,) = found.grades

    assert (grade.scope, grade.grade) == ("POST /predict (geoclimate)", "poor")
    assert grade.value == pytest.approx(900, rel=0.001)
    assert [row.title for row in found.endpoints] == [
        "POST /predict", "POST /predict (digits)", "POST /predict (geoclimate)",
    ]  # fmt: skip
    assert found.total.requests == len(mixed)
    assert found.total.measured is not None
    assert found.total.measured.count == sum(row.measured.count for row in found.endpoints[1:] if row.measured)


def test_objectives_of_a_load_do_not_spoil_benchmarks() -> None:
    """A file may state them without a plan: of benchmarks, and of known answers, they are not measured."""
    whole = [Objective(sli="p95_ms", target="<= 200"), Objective(sli="users", target=">= 50", critical=True)]
    found = against([], *whole, on_predict(ALSO))

    assert [grade.grade for grade in found.grades] == ["not measured", "not measured", "target"]
    assert found.verdict.outcome == "pass"


def test_a_limit_against_a_champion_is_told_in_every_run() -> None:
    """Beside a target it is a line of its own: stated, and not measured here."""
    both = replace(on_predict(ALSO), versus_champion="<= +10%")
    found = proof(*closed(), both)

    assert [(grade.grade, grade.target, grade.reason) for grade in found.grades] == [
        ("target", "<= 100", ""),
        ("unverifiable", "<= +10%", "against a champion only: bench --against URL"),
    ]


def test_a_low_score_fails() -> None:
    """Even without a critical objective."""
    poor = [Objective(sli="mean_ms", target="<= 0.1")] * 2
    found = proof(*closed(), Objective(sli="p95_ms", target="<= 100"), *poor)

    assert (found.verdict.outcome, found.verdict.reasons[0]) == ("fail", "the score is 33%; 75% is needed")


def test_the_rate_of_a_closed_loop_is_graded_from_a_minute_on() -> None:
    """Before that think times have not evened out."""
    assert graded(proof(*closed(duration_s=59)), "rps_vs_expected").grade == "not measured"
    assert graded(proof(*closed(duration_s=60)), "rps_vs_expected").grade == "target"


@pytest.mark.parametrize(("growth", "grade"), [(0, "target"), (2, "acceptable"), (20, "poor")])
def test_memory_growth_is_graded_where_it_is_served(growth: float, grade: str) -> None:
    """The median of the last quarter of readings against the second quarter's."""
    facts, samples = closed()
    memory = tuple(MemoryReading(time=float(t), bytes=100 + growth * t) for t in range(16))

    assert graded(proof(replace(facts, memory=memory), samples), "memory_growth").grade == grade


VERSUS = Objective(sli="p50_ms", endpoint="POST /predict", versus_champion="<= +10%")
ALSO = Objective(sli="p95_ms", target="<= 100")


def against(blocks: list[Sample], *objectives: Objective) -> Proof:
    facts, samples = bench()
    return prove(facts, samples, replace(DEFAULT, document=slo(*(objectives or (VERSUS, on_predict(ALSO))))), blocks)


def on_predict(objective: Objective) -> Objective:
    return replace(objective, endpoint="POST /predict")


@pytest.mark.parametrize(
    ("ratio", "count", "outcome"),
    [
        (1.0, 10, "pass"),
        (1.03, 10, "pass"),
        (1.25, 10, "fail"),
        (1.0, 9, "not proven"),
        (1.25, 6, "fail"),
        (1.25, 5, "not proven"),
    ],
)
def test_a_comparison_decides_too(ratio: float, count: int, outcome: str) -> None:
    """A regression fails; a pass takes ten pairs, a failure six."""
    found = against(list(pairs(ratio, count)))
    (comparison,) = found.comparisons

    assert (comparison.outcome, found.verdict.outcome) == (outcome, outcome)
    assert comparison.ratio == pytest.approx(ratio, rel=0.02)
    assert [grade.sli for grade in found.grades] == ["p95_ms"]  # what was compared has its own table


@pytest.mark.parametrize("side", ["champion", "candidate"])
def test_a_comparison_with_failures_proves_nothing(side: str) -> None:
    """What fails may fail fast."""
    blocks = [
        replace(sample, ok=False, fault="status 500, expected 200") if sample.user == f"{side} 3" else sample
        for sample in pairs(1.0)
    ]
    found = against(blocks)

    assert found.verdict.outcome == "not proven"
    assert found.verdict.reasons == (
        f"p50_ms of POST /predict: 60 requests of the {side} failed (status 500, expected 200)",
    )


def test_what_no_champion_was_measured_at_is_told() -> None:
    """Without a champion it is unverifiable, and does not stand in the way; with one that was asked others, it does."""
    elsewhere = replace(VERSUS, endpoint="GET /health")

    assert [grade.grade for grade in against([]).grades] == ["unverifiable", "target"]
    assert against([]).verdict.outcome == "pass"
    assert against(list(pairs(1.0)), elsewhere, VERSUS).verdict.reasons == (
        "p50_ms of GET /health: the champion was not measured at it",
    )


def test_a_block_of_nobody_is_refused() -> None:
    """The file beside the records says who asked; anything else is no block."""
    with pytest.raises(WrongFile, match="expected 'champion N' or 'candidate N'; received 'MNISTAPIUser'"):
        against([ANSWER])


def test_benchmarks_have_no_figures_as_a_whole() -> None:
    """They are a series: an objective on the latency of all of them names no endpoint, and is not measured."""
    found = against([], ALSO)

    assert (found.total.requests, found.total.corrected, found.history, found.curve) == (600, None, (), ())
    assert found.warm_up_s == 0
    assert [(row.name, row.requests, round(row.rps)) for row in found.endpoints] == [
        ("GET /health", 300, 100), ("POST /predict", 300, 100),
    ]  # fmt: skip
    assert found.grades[0].reason == "of bench, an endpoint must be named"
    assert found.verdict.reasons == ("no objective could be graded",)


def test_a_wrong_known_answer_fails() -> None:
    """However fast it came."""
    facts, samples = closed()
    wrong = AnswerCheck(
        model_id="digits:1", check="one by one", cases=100, right=99, worst=0.5, tolerance=0.0001, example="case 3"
    )
    found = prove(facts, samples, DEFAULT, answers=[wrong])

    assert found.verdict.outcome == "fail"
    assert found.verdict.reasons == ("digits:1, one by one: 99 of 100 answers right; case 3",)


def test_a_proof_survives_its_file() -> None:
    """`proof.json` holds all of it, and its percentiles can be computed again."""
    found = proof(*closed(stalled))
    read = statement_adapter.validate_json(statement_adapter.dump_json(state(found), by_alias=True)).predicate

    assert read == found
    assert read.total.corrected is not None
    assert decode(read.total.corrected.histogram).percentile(99) == read.total.corrected.p99_ms
