"""Cross-origin requests: none, unless the operator names the origins."""

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from seatrial.server.api.edge import SECURE
from seatrial.server.services.limiting import RawHeaders

EXPOSED = ("X-Request-ID", "Server-Timing", "RateLimit", "RateLimit-Policy", "Retry-After", "Location")
SENT = ("Authorization", "Content-Type", "X-Request-ID", "X-Request-Timeout", "X-Seatrial-Trial")
SHARED = (b"cross-origin-resource-policy", b"cross-origin")


def cross_origin(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """The application, which also answers pages of these origins. Credentials of a browser are never asked for."""
    if not origins:
        return app
    middleware = CORSMiddleware(
        app,
        allow_origins=tuple(origins),
        allow_methods=("DELETE", "GET", "POST"),
        allow_headers=SENT,
        expose_headers=EXPOSED,
    )

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_whole(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _whole(message["headers"])
            await send(message)

        await middleware(scope, receive, send_whole if scope["type"] == "http" else send)

    return answer


def _whole(headers: RawHeaders) -> RawHeaders:
    """With what stands on every answer, which one to a preflight lacks; other origins may read it."""
    added = [] if SECURE[0] in headers else SECURE
    return [header for header in [*headers, *added] if header[0] != SHARED[0]] + [SHARED]
