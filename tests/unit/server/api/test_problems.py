"""From errors to problems."""

import json
from dataclasses import asdict
from typing import Any

import pytest

from seatrial.contracts.gate import GateCheck, GateDecision, SloText, decision_adapter
from seatrial.contracts.problem import Fault
from seatrial.server.api.problems import KINDS, problem_of, render
from seatrial.server.core import errors

FAULT = Fault("/data/x", "wrong", "a number", "null")
HERE = ("/predict", "id-1")
HELD = GateCheck(need="golden", step="trial", holds=True, expected="a trial that this server began", received="one")
BROKEN = GateCheck(need="golden", step="requests", holds=False, expected="42 counted here, within 1 %", received="43")
DECISION = GateDecision(
    model_id="digits:2",
    stage="dev",
    new_stage="staging",
    allowed=False,
    mode="enforce",
    needs=("golden",),
    checks=(HELD, BROKEN),
    proofs=(),
    slo=SloText(name="default", digest="sha256:0", text=""),
    command="seatrial trial prove --model digits:2 --submit",
)


def leaves(root: type[errors.SeatrialError] = errors.SeatrialError) -> set[type[errors.SeatrialError]]:
    branches = [branch for branch in root.__subclasses__() if branch.__module__ == errors.__name__]
    return set().union(*map(leaves, branches)) if branches else {root}


def test_every_error_of_a_caller_has_an_answer() -> None:
    """Those of the leaves that no request meets have none: who loads models does, and who changes accounts."""
    assert leaves() - set(KINDS) == {errors.ModelUnusable, errors.UnknownAccount}


def test_slugs_are_unique() -> None:
    """A slug is the end of the problem's type, by which programs tell errors apart."""
    slugs = [slug for slug, _, _ in KINDS.values()]

    assert len(set(slugs)) == len(slugs)


@pytest.mark.parametrize(
    ("error", "status", "headers", "extra"),
    [
        (errors.InvalidJSON("No JSON", 7), 400, {}, {"offset": 7}),
        (errors.InvalidJSON("No JSON"), 400, {}, {"offset": None}),
        (errors.InvalidHeader("h"), 400, {}, None),
        (errors.UnknownHost("h"), 400, {}, None),
        (errors.Unauthenticated("u"), 401, {"WWW-Authenticate": 'Bearer realm="seatrial"'}, None),
        (
            errors.Forbidden("read"),
            403,
            {"WWW-Authenticate": 'Bearer realm="seatrial", error="insufficient_scope", scope="read"'},
            None,
        ),
        (errors.UnknownModel("m"), 404, {}, None),
        (errors.ModelNotLoaded("m"), 409, {}, None),
        (errors.StageConflict("s"), 409, {}, None),
        (errors.TrialConflict("t"), 409, {}, None),
        (errors.ProofRefused([HELD, BROKEN]), 409, {}, {"checks": (HELD, BROKEN)}),
        (errors.GateRefused(DECISION), 409, {}, {"gate": DECISION}),
        (errors.BodyTooLarge(5), 413, {"Connection": "close"}, None),
        (errors.UnsupportedMediaType("t", {"Accept": "text/x"}), 415, {"Accept": "text/x"}, None),
        (errors.InvalidInput("i", [FAULT], 30), 422, {}, None),
        (errors.ModelRefused("r", [FAULT]), 422, {}, None),
        (errors.TooManyVersions("a", 3), 409, {}, None),
        (errors.Busy("Much to do.", 7), 503, {"Retry-After": "7"}, None),
        (errors.InferenceFailed("f"), 500, {}, None),
        (errors.NotReady({"a:1": "gone"}), 503, {"Retry-After": "1"}, {"reasons": {"a:1": "gone"}}),
        (errors.DeadlineExceeded("queue", 1), 504, {}, None),
        (errors.DeadlineExceeded("receive", 1), 504, {"Connection": "close"}, None),
    ],
)
def test_the_answer_to_an_error(
    error: errors.SeatrialError, status: int, headers: dict[str, str], extra: dict[str, Any] | None
) -> None:
    """Its status, the headers that go with it, and what a program may want to read."""
    problem, given = problem_of(error, *HERE)

    assert (problem.status, given, problem.extra) == (status, headers, extra)
    assert (problem.detail, problem.instance, problem.request_id) == (str(error), *HERE)


def test_a_lost_database_is_told_without_its_address() -> None:
    """The text is the operator's, and may name a host."""
    problem, headers = problem_of(errors.StorageUnavailable("no route to db.internal"), *HERE)

    assert (problem.status, problem.slug, headers) == (503, "storage-unavailable", {"Retry-After": "2"})
    assert problem.detail == "The server's database or disk cannot be used now. Nothing was changed; predictions go on."


def test_a_refused_proof_says_where_it_does_not_agree() -> None:
    """The line that does not hold, in words; the whole table goes with it."""
    problem, _ = problem_of(errors.ProofRefused([HELD, BROKEN]), *HERE)

    assert problem.detail == "golden, requests: expected 42 counted here, within 1 %; received 43."
    assert json.loads(render(problem))["checks"] == [asdict(HELD), asdict(BROKEN)]


def test_a_refused_promotion_says_what_is_missing_and_what_to_run() -> None:
    """The first line that does not hold, and the command; the gate's answer goes with it as it is."""
    problem, _ = problem_of(errors.GateRefused(DECISION), *HERE)

    assert problem.detail.startswith("digits:2 is not proven for staging. golden, requests: expected 42 counted")
    assert DECISION.command in problem.detail
    assert decision_adapter.validate_python(json.loads(render(problem))["gate"]) == DECISION


def test_faults_go_with_an_invalid_input() -> None:
    """Those listed, and how many there are."""
    problem, _ = problem_of(errors.InvalidInput("i", [FAULT], 30), *HERE)

    assert (problem.errors, problem.errors_total) == ((FAULT,), 30)


@pytest.mark.parametrize(
    ("kind", "status", "slug", "headers"),
    [
        (errors.StorageUnavailable, 503, "storage-unavailable", {"Retry-After": "2"}),
        (errors.StorageFull, 507, "storage-full", {"Connection": "close"}),
    ],
)
def test_what_stands_in_the_way_of_keeping_is_for_the_log(
    kind: type[errors.StorageUnavailable], status: int, slug: str, headers: dict[str, str]
) -> None:
    """A driver's reason may name hosts and paths; the caller learns what it means."""
    problem, given = problem_of(kind("connection to server at 10.0.0.7 failed"), *HERE)

    assert (problem.status, problem.slug, given) == (status, slug, headers)
    assert "Nothing was changed" in problem.detail
    assert b"10.0.0.7" not in render(problem)


def test_an_unknown_error_tells_nothing_of_itself() -> None:
    """Its text may hold a path, a secret or SQL."""
    problem, headers = problem_of(RuntimeError("SELECT secret FROM /etc/passwd"), *HERE)

    assert (problem.status, problem.slug, headers) == (500, "internal-error", {})
    assert b"secret" not in render(problem)


def test_a_subclass_is_answered_as_its_parent() -> None:
    """A more special error needs no entry of its own."""

    class TooManyFeatures(errors.InvalidInput):
        """A special invalid input."""

    assert problem_of(TooManyFeatures("i", [FAULT]), *HERE)[0].slug == "invalid-input"


def test_the_instance_is_a_uri_reference() -> None:
    """A path with other characters is escaped."""
    problem, _ = problem_of(errors.UnknownModel("m"), "/models/ä b\n", "id")

    assert problem.instance == "/models/%C3%A4%20b%0A"
