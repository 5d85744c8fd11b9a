"""The users: what each class asks, how often, and after what wait. Every answer is checked."""

import os
import random
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import geventhttpclient.client
from gevent import Timeout
from locust import FastHttpUser, between, task
from locust.contrib.fasthttp import ResponseContextManager
from locust.env import Environment

from seatrial.grading.plans import WAITS
from seatrial.trials.core import questions
from seatrial.trials.core.models import Models, bundled_models, read_models
from seatrial.trials.core.questions import HEADERS, KEEP_ALIVE_S, Question
from seatrial.trials.core.target import Target, read_target_file

TIMEOUT_S = 30.0
EVERY_STATUS = frozenset(range(100, 600))

# The HTTP library would send what it calls idempotent again, up to eleven times, and tell nobody.
geventhttpclient.client.IDEMPOTENT_METHODS = frozenset()


class SeatrialUser(FastHttpUser):
    """What all classes share: TLS is checked, requests time out, and a wrong answer is a failure.

    Nothing is sent twice, and no redirect is followed: what came is what is judged, as in the open loop.
    """

    abstract = True
    insecure = False
    connection_timeout = TIMEOUT_S
    network_timeout = TIMEOUT_S

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.client.client.valid_response_codes = EVERY_STATUS  # type: ignore[misc] # for this client alone
        self.client.client.redirect_response_codes = frozenset()  # type: ignore[misc] # the same
        self._rested = time.monotonic()

    def context(self) -> dict[str, Any]:
        """Told to whoever listens to requests."""
        return {"user": type(self).__name__}

    def ask(self, question: Question) -> None:
        """Send one request and judge its answer."""
        with self._send(question) as response:
            if response.request_meta["exception"] or not response.status_code:
                return  # no answer, or not all of it: Locust records the exception
            fault = question.check(response.status_code, response.content or b"")
            if fault:
                response.failure(fault)
            else:
                response.success()

    def _send(self, question: Question) -> ResponseContextManager:
        """Send one request, and give it up after the timeout: those of the library are of each wait for a part."""
        if time.monotonic() - self._rested > KEEP_ALIVE_S:
            self.client.client.close()
        timeout = Timeout.start_new(TIMEOUT_S)
        try:
            return self.client.request(
                question.method,
                question.path,
                name=question.endpoint,
                data=question.body,  # type: ignore[arg-type] # Locust's annotation forgets bytes
                headers={**HEADERS, **question.headers, **_headers()},
                context={"model": question.model},
                catch_response=True,
            )
        finally:
            timeout.close()
            self._rested = time.monotonic()

    def ask_one_of(self, choices: Sequence[Question]) -> None:
        """Send one of several requests, drawn at random."""
        self.ask(random.choice(choices))  # noqa: S311 - which question comes next, not cryptography


@cache
def _headers() -> dict[str, str]:
    """Who asks, and for which trial."""
    return Target("", os.environ.get("SEATRIAL_API_KEY", ""), trial=os.environ.get("SEATRIAL_TRIAL", "")).counted


@cache
def models() -> Models:
    """What is asked about."""
    path = os.environ.get("SEATRIAL_MODELS")
    return read_models(Path(path)) if path else bundled_models()


def _either() -> Sequence[Question]:
    """The known inputs of one of the models."""
    return questions.predictions(random.choice(models().either()))  # noqa: S311 - the same


class GeoClimateUser(SeatrialUser):
    """Watches the service and the climate: health 50 %, models 25 %, metrics 15 %, predictions 10 %."""

    wait_time = between(*WAITS["GeoClimateUser"])

    def on_start(self) -> None:
        """Look whether it is well before using it."""
        self.ask(questions.health())

    @task(50)
    def health(self) -> None:
        """Is it well?"""
        self.ask(questions.health())

    @task(25)
    def models(self) -> None:
        """What is there?"""
        self.ask(questions.models())

    @task(15)
    def metrics(self) -> None:
        """How is it doing?"""
        self.ask(questions.metrics())

    @task(10)
    def predict(self) -> None:
        """How warm is it?"""
        self.ask_one_of(questions.predictions(models().regression))


class APIStressUser(SeatrialUser):
    """A program in a hurry: health checks and predictions, one after the other."""

    wait_time = between(*WAITS["APIStressUser"])

    @task
    def health(self) -> None:
        """Rapid health checks."""
        self.ask(questions.health())

    @task
    def predict(self) -> None:
        """Rapid predictions of both models."""
        self.ask_one_of(_either())


class RealisticUser(SeatrialUser):
    """A person at work: browses 40 %, checks models (half the time by stage) 30 %, predicts 20 %, metrics 10 %."""

    wait_time = between(*WAITS["RealisticUser"])

    @task(40)
    def browse(self) -> None:
        """Health or documentation."""
        self.ask_one_of((questions.health(), questions.page("/docs")))

    @task(30)
    def models(self) -> None:
        """All models, or those in production."""
        self.ask_one_of((questions.models(), questions.models("production")))

    @task(20)
    def predict(self) -> None:
        """A digit or a temperature."""
        self.ask_one_of(_either())

    @task(10)
    def metrics(self) -> None:
        """How is it doing?"""
        self.ask(questions.metrics())


class MNISTAPIUser(SeatrialUser):
    """Reads digits: known images 10, health 2, root 1, an image without ink 1, one all ink 1."""

    wait_time = between(*WAITS["MNISTAPIUser"])

    @task(10)
    def predict(self) -> None:
        """A known handwritten digit."""
        self.ask_one_of(questions.predictions(models().classification))

    @task(2)
    def health(self) -> None:
        """Is it well?"""
        self.ask(questions.health())

    @task(1)
    def root(self) -> None:
        """Who is there?"""
        self.ask(questions.root())

    @task(1)
    def all_zero(self) -> None:
        """No ink at all."""
        self.ask(questions.blank_images(models().classification)[0])

    @task(1)
    def all_one(self) -> None:
        """Nothing but ink."""
        self.ask(questions.blank_images(models().classification)[1])


class StressTestUser(SeatrialUser):
    """Rapid-fire digits."""

    wait_time = between(*WAITS["StressTestUser"])

    @task
    def predict(self) -> None:
        """A known handwritten digit."""
        self.ask_one_of(questions.predictions(models().classification))


@cache
def target() -> Target:
    """What the target file says."""
    return read_target_file(Path(os.environ["SEATRIAL_TARGET_FILE"]), "http://127.0.0.1")


class TargetUser(SeatrialUser):
    """Asks what a target file says, by its weights, with its waits."""

    def wait_time(self) -> float:
        """Seconds until the next request."""
        return random.uniform(*target().wait_s)  # noqa: S311 - the same

    @task
    def request(self) -> None:
        """One of the file's requests."""
        requests = target().requests
        (chosen,) = random.choices(requests, [item.weight for item in requests])  # noqa: S311 - the same
        self.ask(chosen.question)
