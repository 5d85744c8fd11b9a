"""The outermost layer: what every request gets (an id, the host check, a note of its answer), and who answers it."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from seatrial.contracts.problem import MEDIA_TYPE
from seatrial.server.api.guard import TRIAL, Guard, Headers
from seatrial.server.api.journal import Exchange, Journal
from seatrial.server.api.lane import CACHE_CONTROL, TRACEPARENT, Answer, Lane, Outcome
from seatrial.server.api.pace import Pace
from seatrial.server.api.problems import problem_of, render
from seatrial.server.core import ids
from seatrial.server.core.clock import Monotonic
from seatrial.server.core.errors import ClientGone, SeatrialError
from seatrial.server.services.health import Lifecycle
from seatrial.server.services.limiting import RawHeaders
from seatrial.server.wire.http11 import WholeRequest

POLICY = b"default-src 'none'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
UNMATCHED = "unmatched"
"""The route label of requests that match no route: raw paths would make labels without end."""

NO_METHOD = "none"
"""The method label of what could not be read."""

SECURE: RawHeaders = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", POLICY),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
"""What stands on every answer, an error's too: nobody guesses its type, runs, frames or keeps it."""
HTTPS = (b"strict-transport-security", b"max-age=31536000")
"""Behind a proxy that is trusted, and says that the caller came by TLS."""


class Edge:
    """The ASGI application; lives as long as the server.

    Args:
        app: FastAPI, which answers everything that is not the lane's.
        lane: answers predictions.
        guard: checks the host.
        lifecycle: says whether the server is stopping; then connections are closed after their answer.
        journal: notes every answer.
        clock: measures.
    """

    def __init__(
        self,
        app: ASGIApp,
        lane: Lane,
        guard: Guard,
        lifecycle: Lifecycle,
        journal: Journal,
        clock: Monotonic,
    ) -> None:
        self._app = app
        self._lane = lane
        self._guard = guard
        self._lifecycle = lifecycle
        self._journal = journal
        self._clock = clock
        self._pace = Pace()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection event, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = self._clock()
        headers = dict(scope["headers"])
        request_id, common = self._common(headers, scope["client"] and scope["client"][0])
        try:
            if len(headers) != len(scope["headers"]):
                self._guard.check_repeated(scope["headers"])
                wishes = [value for name, value in scope["headers"] if name == CACHE_CONTROL]
                headers |= {CACHE_CONTROL: b", ".join(wishes)} if wishes else {}
            self._guard.check_host(headers, scope["path"])
            if not self._lane.takes(scope):
                exchange = Exchange(scope["method"], scope["path"], request_id, started)
                await self._delegate(exchange, scope, receive, send, common)
                return
            answer = await self._lane.answer(scope, headers, receive, started, common)
        except ClientGone:
            return
        except Exception as error:  # noqa: BLE001 - the last place where an error can become an answer
            exchange = Exchange(scope["method"], scope["path"], request_id, started)
            route = exchange.path if self._lane.takes(scope) else UNMATCHED
            await _send(send, *self._refuse(exchange, route, error, headers, common))
            return
        await _send(send, *_success(answer, common))

    def begin(self, request: WholeRequest) -> bool:
        """Begin to answer a prediction that came whole; see `wire.http11.Application`."""
        headers = dict(request.headers)
        if len(headers) != len(request.headers) or b"origin" in headers:
            return False
        request_id, common = self._common(headers, request.peer)

        def answer(outcome: Outcome) -> None:
            if isinstance(outcome, Exception):
                exchange = Exchange("POST", request.target, request_id, request.started)
                request.answer(*self._refuse(exchange, request.target, outcome, headers, common))
            else:
                request.answer(*_success(outcome, common))

        try:
            self._guard.check_host(headers, request.target)
            return self._lane.begin(request, headers, common, answer)
        except Exception as error:  # noqa: BLE001 - as above
            answer(error)
            return True

    def refuse_unread(self, error: SeatrialError) -> tuple[int, RawHeaders, bytes]:
        """The answer to what cannot be read as a request; see `wire.http11.Application`."""
        request_id, common = self._common({}, None)
        exchange = Exchange(NO_METHOD, "/", request_id, self._clock())
        return self._refuse(exchange, UNMATCHED, error, {}, common)

    def _common(self, headers: Headers, peer: str | None) -> tuple[str, RawHeaders]:
        """The id of a request, and what stands on its answer, whatever that is."""
        request_id = ids.request_id(headers.get(b"x-request-id"))
        common: RawHeaders = [(b"x-request-id", request_id.encode("ascii")), *SECURE]
        if self._guard.came_by_tls(headers, peer):
            common.append(HTTPS)
        if self._lifecycle.draining:
            common.append((b"connection", b"close"))
        return request_id, common

    def _refuse(
        self, exchange: Exchange, route: str, error: Exception, asked: Headers, common: RawHeaders
    ) -> tuple[int, RawHeaders, bytes]:
        """The answer to an error of the lane, or of a check before it; notes it."""
        problem, headers = problem_of(error, exchange.path, exchange.request_id)
        self._under_trial(asked.get(TRIAL), exchange, route, problem.status)
        extra = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
        self._journal.note(exchange, route, problem.status, problem.slug, error)
        if route != UNMATCHED:
            self._journal.trace(exchange, route, problem.status, asked.get(TRACEPARENT))
        return problem.status, [(b"content-type", MEDIA_TYPE.encode()), *common, *extra], render(problem)

    async def _delegate(
        self, exchange: Exchange, scope: Scope, receive: Receive, send: Send, common: RawHeaders
    ) -> None:
        """Let FastAPI answer, with our headers on what it sends. HEAD is a GET whose body the server leaves out.

        However many come at once, predictions go in between.
        """
        await self._pace.turn()
        method = "GET" if exchange.method == "HEAD" else exchange.method
        state = {**scope.get("state", {}), "request_id": exchange.request_id, "headers": common}
        scope = {**scope, "method": method, "state": state}
        status = 0
        trial = next((value for name, value in scope["headers"] if name == TRIAL), None)

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = {name.lower() for name, _ in message["headers"]}
                if b"etag" in own:  # a file of ours, which may be kept and asked about again
                    own.add(b"cache-control")
                message["headers"] = [*message["headers"], *(header for header in common if header[0] not in own)]
                route = getattr(scope.get("route"), "path", UNMATCHED)
                self._under_trial(trial, exchange, route, status)
            await send(message)

        failure: Exception | None = None
        try:
            await self._app(scope, receive, send_with_headers)
        except Exception as error:  # noqa: BLE001 - FastAPI has answered 500, and raises for the server's log: ours
            failure = error
        route = getattr(scope.get("route"), "path", UNMATCHED)
        self._journal.note(exchange, route, status, state.get("refused"), failure or state.get("cause"))

    def _under_trial(self, trial: bytes | None, exchange: Exchange, route: str, status: int) -> None:
        """Count an answer that belongs to a trial."""
        if trial is not None:
            self._journal.count(exchange, trial.decode("latin-1"), route, status)


def _success(answer: Answer, common: RawHeaders) -> tuple[int, RawHeaders, bytes]:
    body, timing = answer
    return 200, [(b"content-type", b"application/json"), *common, (b"server-timing", timing)], body


async def _send(send: Send, status: int, headers: RawHeaders, body: bytes) -> None:
    """One whole answer."""
    start = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})
