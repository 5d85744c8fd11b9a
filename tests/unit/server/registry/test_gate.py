"""The gate's table: each step that can fail, its order, and what does not count."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.fakes.evidence import NOW, PREDICT, SERVING, SLO, a_proof, counted, evidence
from tests.fakes.models import a_manifest, a_version
from tests.fakes.runs import START

from seatrial.contracts.gate import GateDecision
from seatrial.contracts.proof import AnswerCheck, Block, Proof
from seatrial.contracts.slo import Objective, Promotion
from seatrial.grading.histogram import Histogram
from seatrial.server.registry.evidence import Tally
from seatrial.server.registry.gate import Evidence, Rules, examine
from seatrial.server.registry.model import Stage

MANIFEST = a_manifest(name="digits", classes=(0, 1))
CHAMPION = a_version(a_manifest(name="digits", classes=(0, 1), artifact=b"first"), 1)
SECOND = a_version(MANIFEST, 2, Stage.STAGING)
RULES = Rules(SLO, "the text")
PROVEN = {
    need: evidence(need, SECOND, CHAMPION if need == "bench" else None)
    for need in ("load.smoke", "load.high", "golden", "bench")
}


def ask(
    *changed: Evidence, without: str = "", rules: Rules = RULES, to: Stage = Stage.PRODUCTION, now: float = NOW + 60
) -> GateDecision:
    """What the gate says where all is proven, but for what is changed or left out."""
    found = [item for need, item in PROVEN.items() if need != without]
    return examine(
        SECOND, to, CHAMPION if to is Stage.PRODUCTION else None, rules, [*found, *changed], now, SERVING, 60
    )


def remade(need: str, proof: Proof) -> Evidence:
    """Evidence whose proof says something else."""
    return replace(PROVEN[need], proof=proof)


def test_all_that_is_proven_passes() -> None:
    """For both stages; every line holds, and none is left out."""
    staging, production = ask(to=Stage.STAGING), ask()

    assert (staging.allowed, staging.needs, staging.command) == (True, ("load.smoke", "golden"), "")
    assert (production.allowed, production.needs) == (True, ("load.high", "golden", "bench"))
    assert {line.holds for line in production.checks} == {True}
    assert [line.step for line in production.checks if line.need == "bench"] == [
        "evidence", "trial and counts", "model digest", "serving config digest", "SLO digest", "fresh", "run valid",
        "asked of it", "critical objectives", "score", "its own latency", "champion", "versus champion",
        "versus champion",
    ]  # fmt: skip
    assert [proof.need for proof in production.proofs] == ["load.high", "golden", "bench"]


HIGH, GOLDEN, BENCH = (PROVEN[need].proof for need in ("load.high", "golden", "bench"))


def with_run(need: str, **changes: object) -> Evidence:
    proof = PROVEN[need].proof
    return remade(need, replace(proof, run=replace(proof.run, **changes)))  # type: ignore[arg-type]


def with_counts(need: str, **changes: object) -> Evidence:
    item = PROVEN[need]
    tallies = tuple(replace(tally, **changes) for tally in item.submitted.counted)  # type: ignore[arg-type]
    return replace(item, submitted=replace(item.submitted, counted=tallies))


NONE_ASKED = AnswerCheck(model_id="digits:2", check="one by one", cases=0, right=0, worst=0, tolerance=0.1)


def late_users() -> Evidence:
    """The hundredth user came after half a minute: all before that would be warm-up."""
    beats = tuple(
        replace(beat, users=min(beat.users, 99) if index < 30 else 100) for index, beat in enumerate(HIGH.run.beats)
    )
    return with_run("load.high", beats=beats)


def wrong_answers() -> Evidence:
    bad = AnswerCheck(model_id="digits:2", check="one by one", cases=60, right=59, worst=1, tolerance=0.1)
    return remade("golden", replace(GOLDEN, answers=(bad,)))


@pytest.mark.parametrize(
    ("need", "step", "found"),
    [
        ("load.high", "evidence", lambda: ask(without="load.high")),
        ("golden", "evidence", lambda: ask(without="golden")),
        ("load.high", "trial and counts", lambda: ask(with_counts("load.high", requests=0))),
        ("load.high", "model digest", lambda: ask(with_run("load.high", subjects=()))),
        (
            "golden",
            "serving config digest",
            lambda: ask(with_run("golden", subjects=(replace(GOLDEN.run.subjects[0], serving_config_digest="x"),))),
        ),
        ("bench", "SLO digest", lambda: ask(remade("bench", replace(BENCH, slo=replace(SLO, digest="sha256:lax"))))),
        ("load.high", "fresh", lambda: ask(now=NOW + 24 * 3600 + 1)),
        (
            "load.high",
            "run valid",
            lambda: ask(with_run("load.high", generator=replace(HIGH.run.generator, cpu=0.99))),
        ),
        ("load.high", "asked of it", lambda: ask(with_counts("load.high", model_id="digits:1"))),
        ("load.high", "load of the plan", lambda: ask(with_run("load.high", users=99))),
        ("load.high", "load of the plan", lambda: ask(with_run("load.high", classes=("MNISTAPIUser",)))),
        ("load.high", "load of the plan", lambda: ask(with_run("load.high", duration_s=59.0))),
        ("load.high", "load of the plan", lambda: ask(with_counts("load.high", last=HIGH.run.started + 40))),
        ("load.high", "load of the plan", lambda: ask(with_counts("load.high", requests=3000))),
        ("load.high", "load of the plan", lambda: ask(late_users())),
        ("golden", "known answers", lambda: ask(wrong_answers())),
        ("golden", "known answers", lambda: ask(remade("golden", replace(GOLDEN, answers=(NONE_ASKED,))))),
        ("golden", "known answers", lambda: ask(remade("golden", replace(GOLDEN, answers=())))),
        ("golden", "known answers", lambda: ask(few_known_answers())),
        ("bench", "champion", lambda: ask(with_run("bench", subjects=BENCH.run.subjects[:1]))),
        ("bench", "versus champion", lambda: ask(remade("bench", replace(BENCH, blocks=())))),
        ("bench", "versus champion", lambda: ask(evidence("bench", SECOND, CHAMPION, ratio=1.25))),
    ],
)
def test_a_step_that_fails(need: str, step: str, found: Callable[[], GateDecision]) -> None:
    """The proof's lines end there, the others are told all the same, and the promotion is refused."""
    decision = found()
    first = decision.refused[0]

    assert not decision.allowed
    assert (first.need, first.step) == (need, step)
    assert [line for line in decision.checks if line.need == need][-1].step == step
    assert (decision.checks[-1].step, decision.checks[-1].holds) == ("complete", False)
    assert decision.command.startswith("seatrial trial prove --model digits:2")


