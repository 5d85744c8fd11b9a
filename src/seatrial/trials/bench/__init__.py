"""Benchmarks of endpoints, alone and against a champion measured in turn."""

from seatrial.trials.bench.run import Bench, BenchOptions, run_bench

__all__ = ["Bench", "BenchOptions", "run_bench"]
