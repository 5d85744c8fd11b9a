"""Golden answers: known inputs must have their known answers, one by one and in batches of every size."""

from seatrial.trials.golden.check import Golden, run_golden

__all__ = ["Golden", "run_golden"]
