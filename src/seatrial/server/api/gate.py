"""The routes through which a version is proven, promoted and rolled back."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from starlette.concurrency import run_in_threadpool

from seatrial.contracts.gate import GateDecision, ProofSummary, TrialOpened
from seatrial.contracts.problem import Fault
from seatrial.server.access.audit import Deed
from seatrial.server.access.authenticate import require
from seatrial.server.access.principal import Principal
from seatrial.server.api.body import read_body
from seatrial.server.api.guard import Guard, needs
from seatrial.server.api.openapi import problems
from seatrial.server.api.problems import gate_problem
from seatrial.server.api.schemas import HistoryView, PromotedView, ProofTakenView, Reason, RolledBackView
from seatrial.server.core.clock import Monotonic
from seatrial.server.core.errors import InvalidInput
from seatrial.server.inference.deadline import Deadline
from seatrial.server.registry.ledger import Note, change_as_dict, entry_as_dict
from seatrial.server.registry.model import Stage
from seatrial.server.services.promotion import Promotion
from seatrial.server.services.trials import Trials

NewStage = Annotated[Literal["staging", "production"], Query(description="Where to.")]
MaybeStage = Annotated[
    Literal["staging", "production"] | None, Query(description="Where to; the next stage if nothing is said.")
]

BODY = {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}


def proof_routes(guard: Guard, trials: Trials, clock: Monotonic) -> APIRouter:
    """Trials, and the proofs that they lead to."""
    router = APIRouter(tags=["gate"])

    @router.post(
        "/models/{model_id}/trials",
        status_code=201,
        summary="Begin a trial",
        responses=problems(400, 401, 403, 404, 409, 429, 500, 503),
    )
    def begin_trial(model_id: str, who: Annotated[Principal, Depends(needs("proofs:write", guard))]) -> TrialOpened:
        """Begin a trial: requests with its id in `X-Seatrial-Trial` are counted, and may name a version in `dev`."""
        return trials.begin(model_id, who.name)

    @router.post(
        "/models/{model_id}/proofs",
        status_code=201,
        summary="Submit a proof",
        response_model=ProofTakenView,
        responses=problems(400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503, 504),
        openapi_extra={"requestBody": BODY},
    )
    async def submit_proof(
        model_id: str, request: Request, who: Annotated[Principal, Depends(needs("proofs:write", guard))]
    ) -> Any:  # noqa: ANN401 - what the model says
        """Submit the `proof.json` of a trial. It is graded again here; what it says of itself is not believed."""
        headers = dict(request.scope["headers"])
        guard.check_body(headers)
        deadline = Deadline(guard.timeout(headers), clock(), clock)
        body = await read_body(request.receive, guard.max_body_bytes, deadline)
        taken = await run_in_threadpool(trials.submit, model_id, body, who.name)
        return {"proof": taken.summary, "checks": taken.checks}

    @router.get(
        "/models/{model_id}/proofs",
        summary="Its proofs",
        response_model=list[ProofSummary],
        responses=problems(400, 401, 403, 404, 500, 503),
        dependencies=[Depends(needs("read", guard))],
    )
    def list_proofs(model_id: str) -> Any:  # noqa: ANN401 - what the model says
        """The proofs of a version, as this server grades them, the oldest first."""
        return trials.proofs(model_id)

    return router


def gate_routes(
    guard: Guard,
    promotion: Promotion,
    serving: Callable[[str], str],
    refresh: Callable[[], None],
    note_deed: Callable[[Deed], None],
) -> APIRouter:
    """The gate, promotion, rollback and history.

    `refresh` makes this worker follow what it changed; `note_deed` hears of it.
    """
    router = APIRouter(tags=["gate"])

    @router.get(
        "/models/{model_id}/gate",
        summary="Would it pass?",
        response_model=GateDecision,
        responses=problems(400, 401, 403, 404, 409, 422, 500, 503),
        dependencies=[Depends(needs("read", guard))],
    )
    def ask_gate(request: Request, model_id: str, new_stage: MaybeStage = None) -> Any:  # noqa: ANN401 - the same
        """What the gate would say of a promotion, line by line: 200 if it would pass, else 409. Changes nothing."""
        decision = promotion.gate(model_id, Stage(new_stage) if new_stage else None, serving(model_id))
        return decision if decision.allowed else gate_problem(request, decision)

    @router.post(
        "/models/{model_id}/promote",
        summary="Promote it",
        response_model=PromotedView,
        responses=problems(400, 401, 403, 404, 409, 422, 429, 500, 503),
    )
    def promote(
        request: Request,
        model_id: str,
        new_stage: NewStage,
        who: Annotated[Principal, Depends(needs("models:promote", guard))],
        reason: Reason = "",
        override: Annotated[bool, Query(description="Even if it is not proven; needs `admin`, and a reason.")] = False,  # noqa: FBT002 - a query
    ) -> Any:  # noqa: ANN401 - what the model says
        """Move a version to staging or production, through the gate. The version that it replaces becomes archived."""
        if override:
            require(who, "admin")
            if not reason.strip():
                why = Fault("/query/reason", "An override is explained.", "why it goes without a proof", "nothing")
                raise InvalidInput("An override needs a reason.", [why])
        note = Note(who.name, reason)
        done = promotion.promote(model_id, Stage(new_stage), note, override=override, serving=serving(model_id))
        refresh()
        if done.entries:
            note_deed(Deed("model_promoted", who.name, f"{model_id} -> {new_stage}", guard.origin(request)))
        return {"model_id": model_id, "stage": new_stage, "changes": _changes(done.entries), "gate": done.decision}

    @router.post(
        "/models/{model_name}/rollback",
        summary="Roll back",
        response_model=RolledBackView,
        responses=problems(400, 401, 403, 404, 409, 422, 429, 500, 503),
    )
    def roll_back(
        request: Request,
        model_name: str,
        who: Annotated[Principal, Depends(needs("models:promote", guard))],
        reason: Reason = "",
    ) -> Any:  # noqa: ANN401 - the same
        """Return to the version that was in production before, once it has given its known answers again."""
        done = promotion.roll_back(model_name, Note(who.name, reason))
        refresh()
        note_deed(Deed("model_rolled_back", who.name, done.model_id, guard.origin(request)))
        return {"model_id": done.model_id, "changes": _changes(done.entries), "replayed": done.replayed}

    @router.get(
        "/models/{model_name}/history",
        summary="What happened to it",
        response_model=list[HistoryView],
        responses=problems(400, 401, 403, 404, 500, 503),
        dependencies=[Depends(needs("read", guard))],
    )
    def history(model_name: str) -> Any:  # noqa: ANN401 - the same
        """The ledger of a model: every change of a stage, who made it, why, and on what proofs."""
        return [{**entry_as_dict(entry), **_decided(decision)} for entry, decision in promotion.history(model_name)]

    return router


def _changes(entries: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - of entries
    return [change_as_dict(entry) for entry in entries]


def _decided(decision: GateDecision | None) -> dict[str, Any]:
    """Of what the gate was asked, and what it said to it."""
    if decision is None:
        return {"new_stage": "", "proofs": (), "missing": ()}
    return {"new_stage": decision.new_stage, "proofs": decision.proofs, "missing": decision.refused}
