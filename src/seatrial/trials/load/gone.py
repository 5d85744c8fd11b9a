"""Whether the target was there until the end."""

from pathlib import Path

from seatrial.trials.core import probe
from seatrial.trials.core.errors import CouldNotRun
from seatrial.trials.core.target import Target
from seatrial.trials.measure.records import read_samples

GONE_S = 2.0
"""A target is gone if it accepts no connection at the end, and nothing but failed ones came in so many seconds."""


def require_still_there(target: Target, records: Path) -> None:
    """Raise CouldNotRun if the target went away: the records are kept, but say nothing about a server."""
    if probe.accepts(target):
        return
    ends = [(sample.start + sample.latency_ms / 1000, sample.status) for sample in read_samples(records)]
    last = max((moment for moment, _ in ends), default=0.0)
    if ends and all(status == 0 for moment, status in ends if moment > last - GONE_S):
        raise CouldNotRun(
            f"{target.url} went away during the run, and accepts no connections; its records are in {records}"
        )
