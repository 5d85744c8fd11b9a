"""A deployment as those who use it meet it: over HTTP, by commands, and by nothing else.

Without `SEATRIAL_TARGET` it is a stack on this machine (`tests.stack`), whose parts tests may break. With it it is
whatever answers there: `SEATRIAL_API_KEY` is the operator's token, and tests that break something skip. What they
register there is called `e2e-...`. `SEATRIAL_PATIENCE` is how many seconds a test waits for something.
"""

import os
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.live import PYTHON, environment, until
from tests.stack import HAPROXY, Stack, running_stack

from seatrial.trials.core.models import bundled
from seatrial.trials.core.questions import Question, predictions

TARGET = os.environ.get("SEATRIAL_TARGET", "")
KEY = os.environ.get("SEATRIAL_API_KEY", "")
PATIENCE = float(os.environ.get("SEATRIAL_PATIENCE", "30"))
Json = Any


@dataclass(frozen=True)
class Deployment:
    """Where it is, the keys of its operator and of somebody who predicts and reads, and its parts, if they are ours."""

    url: str
    key: str
    user_key: str
    stack: Stack | None

    @contextmanager
    def caller(self, key: str | None = None) -> Iterator[httpx2.Client]:
        """Somebody with a key, who is the operator if nothing is said; with an empty one they have none."""
        known = self.key if key is None else key
        headers = {"Authorization": f"Bearer {known}"} if known else {}
        with httpx2.Client(base_url=self.url, headers=headers, timeout=PATIENCE) as http:
            yield http

    def user(self) -> AbstractContextManager[httpx2.Client]:
        """Somebody who may predict and read."""
        return self.caller(self.user_key)

    def parts(self) -> Stack:
        """What a test may break; skips it where nothing may be broken."""
        if self.stack is None:
            pytest.skip("breaks parts of a deployment, and this one (SEATRIAL_TARGET) is not the test's own")
        return self.stack

    def seatrial(self, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """A command of `seatrial` that acts on it over HTTP, run in a folder."""
        known = environment(folder, SEATRIAL_TARGET=self.url, SEATRIAL_API_KEY=self.key)
        return subprocess.run(
            [*PYTHON, *arguments], cwd=folder, env=known, capture_output=True, text=True, check=False, timeout=300
        )


@contextmanager
def deployed(folder: Path) -> Iterator[Deployment]:
    """The deployment that the environment names, or a stack of our own."""
    if TARGET:
        with with_user(TARGET.rstrip("/"), KEY, None) as found:
            yield found
        return
    if HAPROXY is None:
        pytest.skip("needs HAProxy: apt-get install haproxy")
    with running_stack(folder) as stack, with_user(stack.balancer.url, stack.token, stack) as found:
        yield found


@contextmanager
def with_user(url: str, key: str, stack: Stack | None) -> Iterator[Deployment]:
    """A deployment in which somebody got a key of their own, until the tests are over."""
    wish = {"name": new_name(), "scopes": ["predict", "read"], "rate_limit": "1000000/second"}
    operator = Deployment(url, key, key, stack)
    with operator.caller() as http:
        made = expect(http.post("/auth/keys", json=wish), 201)
        try:
            yield Deployment(url, key, made["key"], stack)
        finally:
            expect(http.delete(f"/auth/keys/{made['key_id']}"), 204)


def expect(answer: httpx2.Response, status: int) -> Json:
    """The document of an answer, which must have this status; else it says who was asked for what, and what came."""
    request = answer.request
    assert answer.status_code == status, (
        f"{request.method} {request.url}: expected {status}, came {answer.status_code} "
        f"(request {answer.headers.get('x-request-id')}): {answer.text[:1000]}"
    )
    return answer.json() if answer.content and "json" in answer.headers["content-type"] else answer.text


def expect_problem(answer: httpx2.Response, status: int, slug: str) -> Json:
    """The problem that an answer must be."""
    document = expect(answer, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert document["type"] == f"urn:seatrial:problem:{slug}", document
    assert document["request_id"] == answer.headers["x-request-id"]
    return document


def known(name: str) -> tuple[Question, ...]:
    """The known inputs of a bundled model, each with a check of its answer."""
    return predictions(bundled(name))


def ask(http: httpx2.Client, question: Question, headers: Mapping[str, str] | None = None) -> Json:
    """Ask a question whose answer is known, and be answered rightly."""
    answer = http.request(
        question.method, question.path, content=question.body, headers={**question.headers, **(headers or {})}
    )
    document = expect(answer, 200)
    assert not question.check(answer.status_code, answer.content), question.check(answer.status_code, answer.content)
    return document


def new_name() -> str:
    """A name that no model has yet."""
    return f"e2e-{secrets.token_hex(4)}"


def register(http: httpx2.Client, name: str, model: bytes, **parts: str) -> Json:
    """Register a file as the next version of a name; the answer's document."""
    form = {"model": ("model.onnx", model, "application/onnx")}
    form |= {part: (part, text.encode(), "text/plain") for part, text in parts.items()}
    return expect(http.post("/models", params={"name": name, "reason": "an end-to-end test"}, files=form), 201)


def promote(http: httpx2.Client, model_id: str, stage: str) -> Json:
    """Move a version, proven or not, as the operator may."""
    params = {"new_stage": stage, "override": "true", "reason": "an end-to-end test"}
    return expect(http.post(f"/models/{model_id}/promote", params=params), 200)


def stage_of(http: httpx2.Client, model_id: str) -> str:
    """Where a version stands."""
    return str(expect(http.get(f"/models/{model_id}"), 200)["stage"])


def everywhere(http: httpx2.Client, model_id: str, data: Json) -> Json:
    """The answer of a version that was just moved, once every replica gives it ten times in a row."""
    body = {"model_id": model_id, "data": data}

    def answered() -> bool:
        return all(http.post("/predict", json=body).status_code == 200 for _ in range(10))

    until(answered, f"{model_id} is served by every replica", PATIENCE)
    return expect(http.post("/predict", json=body), 200)
