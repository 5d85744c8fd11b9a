"""What the server and the process of an inspection say to one another, as JSON."""

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


@dataclass(frozen=True, slots=True)
class Report:
    """What came of it: accepted, no ONNX at all, refused for a reason, or out of memory."""

    verdict: Literal["accepted", "foreign", "refused", "starved"]
    inspected: Inspected | None = None
    summary: str = ""
    faults: tuple[Fault, ...] = ()


orders: TypeAdapter[Order] = TypeAdapter(Order)
reports: TypeAdapter[Report] = TypeAdapter(Report)
