"""Cross-origin requests: none, unless the operator names the origins."""

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import Message, Receive, Scope, Send

from seatrial.server.api.edge import SECURE, Edge
from seatrial.server.services.limiting import RawHeaders

EXPOSED = ("X-Request-ID", "Server-Timing", "RateLimit", "RateLimit-Policy", "Retry-After", "Location")
SENT = ("Authorization", "Content-Type", "X-Request-ID", "X-Request-Timeout", "X-Seatrial-Trial")
SHARED = (b"cross-origin-resource-policy", b"cross-origin")


class CrossOrigin:
    """The application, which also answers pages of other origins. Credentials of a browser are never asked for."""

    def __init__(self, app: Edge, origins: Sequence[str]) -> None:
        self._app = app
        self._middleware = CORSMiddleware(
            app,
            allow_origins=tuple(origins),
            allow_methods=("DELETE", "GET", "POST"),
            allow_headers=SENT,
            expose_headers=EXPOSED,
        )
        self.begin = app.begin  # what comes from a page does not go the short way
        self.refuse_unread = app.refuse_unread

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection event, as ASGI has it. What comes from no page is answered as if there were none."""
        if scope["type"] != "http" or not any(name == b"origin" for name, _ in scope["headers"]):
            await self._app(scope, receive, send)
            return

        async def send_whole(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _whole(message["headers"])
            await send(message)

        await self._middleware(scope, receive, send_whole)


def cross_origin(edge: Edge, origins: Sequence[str]) -> Edge | CrossOrigin:
    """The application, for pages of these origins too where there are any."""
    return CrossOrigin(edge, origins) if origins else edge


def _whole(headers: RawHeaders) -> RawHeaders:
    """With what stands on every answer, which one to a preflight lacks; other origins may read it."""
    added = [] if SECURE[0] in headers else SECURE
    return [header for header in [*headers, *added] if header[0] != SHARED[0]] + [SHARED]
