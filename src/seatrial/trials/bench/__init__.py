"""Benchmarks of endpoints, alone and against a champion measured in turn."""

from seatrial.trials.bench.run import BenchOptions, run_bench

__all__ = ["BenchOptions", "run_bench"]
