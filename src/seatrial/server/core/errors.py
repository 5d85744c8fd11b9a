"""Everything that the server refuses or fails at, as one tree. Only `api.problems` knows status codes.

SeatrialError
+-- BadRequest
|   +-- InvalidJSON          the body is not JSON that we read
|   +-- InvalidHeader        a header holds what it may not
|   +-- UnknownHost          the Host header names a host that we do not serve
|   +-- InvalidRequest       this is no HTTP that we read
|   +-- HeadTooLarge         the headers of a request are too long, or too many
+-- InvalidInput             the body is JSON, but not an input; carries faults
|   +-- ModelRefused         a file, or what came with it, cannot be registered
+-- Unauthenticated          no or bad credentials
+-- Forbidden                a scope is missing
|   +-- AccountNeeded        a person is asked for, and a key came
+-- RegistrationClosed       nobody opens an account here but the operator
+-- UnknownModel             no model of this name and version
+-- UnknownAccount           no account of this address
+-- UnknownKey               no API key of this id, or somebody else's
+-- LimitExceeded            more than this caller may do for now
+-- ModelNotLoaded           the model exists, but is not being served
+-- StageConflict            the version stands where it cannot be moved from as asked
+-- TrialConflict            no trial can be begun, or it led to a proof already
+-- ProofRefused             a proof does not agree with what this server knows; carries the gate's lines
+-- GateRefused              a promotion is not proven; carries the gate's decision
+-- StorageUnavailable       the database or the files cannot be used now, or have another schema
|   +-- StorageFull          there is no room left
+-- BodyTooLarge             the body is over the limit
+-- UnsupportedMediaType     not of the type that is read, or compressed
+-- TooManyVersions          the name has as many versions as it may have
+-- Busy                     as much is being done as may be at once
|   +-- QueueFull            as much waits for a model as may
+-- NotReady                 the server cannot take traffic now
+-- DeadlineExceeded         the request's time was up
+-- InferenceFailed          the runtime failed on an input that the signature accepted
+-- InspectionFailed         a file cannot be inspected, for no fault of its own
+-- ModelUnusable            a model cannot be loaded, or fails its golden answers
"""

import math
from collections.abc import Mapping, Sequence

from seatrial.contracts.gate import GateCheck, GateDecision
from seatrial.contracts.problem import Fault


class SeatrialError(Exception):
    """The root; its text is made for the caller and holds no secret, path or stack."""


class BadRequest(SeatrialError):
    """The request cannot be read."""


class InvalidJSON(BadRequest):
    """The body is not JSON that we read. `offset` counts bytes from the start of the body, where it is known."""

    def __init__(self, reason: str, offset: int | None = None) -> None:
        super().__init__(reason if offset is None else f"{reason} (at byte {offset})")
        self.offset = offset


class InvalidHeader(BadRequest):
    """A header holds what it may not."""


class UnknownHost(BadRequest):
    """The Host header names a host that this server does not answer for."""


class InvalidRequest(BadRequest):
    """What came cannot be read as a request."""


class HeadTooLarge(BadRequest):
    """The target, the headers or the trailers of a request are too long, or too many."""


class InvalidInput(SeatrialError):
    """The body is JSON, but not an input. `faults` is never empty; `total` counts those not listed too."""

    def __init__(self, summary: str, faults: Sequence[Fault], total: int | None = None) -> None:
        super().__init__(summary)
        self.faults = tuple(faults)
        self.total = len(self.faults) if total is None else total


class ModelRefused(InvalidInput):
    """A file that somebody wants to register, or what came with it, is not acceptable; the faults say why."""


class Unauthenticated(SeatrialError):
    """There are no credentials, or they are not valid. `perhaps_new`: or this worker has not heard of them yet."""

    def __init__(self, detail: str, *, perhaps_new: bool = False) -> None:
        super().__init__(detail)
        self.perhaps_new = perhaps_new


class Forbidden(SeatrialError):
    """The caller is known, but lacks `scope`."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"This needs the scope '{scope}', which these credentials do not have.")
        self.scope = scope


class AccountNeeded(Forbidden):
    """The caller may call, but is no person."""

    def __init__(self) -> None:
        SeatrialError.__init__(self, "This is for people: send the access token of a login, and nothing else.")
        self.scope = "account"


class RegistrationClosed(SeatrialError):
    """Accounts are opened by the operator only."""

    def __init__(self) -> None:
        super().__init__("Accounts are opened by the operator here: `seatrial users create`.")


class UnknownModel(SeatrialError):
    """No model has this name or version."""


class UnknownAccount(SeatrialError):
    """Nobody has this address."""


class UnknownKey(SeatrialError):
    """No API key has this id, or it is another's."""


