"""The models that this worker holds, as one immutable snapshot that is swapped whole."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from seatrial.contracts.problem import Fault
from seatrial.server.core.errors import InvalidInput, ModelNotLoaded
from seatrial.server.inference.faults import Faults
from seatrial.server.inference.model import LoadedModel
from seatrial.server.inference.signature import Arrays
from seatrial.server.inference.types import InferRequest


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Snapshot:
    """What is served at one moment. `defaults`, then `others`, are the production models as they are asked.

    `on_trial` has what answers only requests under a trial, by the trial's id; `failed_on_trial` says of what could not
    be loaded for one why, by its own.
    """

    by_id: Mapping[str, LoadedModel] = field(default_factory=dict)
    production: Mapping[str, LoadedModel] = field(default_factory=dict)
    defaults: tuple[LoadedModel, ...] = ()
    others: tuple[LoadedModel, ...] = ()
    failures: Mapping[str, str] = field(default_factory=dict)
    on_trial: Mapping[str, LoadedModel] = field(default_factory=dict)
    failed_on_trial: Mapping[str, str] = field(default_factory=dict)

    def find(self, model_id: str, trial: str | None = None) -> LoadedModel | None:
        """A version that answers now; one in `dev` only where a request is under a trial of it."""
        found = self.by_id.get(model_id)
        if found is None and trial is not None:
            found = self.on_trial.get(trial.partition("/")[0])
        return found if found is None or found.model_id == model_id else None

    def loaded(self, model_id: str) -> LoadedModel | None:
        """A version that is in memory, for whomever."""
        candidates = (model for model in self.on_trial.values() if model.model_id == model_id)
        return self.by_id.get(model_id) or next(candidates, None)


class Pool:
    """Holds the current snapshot. Readers take it once a request and keep it, so a swap never tears an answer."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self._swapping = threading.Lock()

    def swap(self, snapshot: Snapshot) -> None:
        """Serve `snapshot` from now on; what is on trial stays so."""
        with self._swapping:
            on_trial, failed = self.snapshot.on_trial, self.snapshot.failed_on_trial
            self.snapshot = replace(snapshot, on_trial=on_trial, failed_on_trial=failed)

    def put_on_trial(self, on_trial: Mapping[str, LoadedModel], failures: Mapping[str, str]) -> None:
        """Let these answer under their trials from now on, and say of others why they cannot."""
        with self._swapping:
            self.snapshot = replace(self.snapshot, on_trial=on_trial, failed_on_trial=failures)


def select(snapshot: Snapshot, request: InferRequest, *, batch: bool) -> tuple[LoadedModel, Arrays]:
    """The model that answers a request, and the arrays to run.

    A named model answers, or says why it cannot. With no name, the first default model whose signature accepts the
    input answers, else the only other production model that does.

    Raises:
        ModelNotLoaded: the named model is not in memory here (whether it exists is the registry's to say).
        InvalidInput: no signature, or more than one, accepts the input.
    """
    if request.model_id is None and request.model_name is None:
        return _first_accepting(snapshot, request, batch=batch)
    if request.model_id is not None:
        model = snapshot.find(request.model_id, request.trial)
    else:
        model = snapshot.production.get(request.model_name or "")
    if model is None:
        raise ModelNotLoaded(f"The model '{request.model_id or request.model_name}' is not being served.")
    faults = Faults()
    arrays = _accept(model, request, faults, batch=batch)
    if arrays is None:
        raise faults.error(f"The input does not fit the model '{model.model_id}'.")
    return model, arrays


def _accept(model: LoadedModel, request: InferRequest, faults: Faults, *, batch: bool) -> Arrays | None:
    read = model.signature.accept_batch if batch else model.signature.accept
    return read(request.data, faults)


def _first_accepting(snapshot: Snapshot, request: InferRequest, *, batch: bool) -> tuple[LoadedModel, Arrays]:
    refusals: list[tuple[LoadedModel, Faults]] = []
    for model in snapshot.defaults:
        faults = Faults()
        arrays = _accept(model, request, faults, batch=batch)
        if arrays is not None:
            return model, arrays
        refusals.append((model, faults))
    accepted: list[tuple[LoadedModel, Arrays]] = []
    for model in snapshot.others:
        faults = Faults()
        arrays = _accept(model, request, faults, batch=batch)
        if arrays is not None:
            accepted.append((model, arrays))
        refusals.append((model, faults))
    if len(accepted) == 1:
        return accepted[0]
    raise _nobody([model for model, _ in accepted], refusals)


def _nobody(accepted: list[LoadedModel], refusals: list[tuple[LoadedModel, Faults]]) -> Exception:
    """Why no model can be chosen: several fit and none is a default, or none fits (with the nearest one's faults)."""
    if accepted:
        names = ", ".join(model.name for model in accepted)
        fault = Fault("/model_name", "Several models accept this input.", f"one of: {names}", "nothing")
        return InvalidInput("Several models accept this input: say which one is meant.", [fault])
    if not refusals:
        return ModelNotLoaded("No model is in production here.")
    names = ", ".join(model.model_id for model, _ in refusals)
    nearest, faults = min(refusals, key=lambda refusal: refusal[1].distance())
    return faults.error(
        f"No production model accepts this input (candidates: {names}). What follows is against '{nearest.model_id}'."
    )
