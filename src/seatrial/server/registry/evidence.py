"""What is known of a version beside its files: trials of it, what was counted in them, and the proofs that came."""

import re
from dataclasses import dataclass

from seatrial.contracts.proof import Proof
from seatrial.grading.histogram import Histogram, decode, merged
from seatrial.grading.regrade import PAIRS

TRIAL_SECONDS = 3600.0
"""How long a trial counts, and holds its version in memory."""
MOST_OPEN_TRIALS = 16
KEPT_SECONDS = 7 * 86400.0
"""How long a trial that has ended is known, so that a late proof of it is told why it is refused."""
_header = re.compile(rf"([0-9a-f]{{32}})(?:/({PAIRS}))?").fullmatch


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial of one version. Times are Unix time in seconds; `closed` by the proof that it led to."""

    trial_id: str
    name: str
    version: int
    opened: float
    expires: float
    who: str
    closed: bool = False

    @property
    def model_id(self) -> str:
        """`name:version`."""
        return f"{self.name}:{self.version}"

    def counts_at(self, now: float) -> bool:
        """Whether requests still count, and a proof is still taken."""
        return not self.closed and now < self.expires


@dataclass(frozen=True, slots=True)
class Tally:
    """What one worker counted under a trial: requests to an endpoint in a phase, by the model that answered.

    `errors` were answered with a status of 400 or above. `histogram` is of the server's own latency (base64), `first`
    and `last` when a request came (Unix time in seconds).
    """

    phase: str
    endpoint: str
    model_id: str
    requests: int
    errors: int
    histogram: str
    first: float
    last: float


@dataclass(frozen=True, slots=True)
class Submitted:
    """A proof that agreed with what the server counted. `need` is what it can be evidence for: `load.high`, `golden`.

    `digest` is that of its file, `submitted` Unix time in seconds, `counted` what the server had counted by then.
    """

    digest: str
    name: str
    version: int
    need: str
    trial_id: str
    submitted: float
    who: str
    counted: tuple[Tally, ...]


def read_header(value: str) -> tuple[str, str] | None:
    """Trial id and phase of an `X-Seatrial-Trial` header; none where it is no such thing."""
    found = _header(value)
    return (found[1], found[2] or "") if found else None


def need_of(proof: Proof) -> str:
    """What a proof can be evidence for: `load.high` of a plan, else its verb."""
    return f"load.{proof.run.plan}" if proof.run.verb == "load" else proof.run.verb


def latencies(tallies: tuple[Tally, ...]) -> Histogram:
    """All latencies that were counted."""
    return merged(decode(tally.histogram) for tally in tallies)


def span(tallies: tuple[Tally, ...]) -> float:
    """Seconds from the first request to the last; 0 where there was none."""
    return max((item.last for item in tallies), default=0.0) - min((item.first for item in tallies), default=0.0)
