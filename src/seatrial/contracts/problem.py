"""The one shape of an error answer: RFC 9457 problem details, with a list of faults."""

from dataclasses import dataclass
from typing import Any

MEDIA_TYPE = "application/problem+json"
MAX_LISTED = 20
"""How many faults a problem lists; `errors_total` counts them all."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with an input.

    `pointer` is an RFC 6901 JSON pointer into the request body; `expected` and `received` are short texts for people.
    """

    pointer: str
    detail: str
    expected: str
    received: str

    def as_dict(self) -> dict[str, str]:
        """The members of one entry of a problem's `errors`."""
        return {
            "pointer": self.pointer,
            "detail": self.detail,
            "expected": self.expected,
            "received": self.received,
        }


@dataclass(frozen=True, slots=True)
class Problem:
    """An RFC 9457 problem. `type` is `urn:seatrial:problem:<slug>`; `extra` holds extension members."""

    slug: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: tuple[Fault, ...] = ()
    errors_total: int = 0
    extra: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """The JSON object that goes over the wire."""
        return {
            "type": f"urn:seatrial:problem:{self.slug}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": self.instance,
            "request_id": self.request_id,
            "errors": [fault.as_dict() for fault in self.errors],
            "errors_total": self.errors_total,
            **(self.extra or {}),
        }


def pointer(*parts: str | int) -> str:
    """A JSON pointer: `pointer("data", "a/b", 3)` is `/data/a~1b/3`."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)
