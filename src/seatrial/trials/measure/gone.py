"""Whether the target was there until the end."""

from pathlib import Path

from seatrial.trials.core import probe
from seatrial.trials.core.errors import CouldNotRun
from seatrial.trials.core.target import Target
from seatrial.trials.measure.records import read_samples

GONE_S = 2.0
GONE = 20
"""A target is gone if it accepts no connection at the end, and nobody had an answer in the last two seconds, or of the
last twenty who asked: where one caller asks after the other, those who are refused are quick."""


def require_still_there(target: Target, records: Path) -> None:
    """Raise CouldNotRun if the target went away: the records are kept, but say nothing about a server."""
    if probe.accepts(target):
        return
    ends = sorted((sample.start + sample.latency_ms / 1000, sample.status) for sample in read_samples(records))
    if not ends:
        return
    recent = [status for moment, status in ends if moment > ends[-1][0] - GONE_S]
    if not any(recent) or not any(status for _, status in ends[-GONE:]):
        raise CouldNotRun(
            f"{target.url} went away during the run, and accepts no connections; its records are in {records}"
        )
