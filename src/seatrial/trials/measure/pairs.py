"""Blocks of a champion and a candidate, measured in turn: their records, and their latencies by pair."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from seatrial.contracts.record import Sample
from seatrial.trials.core.errors import WrongFile
from seatrial.trials.measure.histogram import Histogram

FILE_NAME = "pairs.jsonl.gz"
"""Lies beside `samples.jsonl.gz` where a champion was measured."""
Side = Literal["champion", "candidate"]
_CALLER = re.compile(r"(champion|candidate) (\d+)")


def caller(side: Side, pair: int) -> str:
    """What a sample calls the user of a block."""
    return f"{side} {pair}"


@dataclass(frozen=True, slots=True)
class Blocks:
    """One endpoint of one side: the latencies of each pair's block, and how many requests failed in all of them."""

    latencies: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    failed: list[str] = field(default_factory=list)

    def add(self, pair: int, sample: Sample) -> None:
        """Count a request in its block."""
        self.latencies[pair].append(sample.latency_ms)
        if not sample.ok:
            self.failed.append(sample.fault)


class Pairs:
    """All blocks of a run.

    Raises:
        WrongFile: a sample is of no block.
    """

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._blocks: dict[tuple[str, str], Blocks] = defaultdict(Blocks)
        for sample in samples:
            found = _CALLER.fullmatch(sample.user)
            if found is None:
                raise WrongFile(f"{FILE_NAME}: /user: expected 'champion N' or 'candidate N'; received {sample.user!r}")
            self._blocks[found[1], sample.endpoint].add(int(found[2]), sample)

    def __bool__(self) -> bool:
        """Whether a champion was measured at all."""
        return bool(self._blocks)

    def histograms(self, side: Side, endpoint: str | None) -> list[Histogram]:
        """The latencies of an endpoint, or of all, one histogram a block, in the order of the pairs."""
        merged: dict[int, list[float]] = defaultdict(list)
        for blocks in self._of(side, endpoint):
            for pair, latencies in blocks.latencies.items():
                merged[pair] += latencies
        return [Histogram(np.array(merged[pair])) for pair in sorted(merged)]

    def failures(self, side: Side, endpoint: str | None) -> list[str]:
        """The faults of an endpoint, or of all."""
        return [fault for blocks in self._of(side, endpoint) for fault in blocks.failed]

    def _of(self, side: Side, endpoint: str | None) -> list[Blocks]:
        return [blocks for (of, name), blocks in self._blocks.items() if of == side and endpoint in {None, name}]
