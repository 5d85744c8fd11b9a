"""Known inputs through a model, compared with the answers that were recorded."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from seatrial.contracts.golden import Golden
from seatrial.server.core.errors import InvalidInput, ModelUnusable
from seatrial.server.inference.faults import Faults
from seatrial.server.inference.runtime import Array, Runtime
from seatrial.server.inference.signature import Arrays, Signature
from seatrial.server.inference.types import Value


def golden_arrays(signature: Signature, golden: Golden) -> Arrays:
    """The golden inputs as a batch; a case that the signature refuses makes the model unusable."""
    faults = Faults()
    arrays = signature.accept_batch([decoded(case.input) for case in golden.cases], faults)
    if arrays is None:
        error: InvalidInput = faults.error("golden input")
        raise ModelUnusable(f"Golden inference: {error.faults[0].pointer}: {error.faults[0].detail}")
    return arrays


def decoded(features: Mapping[str, Value]) -> dict[str, Value]:
    """An example as a request would bring it: arrays of numbers are arrays, which are read a hundred times faster.

    Others go as they are, and what is wrong with them is said.
    """
    return {name: _array(value) if isinstance(value, list) else value for name, value in features.items()}


PLANE = 2
PIECE = 32
"""Cases in a run: what a run of all of them takes, the runtime keeps."""


def _array(values: list[Value]) -> Value:
    try:
        array = np.array(values)
    except ValueError:  # ragged
        return values
    return array.astype(np.float64) if array.dtype.kind in "iuf" and array.ndim <= PLANE else values


@dataclass(frozen=True, slots=True)
class Replay:
    """Known inputs that were asked again: how many, and by how much the worst answer differs from the record."""

    cases: int
    worst: float
    tolerance: float


def verify_golden(runtime: Runtime, arrays: Arrays, golden: Golden) -> Replay:
    """Ask the golden inputs; raises `ModelUnusable` unless every answer is the recorded one within the tolerance."""
    starts = range(0, len(golden.cases), PIECE)
    pieces = [{name: array[i : i + PIECE] for name, array in arrays.items()} for i in starts]
    output = np.concatenate([np.asarray(runtime.run(piece), np.float64) for piece in pieces])
    if len(output) != len(golden.cases):
        raise ModelUnusable(f"Golden inference: {len(output)} answers to {len(golden.cases)} inputs.")
    actual = output.reshape(len(output), -1)
    lengths = {len(case.output) for case in golden.cases}
    if lengths != {actual.shape[1]}:
        raise ModelUnusable(f"Golden inference: answers of {actual.shape[1]} values, {sorted(lengths)} were recorded.")
    expected = np.array([case.output for case in golden.cases])
    difference: Array = np.abs(actual - expected).max(axis=1)
    wrong = np.flatnonzero(~(difference <= golden.tolerance))
    if wrong.size:
        raise ModelUnusable(
            f"Golden inference: {wrong.size} of {len(expected)} answers differ from the recorded ones, the first at"
            f" case {wrong[0]} by {difference[wrong[0]]:.3g} (tolerance {golden.tolerance:g})."
        )
    return Replay(len(expected), float(difference.max()), golden.tolerance)
