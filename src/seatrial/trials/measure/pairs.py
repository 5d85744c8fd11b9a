"""Blocks of a champion and a candidate, measured in turn: from their records to their latencies by pair."""

import re
from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from seatrial.contracts.proof import Block, Side
from seatrial.contracts.record import Sample
from seatrial.grading.histogram import Histogram
from seatrial.grading.toml import WrongFile

FILE_NAME = "pairs.jsonl.gz"
"""Lies beside `samples.jsonl.gz` where a champion was measured."""
SIDES: dict[str, Side] = {"champion": "champion", "candidate": "candidate"}
_CALLER = re.compile(r"(champion|candidate) (\d+)")


def caller(side: Side, pair: int) -> str:
    """What a sample calls the user of a block."""
    return f"{side} {pair}"


def fold_blocks(samples: Iterable[Sample]) -> tuple[Block, ...]:
    """All blocks of a run, by endpoint, pair and side.

    Raises:
        WrongFile: a sample is of no block.
    """
    groups: dict[tuple[str, int, str], list[Sample]] = defaultdict(list)
    for sample in samples:
        found = _CALLER.fullmatch(sample.user)
        if found is None:
            raise WrongFile(f"{FILE_NAME}: /user: expected 'champion N' or 'candidate N'; received {sample.user!r}")
        groups[sample.endpoint, int(found[2]), found[1]].append(sample)
    return tuple(_block(*key, group) for key, group in sorted(groups.items()))


def _block(endpoint: str, pair: int, side: str, samples: list[Sample]) -> Block:
    latency = Histogram(np.array([sample.latency_ms for sample in samples])).summary()
    if latency is None:  # pragma: no cover - a group has at least one sample
        raise AssertionError
    faults = [sample.fault for sample in samples if not sample.ok]
    return Block(
        side=SIDES[side],
        pair=pair,
        endpoint=endpoint,
        failures=len(faults),
        latency=latency,
        fault=faults[0] if faults else "",
    )
