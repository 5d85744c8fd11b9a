"""What examples cost a model, alone and in batches, measured when it is loaded; and how it is run, which follows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seatrial.contracts.manifest import Execution, Mode
from seatrial.server.core.clock import Monotonic, monotonic
from seatrial.server.inference.runtime import Runtime
from seatrial.server.inference.signature import Arrays

SIZES = (1, 2, 4, 8, 16, 32, 64)
"""Examples in a run, as they are tried."""
RUNS = 3
BUDGET_SECONDS = 0.25
"""What measuring one model may take; of a model that takes longer the larger batches are not tried."""
INLINE_SECONDS = 0.002
"""An example that takes less than this is run in the event loop; a longer one would hold up the others.

One that was timed tells of the next only where every example is as much work: see `Runtime.steady`."""
TURN_SECONDS = 0.004
"""How long the event loop may be held up by examples that are run together."""
BATCH_SECONDS = 0.05
"""How long a run in a thread may take: who comes while it goes on waits for its end."""
CHUNK = 128
"""Most examples in one run: bounds its memory, and the work that goes on after a deadline."""
GOOD_ENOUGH = 1.05
"""What differs by no more than this, an example, is about as cheap."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The best of a few runs of so many examples."""

    examples: int
    seconds: float

    @property
    def each(self) -> float:
        """Seconds an example."""
        return self.seconds / self.examples


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was measured, and how the model is run: where, and how many examples at once at most.

    `batch` single examples that wait are run together; batches are run in pieces of `chunk`.
    """

    costs: tuple[Cost, ...]
    mode: Mode
    batch: int
    chunk: int = CHUNK

    @property
    def each(self) -> float:
        """Seconds an example, among as many as are run together."""
        return next((cost for cost in self.costs if cost.examples == self.batch), self.costs[-1]).each

    def told(self) -> str:
        """The same in a few words, for the log."""
        alone, among = (f"{seconds * 1e6:.0f} us" for seconds in (self.costs[0].each, self.each))
        cost = f"an example takes {alone} alone, {among} among {min(self.batch, self.costs[-1].examples)}"
        return f"{self.mode}, at most {self.batch} at once; {cost}"


def calibrate(
    runtime: Runtime, arrays: Arrays, wish: Execution | None = None, clock: Monotonic = monotonic
) -> Calibration:
    """Time a model on known inputs, in batches of growing size, and decide.

    Args:
        runtime: the model, warm.
        arrays: inputs that it is known to answer, with a leading axis of examples.
        wish: of the manifest. It is followed, but for one: a model of which one example tells nothing of the next is
            never run in the event loop.
        clock: measures.
    """
    costs = measure(runtime, arrays, clock)
    cheap = costs[0].seconds < INLINE_SECONDS if wish is None or wish.mode is None else wish.mode == "inline"
    mode: Mode = "inline" if runtime.steady and cheap else "threads"
    if wish and wish.max_batch:
        return Calibration(costs, mode, wish.max_batch, min(wish.max_batch, CHUNK))
    return Calibration(costs, mode, best_batch(costs, mode), best_chunk(costs))


def measure(runtime: Runtime, arrays: Arrays, clock: Monotonic) -> tuple[Cost, ...]:
    """The cost of each size that the budget allows; one example is always tried."""
    costs: list[Cost] = []
    ends = clock() + BUDGET_SECONDS
    for size in SIZES:
        if costs and clock() + RUNS * size * costs[-1].each > ends:
            break
        batch = {name: _repeated(array, size) for name, array in arrays.items()}
        costs.append(Cost(size, min(_timed(runtime, batch, clock) for _ in range(RUNS))))
    return tuple(costs)


def best_batch(costs: Sequence[Cost], mode: Mode) -> int:
    """How many examples, of a run that ends soon enough, are about as cheap each as it gets.

    In threads the smallest such batch: who comes later begins sooner. In the event loop the largest: everybody in it
    would have had to wait for the others anyway.
    """
    most = TURN_SECONDS if mode == "inline" else BATCH_SECONDS
    allowed = [cost for cost in costs if cost.seconds <= most] or list(costs[:1])
    cheapest = min(cost.each for cost in allowed)
    good = [cost.examples for cost in allowed if cost.each <= cheapest * GOOD_ENOUGH]
    return good[-1] if mode == "inline" else good[0]


def best_chunk(costs: Sequence[Cost]) -> int:
    """How many examples of a batch are in a run that ends soon enough; more than were tried cost as much each."""
    each = min(cost.each for cost in costs)
    return CHUNK if each * CHUNK <= BATCH_SECONDS else max(1, int(BATCH_SECONDS / each))


def _repeated(array: Any, size: int) -> Any:  # noqa: ANN401 - arrays
    """The first examples, or all of them again and again, until there are so many."""
    return np.resize(array, (size, *array.shape[1:]))


def _timed(runtime: Runtime, arrays: Arrays, clock: Monotonic) -> float:
    begin = clock()
    runtime.run(arrays)
    return clock() - begin
