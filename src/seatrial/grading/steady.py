"""Warm-up, found and not assumed: where the run settles, and whether it stays so."""

from collections.abc import Sequence
from statistics import median

from seatrial.contracts.record import Run
from seatrial.grading.measures import Steadiness

MOST_OF_RUN = 0.25
MOST_S = 5.0
"""The largest share of what follows the ramp that may be called warm-up, and the most seconds of it: who is slow for
longer is slow."""
SETTLED = 1.5
FLOOR_MS = 1.0
"""A difference below this is not worth a word."""
WINDOW = 3
SHORTEST = 6
"""Seconds with answers that a statement about steadiness needs."""


NO_LOAD = Steadiness(0.0, None, "no load to be steady")
"""Of benchmarks and known answers, which warm up on their own."""


def ramp_seconds(run: Run) -> float:
    """Seconds until all users ran; the whole run if they never did; 0 where there are no users to start."""
    if not run.users:
        return 0.0
    full = next((beat.time for beat in run.beats if beat.users >= run.users), None)
    return max(0.0, (run.ended if full is None else full) - run.started)


def find_steady(medians: Sequence[tuple[int, float]], ramp_s: float) -> Steadiness:
    """Find the warm-up in medians of one second each, (second, milliseconds), in order.

    It is a quarter of what follows the ramp at most, and five seconds.

    The run has settled where the medians of a few seconds are within 1.5 times of the median of all that follow. It is
    steady if its last third is within 1.5 times of its first third. Differences below 1 ms count as none.
    """
    after = [(second, value) for second, value in medians if second >= ramp_s]
    if len(after) < SHORTEST:
        return Steadiness(ramp_s, None, f"{len(after)} seconds with answers after the ramp, {SHORTEST} needed")
    values = [value for _, value in after]
    begin = after[0][0]
    settled = _settled(values, sum(second - begin <= MOST_S for second, _ in after) - 1)
    if settled is None:
        return Steadiness(ramp_s, steady=False, told="it had not settled after 5 s, or a quarter of the run")
    rest = values[settled:]
    third = len(rest) // 3
    early, late = median(rest[:third]), median(rest[-third:])
    warm_up = ramp_s if settled == 0 else float(after[settled][0])
    told = f"median {early:.3g} ms in its first third, {late:.3g} ms in its last"
    return Steadiness(warm_up, _near(late, early), told)


def _settled(values: Sequence[float], most: int) -> int | None:
    for start in range(min(int(len(values) * MOST_OF_RUN), most) + 1):
        following = values[start + WINDOW :]
        if not following or _near(median(values[start : start + WINDOW]), median(following)):
            return start
    return None


def _near(value: float, reference: float) -> bool:
    return value <= reference * SETTLED or value - reference <= FLOOR_MS