def whole_seconds(seconds: float) -> int:
    """The next whole number of seconds; what is left over from adding numbers is no time."""
    return math.ceil(seconds - 1e-6)


class LimitExceeded(SeatrialError):
    """The caller has used up what they may do; one call more is allowed in `seconds`."""

    def __init__(self, what: str, seconds: float) -> None:
        self.seconds = max(1, whole_seconds(seconds))
        super().__init__(f"{what} Try again in {self.seconds} s.")


class ModelNotLoaded(SeatrialError):
    """The model exists, but this server does not have it loaded."""


class StageConflict(SeatrialError):
    """The version stands where it cannot be moved from as asked."""


class TrialConflict(SeatrialError):
    """No trial can be begun now, or it led to a proof already."""


class ProofRefused(SeatrialError):
    """A proof that does not agree with what this server knows; the last of `checks` says where."""

    def __init__(self, checks: Sequence[GateCheck]) -> None:
        last = checks[-1]
        super().__init__(f"{last.need}, {last.step}: expected {last.expected}; received {last.received}.")
        self.checks = tuple(checks)


class GateRefused(SeatrialError):
    """A promotion that is not proven; `decision` is the whole table."""

    def __init__(self, decision: GateDecision) -> None:
        first = next(iter(decision.refused))
        run = f" Run: {decision.command}" if decision.command else ""
        super().__init__(
            f"{decision.model_id} is not proven for {decision.new_stage}. {first.need}, {first.step}: expected "
            f"{first.expected}; received {first.received}.{run}"
        )
        self.decision = decision


class StorageUnavailable(SeatrialError):
    """The database or the files cannot be used now, or it has another schema. The text is the operator's: see `api`."""


class StorageFull(StorageUnavailable):
    """Something could not be kept for lack of room; what was there before is as it was."""


class BodyTooLarge(SeatrialError):
    """The body is over `limit` bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"The body is larger than the limit of {limit} bytes.")
        self.limit = limit


class UnsupportedMediaType(SeatrialError):
    """The body is not of the type that is read, or compressed; `accepted` are headers that say what would do."""

    def __init__(self, detail: str, accepted: Mapping[str, str]) -> None:
        super().__init__(detail)
        self.accepted = dict(accepted)


class TooManyVersions(SeatrialError):
    """The name has as many versions as it may have."""

    def __init__(self, name: str, limit: int) -> None:
        super().__init__(f"'{name}' has {limit} versions, which is the limit (SEATRIAL_MAX_VERSIONS).")


class Busy(SeatrialError):
    """As much is being done as may be at once; the same again in `seconds` may succeed."""

    def __init__(self, what: str, seconds: int) -> None:
        super().__init__(f"{what} Try again in {seconds} s.")
        self.seconds = seconds


class QueueFull(Busy):
    """As many requests wait for a model as may, or they hold as much memory as they may."""

    def __init__(self, model_id: str, waiting: int, seconds: int) -> None:
        super().__init__(f"The queue of the model '{model_id}' is full: {waiting} requests wait.", seconds)


class NotReady(SeatrialError):
    """The server cannot take traffic now. `reasons` names each part that is not ready, and why."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{part}: {reason}" for part, reason in reasons.items()))
        self.reasons = dict(reasons)


class DeadlineExceeded(SeatrialError):
    """The time of the request was up in `phase` (`receive`, `parse`, `queue` or `infer`)."""

    def __init__(self, phase: str, seconds: float) -> None:
        super().__init__(f"The deadline of {seconds:g} s passed in the phase '{phase}'.")
        self.phase = phase


class InferenceFailed(SeatrialError):
    """The runtime failed on an input that the signature accepted."""


class InspectionFailed(SeatrialError):
    """The process that inspects files does not begin; nothing is known of the file. The text is the operator's."""


class ModelUnusable(SeatrialError):
    """A model cannot be loaded, does not fit its manifest, or gives other than its golden answers."""


class ClientGone(Exception):
    """The caller hung up: nobody is there to be answered."""
