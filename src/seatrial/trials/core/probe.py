"""The few questions about a target that are no part of the load."""

import http.client
import ssl
import time
from dataclasses import replace
from urllib.parse import urlsplit

import orjson

from seatrial.contracts.record import MemoryReading, Subject
from seatrial.trials.core.errors import CouldNotRun
from seatrial.trials.core.models import KnownModel, read_known
from seatrial.trials.core.target import Target, subjects_of

TIMEOUT_S = 5.0
SUBMIT_S = 30.0
MEMORY_S = 2.0
"""Seconds between two readings of a target's memory."""
MEMORY = b"process_resident_memory_bytes "


def _connection(target: Target, timeout_s: float) -> http.client.HTTPConnection:
    parts = urlsplit(target.url)
    host = parts.hostname or ""
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, parts.port, timeout=timeout_s, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, parts.port, timeout=timeout_s)


def require(target: Target) -> None:
    """Connect, and hang up.

    Raises:
        CouldNotRun: the target does not accept a connection; the text says why.
    """
    connection = _connection(target, TIMEOUT_S)
    try:
        connection.connect()
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise CouldNotRun(
            f"{target.url} does not accept connections: {reason}. Is the server running there?"
        ) from error
    finally:
        connection.close()


def accepts(target: Target) -> bool:
    """Whether the target accepts a connection."""
    try:
        require(target)
    except CouldNotRun:
        return False
    return True


def ask(target: Target, path: str) -> bytes | None:
    """The body of a GET with status 200; None for anything else."""
    status, body = exchange(target, "GET", path)
    return body if status == http.HTTPStatus.OK else None


def exchange(target: Target, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Status and body of a request, whose own body is JSON; status 0 where no answer came."""
    connection = _connection(target, TIMEOUT_S if body is None else SUBMIT_S)
    headers = target.headers if body is None else {**target.headers, "Content-Type": "application/json"}
    try:
        connection.request(method, urlsplit(target.url).path + path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def models(target: Target) -> tuple[Subject, ...]:
    """The models in production, and the one that is on trial, where the target is a Seatrial server; else none."""
    served = subjects_of(_document(target, "/models"))
    if not target.model:
        return served
    return (*(subject for subject in served if subject.model_id != target.model), candidate(target))


def candidate(target: Target) -> Subject:
    """The version that is on trial, as the target serves it; raises `CouldNotRun` where it tells nothing of it."""
    document = _document(target, f"/models/{target.model}")
    found = document if isinstance(document, dict) else {}
    digest, served = found.get("digest"), found.get("serving_config_digest")
    if not isinstance(digest, str):
        raise CouldNotRun(f"{target.url} tells nothing of {target.model} at /models/{target.model}")
    return Subject(model_id=target.model, digest=digest, serving_config_digest=served or "")


def known_model(target: Target, model_id: str) -> KnownModel:
    """A version with its known answers, as the target tells them; raises `CouldNotRun` where it does not."""
    description, golden = ask(target, f"/models/{model_id}"), ask(target, f"/models/{model_id}/golden")
    try:
        return read_known(description or b"", golden or b"", model_id)
    except ValueError as error:
        raise CouldNotRun(
            f"{target.url} tells no known answers of {model_id}: expected its manifest at /models/{model_id} and "
            f"cases with a tolerance at /models/{model_id}/golden"
        ) from error


def with_models(target: Target) -> Target:
    """The target, with what its users ask about: its own versions where those are not what is bundled.

    The one on trial takes the place of the model of its task. Raises `CouldNotRun` where its answers are not known.
    """
    if target.requests:
        return target
    found = target.models
    for model in found.either():
        known = _in_production(target, model)
        found = found.put(known) if known else found
    if target.model:
        candidate = known_model(target, target.model)
        found = replace(found.put(candidate), candidate=candidate)
    return replace(target, models=found)


def _in_production(target: Target, model: KnownModel) -> KnownModel | None:
    """The version of the same name that is in production, asked by its name; none where it is the bundled one."""
    for subject in subjects_of(_document(target, f"/models?stage=production&model_name={model.name}")):
        if subject.model_id.startswith(f"{model.name}:") and subject.digest != model.manifest.digest:
            return replace(known_model(target, subject.model_id), model_id="")
    return None


def _document(target: Target, path: str) -> object:
    try:
        return orjson.loads(ask(target, path) or b"null")
    except orjson.JSONDecodeError:
        return None


def memory(target: Target) -> float | None:
    """The resident memory of the target in bytes, summed over its processes; None where it is not served."""
    lines = (ask(target, "/metrics") or b"").splitlines()
    values = [line.split()[-1] for line in lines if line.startswith((MEMORY, MEMORY.strip() + b"{"))]
    try:
        return sum(map(float, values)) if values else None
    except ValueError:
        return None


class MemoryWatch:
    """Reads the memory of a target now and then; not again where the first answer had none.

    Later on a reading may be missing, while the target is busy.
    """

    def __init__(self, target: Target) -> None:
        self.readings: list[MemoryReading] = []
        self.served = True
        self._target = target
        self._due = 0.0

    @property
    def due(self) -> bool:
        """Whether it is time for a reading, and readings are served."""
        return self.served and time.monotonic() >= self._due

    def read_if_due(self) -> None:
        """Ask, if the last time was long enough ago."""
        if not self.due:
            return
        found = memory(self._target)
        self._due = time.monotonic() + MEMORY_S
        if found is not None:
            self.readings.append(MemoryReading(time=time.time(), bytes=found))
        elif not self.readings:
            self.served = False
