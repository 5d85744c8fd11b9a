"""What the server and the process of an inspection say to one another: two words at most, and documents of JSON."""

from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter

from seatrial.contracts.problem import Fault
from seatrial.server.registry.candidate import Candidate, Inspected
from seatrial.server.runtimes.inspection.limits import Limits


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be inspected; the file itself comes as a file descriptor."""

    candidate: Candidate
    limits: Limits
    size: int
    asker: int
    """The process that waits for the report."""


@dataclass(frozen=True, slots=True)
class Report:
    """What came of it: accepted, no ONNX at all, refused for a reason, or out of memory."""

    verdict: Literal["accepted", "foreign", "refused", "starved"]
    inspected: Inspected | None = None
    summary: str = ""
    faults: tuple[Fault, ...] = ()


READY = b"ready"
"""Said by the process, on a line of its own, before it reads the file: what goes wrong until then is not the file's."""
EXTREMES = b"extremes"
"""Said before the model is asked the extremes: what goes wrong from then on is due to them."""

orders: TypeAdapter[Order] = TypeAdapter(Order)
reports: TypeAdapter[Report] = TypeAdapter(Report)