def few_known_answers() -> Evidence:
    """One of sixty was asked for."""
    one = AnswerCheck(model_id="digits:2", check="one by one", cases=1, right=1, worst=0, tolerance=0.1)
    return remade("golden", replace(GOLDEN, answers=(one,)))


def test_a_run_of_another_machine_proves_no_critical_objective() -> None:
    """Limits that were set for one machine are not graded elsewhere: nothing was shown."""
    bound = replace(RULES, slo=replace(SLO, document=replace(SLO.document, machine="sha256:" + "0" * 64)))
    line = ask(rules=bound).refused[0]

    assert (line.need, line.step) == ("load.high", "critical objectives")
    assert line.received.startswith("p95_ms of all is unverifiable")


def test_a_marginal_run_does_not_open_the_gate() -> None:
    """It passes by itself, with nothing to spare; what serves has to be better than that."""
    objectives = tuple(
        replace(item, target="<= 1", acceptable="<= 2", poor="> 100", critical=False)
        if item.sli in {"p95_ms", "p99_ms", "mean_ms"} and item.applies_to("high")
        else item
        for item in SLO.document.objective
    )
    line = ask(rules=replace(RULES, slo=replace(SLO, document=replace(SLO.document, objective=objectives)))).refused[0]

    assert (line.need, line.step, line.received.split(";")[0]) == ("load.high", "score", "pass")


def test_the_command_names_the_plan_that_is_missing() -> None:
    """So that whoever is refused knows what to run."""
    assert ask(without="load.high").command == "seatrial trial prove --model digits:2 --plan high --submit"
    assert ask(without="bench").command == "seatrial trial prove --model digits:2 --submit"


