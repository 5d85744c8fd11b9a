"""The prediction lane: `/predict` and `/predict/batch` answered by plain ASGI, since here every microsecond counts.

The same routes are declared in `api.predict` with pydantic models, for the schema; a test holds the two together.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar
from weakref import ref

from starlette.types import Receive, Scope

from seatrial.server.api.body import read_body
from seatrial.server.api.guard import TRIAL, Guard, Headers
from seatrial.server.api.journal import Count
from seatrial.server.core.clock import Monotonic
from seatrial.server.core.errors import ClientGone
from seatrial.server.core.observe import Observer, Ran, Times, Tracer
from seatrial.server.inference.deadline import Deadline
from seatrial.server.inference.model import InferResult
from seatrial.server.inference.types import InferRequest
from seatrial.server.services.asked import Question
from seatrial.server.services.limiting import RawHeaders
from seatrial.server.services.predict import Predictor
from seatrial.server.wire.http11 import WholeRequest
from seatrial.server.wire.native import Decoder, at_this_moment, encode, without_moment

CACHE_CONTROL = b"cache-control"
TRACEPARENT = b"traceparent"
WRITTEN_BYTES = 1024
"""Longer answers are written each time: there may be ten thousand."""
Answer = tuple[bytes, bytes]
"""Body and Server-Timing of a prediction."""
Outcome = Answer | Exception
Result = TypeVar("Result")


QUICK_BYTES = 256 * 1024
"""Bodies up to this size are read in the event loop, which takes a millisecond at most; larger ones in a thread."""

_TIMING = (
    b"parse;dur=%.3f, auth;dur=%.3f, cache;desc=%s, queue;dur=%.3f, batch;desc=%d, infer;dur=%.3f, encode;dur=%.3f, "
    b"total;dur=%.3f"
)


class Lane:
    """Answers prediction requests; lives as long as the server."""

    def __init__(
        self,
        guard: Guard,
        predictor: Predictor,
        observer: Observer,
        clock: Monotonic,
        count: Count,
        tracer: Tracer | None = None,
    ) -> None:
        self._tracer = tracer
        self._guard = guard
        self._predictor = predictor
        self._observer = observer
        self._clock = clock
        self._count = count
        self._routes: dict[
            str, tuple[bool, Decoder, Callable[[InferRequest, Deadline], Coroutine[Any, Any, InferResult]]]
        ] = {
            "/predict": (False, Decoder(batch=False), predictor.predict),
            "/predict/batch": (True, Decoder(batch=True), predictor.predict_batch),
        }

    def takes(self, scope: Scope) -> bool:
        """Whether this request is the lane's."""
        return scope["path"] in self._routes and scope["method"] == "POST"

    async def answer(self, scope: Scope, headers: Headers, receive: Receive, started: float, say: RawHeaders) -> Answer:
        """Answer one request; what is to be said of its limits is added to the headers.

        Raises:
            SeatrialError: the request is refused, or fails.
            ClientGone: nobody is there to be answered.
        """
        guard, path = self._guard, scope["path"]
        client = scope["client"]
        _, admission = await guard.admit(headers, client[0] if client else None, "predict", say)
        try:
            return await self._answer(path, headers, receive, started)
        finally:
            admission.end()

    def begin(self, call: WholeRequest, headers: Headers, say: RawHeaders, done: Callable[[Outcome], None]) -> bool:
        """Begin to answer a request to `/predict` that is here whole; its outcome goes to `done`, once, maybe at once.

        `False`, where something has to be waited for before it can be read: then nothing has been done. What is plainly
        wrong with it is raised, as by `answer`.
        """
        guard, path = self._guard, call.target
        admission = guard.admit_now(headers, call.peer, "predict", say)
        if admission is None:
            return False
        try:
            deadline = self._deadline(headers, call.started)
            authorized = self._clock()
            guard.check_size(len(call.body))
            body = bytes(call.body)
            fresh = TRIAL in headers or CACHE_CONTROL in headers
            known = None if fresh else self._predictor.recall(body)
            question = known[0] if known else None
            request = _read(self._routes[path][1], body, headers) if question is None else _of(question)
            request.traceparent = headers.get(TRACEPARENT)

            def predicted(outcome: InferResult | Exception) -> None:
                admission.end()
                if isinstance(outcome, Exception):
                    if isinstance(outcome, ClientGone):
                        self._observer.departed(path)
                    else:
                        done(outcome)
                    return
                try:
                    answer = self._finish(path, request, outcome, call.started, authorized, question)
                except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
                    done(error)
                else:
                    done(answer)

            if known:
                deadline.check("queue")
                predicted(known[1])
            else:
                call.leave = self._predictor.begin(request, deadline, predicted, body)
        except BaseException:
            admission.end()
            raise
        return True

    async def _answer(self, path: str, headers: Headers, receive: Receive, started: float) -> Answer:
        batch, decoder, predict = self._routes[path]
        deadline = self._deadline(headers, started)
        authorized = self._clock()
        body = await read_body(receive, self._guard.max_body_bytes, deadline)
        if len(body) <= QUICK_BYTES:
            request = _read(decoder, body, headers)
            result = await self._unless_gone(path, predict(request, deadline), receive)
        else:
            read = partial(_read, Decoder(batch=batch), body, headers)
            large = self._predictor.predict_large(read, deadline, batch=batch)
            request, result = await self._unless_gone(path, large, receive)
        request.traceparent = headers.get(TRACEPARENT)
        return self._finish(path, request, result, started, authorized)

    async def _unless_gone(self, path: str, work: Coroutine[Any, Any, Result], receive: Receive) -> Result:
        """What comes of `work`, which ends when the caller hangs up: then `ClientGone`."""
        working = asyncio.ensure_future(work)
        leaving = asyncio.ensure_future(receive())
        try:
            await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
        finally:
            leaving.cancel()
            working.cancel()
        self._observer.departed(path)
        raise ClientGone

    def _deadline(self, headers: Headers, started: float) -> Deadline:
        """By when a request is to be answered, once its headers are found right."""
        self._guard.check_body(headers)
        return Deadline(self._guard.timeout(headers), started, self._clock)

    def _finish(
        self,
        path: str,
        request: InferRequest,
        result: InferResult,
        started: float,
        authorized: float,
        question: Question | None = None,
    ) -> Answer:
        """Write the answer, and tell of it. `question`: the body was known; then its answer is written but once."""
        predicted = self._clock()
        known = question.written if question is not None else None
        if known is not None and known[0]() is result.output:
            answer = at_this_moment(known[1], known[2])
        else:
            answer = encode(result, batch=self._routes[path][0], probabilities=request.return_probabilities)
            if question is not None and len(answer) <= WRITTEN_BYTES:
                question.written = ref(result.output), *without_moment(answer)
        done = self._clock()
        total = done - started
        if request.trial is not None:
            self._count(request.trial, f"POST {path}", result.model.model_id, 200, total)
        parse = max(predicted - authorized - result.wall_seconds, 0.0)
        if self._tracer is not None:
            self._trace(self._tracer, path, request, result, (started, predicted, done))
        times = Times(parse, result.queue_seconds, result.infer_seconds, done - predicted, total)
        self._observer.predicted(path, result.model.model_id, result.rows, times)
        timing = _TIMING % (
            parse * 1e3,
            (authorized - started) * 1e3,
            result.cache.encode(),
            result.queue_seconds * 1e3,
            result.together,
            result.infer_seconds * 1e3,
            (done - predicted) * 1e3,
            total * 1e3,
        )
        return answer, timing

    @staticmethod
    def _trace(
        tracer: Tracer, path: str, request: InferRequest, result: InferResult, moments: tuple[float, float, float]
    ) -> None:
        """Tell of a prediction that began, was there and was written at these moments."""
        started, predicted, done = moments
        queued = predicted - result.wall_seconds
        run = queued, queued + result.queue_seconds, predicted
        ran = Ran(result.model.model_id, result.rows, result.together, result.cache, *run)
        tracer.request(path, request.traceparent, 200, started, done, ran)


def _of(question: Question) -> InferRequest:
    """A request that need not be read again; there is nothing in its `data`."""
    return InferRequest(None, return_probabilities=question.probabilities)


def _read(decoder: Decoder, body: bytes, headers: Headers) -> InferRequest:
    request = decoder.decode(body)
    if TRIAL in headers:
        request.trial = headers[TRIAL].decode("latin-1")
    if CACHE_CONTROL in headers:
        request.no_cache = b"no-cache" in headers[CACHE_CONTROL].lower()
    return request
