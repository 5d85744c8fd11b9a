"""Talks with the gate of a server: what it asks for, a trial to prove it in, and what it says of a proof."""

import time
from dataclasses import dataclass, replace
from typing import Any

import orjson
from pydantic import ValidationError

from seatrial.contracts.gate import GateDecision, TrialOpened, decision_adapter, trial_adapter
from seatrial.trials.core import probe
from seatrial.trials.core.errors import CouldNotRun
from seatrial.trials.core.target import Target

LOAD_S = 60.0
"""How long a candidate may take to be loaded by every worker."""
LOOK_S = 0.1
AGREEING = 12
"""Answers in a row that say it is loaded: each may come from another worker."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the gate says of a submitted proof: taken, or why not."""

    taken: bool
    told: str


def ask_gate(target: Target, stage: str | None = None) -> GateDecision:
    """What the server's gate would say of the candidate; raises `CouldNotRun` where it cannot be asked."""
    path = f"/models/{target.model}/gate" + (f"?new_stage={stage}" if stage else "")
    status, body = probe.exchange(target, "GET", path)
    document = _object(body)
    try:
        return decision_adapter.validate_python(document.get("gate") if status == 409 else document)  # noqa: PLR2004 - HTTP
    except ValidationError as error:
        raise CouldNotRun(_told(target, path, status, document)) from error


def begin_trial(target: Target) -> Target:
    """The target, under a new trial of its candidate, once that answers; raises `CouldNotRun`."""
    path = f"/models/{target.model}/trials"
    status, body = probe.exchange(target, "POST", path)
    document = _object(body)
    try:
        opened: TrialOpened = trial_adapter.validate_python(document)
    except ValidationError as error:
        raise CouldNotRun(_told(target, path, status, document)) from error
    _wait_until_loaded(target)
    return replace(target, trial=opened.trial_id)


def submit(target: Target, proof: bytes) -> Answer:
    """Hand in a `proof.json`; raises `CouldNotRun` where the server gives no such answer."""
    path = f"/models/{target.model}/proofs"
    status, body = probe.exchange(target, "POST", path, proof)
    document = _object(body)
    if status == 201:  # noqa: PLR2004 - HTTP
        summary = document.get("proof", {})
        return Answer(taken=True, told=f"{summary.get('digest', '')[:19]}, {summary.get('outcome')}")
    if document.get("type") in {"urn:seatrial:problem:proof-refused", "urn:seatrial:problem:trial-conflict"}:
        return Answer(taken=False, told=str(document.get("detail")))
    raise CouldNotRun(_told(target, path, status, document))


def _wait_until_loaded(target: Target) -> None:
    """Every worker looks twice a second what there is to load; each of several answers may be another's."""
    deadline, agreeing = time.monotonic() + LOAD_S, 0
    document: dict[str, Any] = {}
    while agreeing < AGREEING:
        if time.monotonic() > deadline:
            reason = document.get("failure") or "it is not loaded"
            raise CouldNotRun(f"{target.model} does not answer at {target.url}: {reason}")
        _, body = probe.exchange(target, "GET", f"/models/{target.model}")
        document = _object(body)
        agreeing = agreeing + 1 if document.get("loaded") is True else 0
        time.sleep(LOOK_S)


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _told(target: Target, path: str, status: int, document: dict[str, Any]) -> str:
    """What came in the place of an answer."""
    detail = document.get("detail") or "no answer that is understood here"
    hint = ""
    if status in {401, 403}:
        hint = " Give --api-key, with proofs:write and read; the operator's is admin.token in the data directory."
    return f"{target.url}{path} answered {status}: {detail}{hint}" if status else f"{target.url}{path}: no answer"