def test_a_limit_that_is_not_held_stops_it() -> None:
    """Critical ones by their name, others by the score."""
    objectives = tuple(
        replace(item, target="<= 1", acceptable="<= 2") if (item.sli, item.plan) == ("p95_ms", "high") else item
        for item in SLO.document.objective
    )
    strict = replace(SLO, document=replace(SLO.document, objective=objectives))
    line = ask(rules=replace(RULES, slo=strict)).refused[0]

    assert (line.need, line.step, line.received) == ("load.high", "critical objectives", "p95_ms of all is poor")


def test_the_servers_own_clock_has_a_say() -> None:
    """Pairs in a proof that look equal, where the server measured the candidate to be slower: not equal."""
    honest = evidence("bench", SECOND, CHAMPION, ratio=1.25)
    forged = replace(honest, proof=a_proof("bench", SECOND, CHAMPION))
    line = ask(forged).refused[0]

    assert (line.step, line.received.endswith("by the server's own clock 1.250")) == ("versus champion", True), (
        line.received
    )


def test_a_benchmark_of_a_name_of_its_own_is_compared_with_what_it_asks() -> None:
    """Consistency asks `POST /predict`, and as such the server has counted it."""

    def renamed(item: Objective | Block) -> Any:  # noqa: ANN401 - as it came
        return replace(item, endpoint="consistency") if item.endpoint == "POST /predict" else item

    objectives = tuple(renamed(item) if item.versus_champion else item for item in SLO.document.objective)
    rules = replace(RULES, slo=replace(SLO, document=replace(SLO.document, objective=objectives)))
    for ratio, allowed in ((1.0, True), (1.25, False)):
        item = evidence("bench", SECOND, CHAMPION, ratio=ratio)
        blocks = tuple(map(renamed, item.proof.blocks))
        decision = ask(replace(item, proof=replace(item.proof, blocks=blocks)), rules=rules)
        lines = [line for line in decision.checks if line.step == "versus champion"]

        assert (decision.allowed, lines[0].holds) == (allowed, allowed)
        assert lines[0].expected == "p50_ms of consistency at most 1.1 times digits:1's"
        assert lines[0].received.endswith(f"by the server's own clock {ratio:.3f}")


def answered(need: str, own: Histogram, others: Histogram, endpoint: str = PREDICT) -> Evidence:
    """Evidence in whose run the version has answered some requests, and the first version the others."""
    item = evidence(need, SECOND)
    lasted = item.proof.run.duration_s
    tallies = tuple(
        Tally("", endpoint, model.model_id, latency.count, 0, latency.encoded(), START, START + lasted)
        for model, latency in ((SECOND, own), (CHAMPION, others))
        if latency.count
    )
    return replace(item, submitted=replace(item.submitted, counted=tallies))


def needing(need: str) -> Rules:
    """The same rules, but that staging needs one proof only."""
    document = replace(SLO.document, promotion={"staging": Promotion(needs=(need,), max_age="24h")})
    return replace(RULES, slo=replace(SLO, document=document))


def alike(count: int, milliseconds: float) -> Histogram:
    return Histogram(np.full(count, milliseconds))


@pytest.mark.parametrize(
    ("need", "own", "others", "slow", "limit"),
    [("load.smoke", 8, 152, 400.0, 200.0), ("load.high", 431, 8175, 3900.0, 1000.0)],
)
def test_a_slow_version_does_not_pass_on_the_answers_of_others(
    need: str, own: int, others: int, slow: float, limit: float
) -> None:
    """One request in twenty was its own: those alone have to be within the critical percentiles."""
    rules = needing(need)
    refused = ask(answered(need, alike(own, slow), alike(others, 4.0)), rules=rules, to=Stage.STAGING)
    passed = ask(answered(need, alike(own, limit - 1), alike(others, 4.0)), rules=rules, to=Stage.STAGING)
    line = refused.refused[0]

    assert (line.step, line.expected) == (
        "its own latency",
        f"p95_ms of all <= {limit:.0f}, by the server's own clock",
    )
    assert line.received.endswith(f" ms in {own} requests of its own")
    assert slow <= float(line.received.split()[0]) < 1.001 * slow
    assert passed.allowed


@pytest.mark.parametrize(
    ("need", "sli", "needed", "others"),
    [
        ("load.smoke", "p95_ms", 8, 130),
        ("load.baseline", "p95_ms", 30, 400),
        ("load.medium", "p99_ms", 263, 2000),
        ("load.high", "p99_ms", 299, 5000),
    ],
)
def test_too_few_requests_of_its_own_tell_nothing(need: str, sli: str, needed: int, others: int) -> None:
    """What could not be measured is no pass: the line says how many are needed, and with one more it is held."""
    rules, rest = needing(need), alike(others, 4.0)
    decision = ask(answered(need, alike(needed - 1, 4.0), rest), rules=rules, to=Stage.STAGING)
    line = decision.refused[0]

    assert (line.step, line.expected.split()[0]) == ("its own latency", sli)
    assert line.received == f"{needed - 1} requests of its own, {needed} needed"
    assert ask(answered(need, alike(needed, 4.0), rest), rules=rules, to=Stage.STAGING).allowed


def test_a_benchmark_is_not_held_to_what_ten_callers_waited() -> None:
    """They ask the same endpoint. As many of its own as the benchmark has are within its limit, or it was not it."""
    for alone, allowed in ((10.0, True), (250.0, False)):
        own = Histogram(np.concatenate([np.full(300, alone), np.full(600, 250.0)]))
        found = [item for need, item in PROVEN.items() if need != "bench"]
        item = answered("bench", own, Histogram())
        decision = examine(SECOND, Stage.PRODUCTION, None, RULES, [*found, item], NOW, SERVING)

        assert decision.allowed is allowed
        assert [line.step for line in decision.refused] == ([] if allowed else ["its own latency", "complete"])


def test_what_no_version_answers_has_no_latency_of_its_own() -> None:
    """Critical objectives of `GET /health` and the like are of the server, whichever version it is asked for."""
    item = PROVEN["bench"]
    lines = [line.expected for line in ask(item).checks if line.step == "its own latency" and line.need == "bench"]

    assert lines == ["p95_ms of POST /predict <= 200, by the server's own clock"]


def test_of_each_need_the_last_proof_counts() -> None:
    """A later failure is not hidden by an earlier pass, nor an earlier one by a later pass."""
    failed = wrong_answers()

    assert not ask(failed).allowed
    assert ask(failed, PROVEN["golden"]).allowed


def test_without_a_champion_there_is_nothing_to_be_slower_than() -> None:
    """The first version of a name."""
    found = [item for need, item in PROVEN.items() if need != "bench"]
    alone = examine(SECOND, Stage.PRODUCTION, None, RULES, [*found, evidence("bench", SECOND)], NOW, SERVING)

    assert alone.allowed
    assert "versus champion" not in {line.step for line in alone.checks}


def test_how_it_is_served_is_compared_where_it_is_loaded() -> None:
    """A version that no worker holds has no serving configuration to differ from."""
    decision = examine(SECOND, Stage.STAGING, None, RULES, list(PROVEN.values()), NOW)

    assert decision.allowed
    assert "serving config digest" not in {line.step for line in decision.checks}


def test_a_gate_that_is_off_asks_for_nothing() -> None:
    """And one that only warns says what is missing, for the ledger."""
    off = examine(SECOND, Stage.PRODUCTION, CHAMPION, replace(RULES, mode="off"), [], NOW)
    warn = examine(SECOND, Stage.PRODUCTION, CHAMPION, replace(RULES, mode="warn"), [], NOW)

    assert (off.allowed, off.checks, off.mode) == (True, (), "off")
    assert (warn.allowed, warn.mode, len(warn.refused)) == (False, "warn", 4)


def test_a_stage_for_which_nothing_is_stated_is_not_open() -> None:
    """An SLO file that leaves one out has said nothing of it; only a gate that is off asks for nothing."""
    silent = replace(RULES, slo=replace(SLO, document=replace(SLO.document, promotion={})))
    decision = examine(SECOND, Stage.PRODUCTION, CHAMPION, silent, list(PROVEN.values()), NOW)

    assert not decision.allowed
    assert [(line.step, line.expected) for line in decision.refused] == [
        ("stated", "[promotion.production] in the SLO file")
    ]
    assert examine(SECOND, Stage.PRODUCTION, CHAMPION, replace(silent, mode="off"), [], NOW).allowed


def test_counts_of_a_proof_agree_with_themselves() -> None:
    """What these tests take for a server's counts has as many requests as the proof."""
    assert sum(tally.requests for tally in counted(BENCH, SECOND, CHAMPION)) == 1800 + 40 * 60
