"""Inputs for the first runs of a model, made from its signature: some as a caller would send them, and the extremes."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from seatrial.contracts.golden import GoldenCase
from seatrial.contracts.manifest import InputSpec, Manifest
from seatrial.contracts.problem import Fault
from seatrial.server.core.errors import ModelRefused
from seatrial.server.inference.reader import InputReader
from seatrial.server.inference.runtime import NUMPY_DTYPES, Array
from seatrial.server.inference.signature import Arrays

CASES = 20
MAX_GOLDEN_VALUES = 500_000
"""Values in all golden inputs and answers that are made; where examples are large there are fewer of them, but one."""
DIGITS = 4
LARGE = 2.0**31
"""A number of which one can still make an array, if it is the size of it."""
LONG_TEXT = 10_000
"""Letters in an extreme text; where an example has several they share them."""


def draw(manifest: Manifest) -> tuple[Iterator[GoldenCase], dict[str, list[Any]]]:
    """Examples as the signature asks for them, the lowest and the highest first; the same for the same file.

    Returns:
        Those that are to be kept, in the form of JSON, made as they are asked for; and for each input the values of two
        examples at least, as a decoded request has them: numbers as float64 arrays, else lists.
    """
    width = sum(math.prod(spec.shape) for spec in manifest.inputs) + len(manifest.output.classes)
    kept = max(1, min(CASES, MAX_GOLDEN_VALUES // width))
    random = np.random.default_rng(int(manifest.digest.removeprefix("sha256:")[:16], 16))
    edges: list[int | None] = [0, 1] if kept > 1 else [None, 1]  # if only one is kept, it is to tell something
    edges += [None] * (kept - len(edges))
    digits = DIGITS if width <= MAX_GOLDEN_VALUES else 1
    columns = {spec.name: [_value(spec, random, edge, digits) for edge in edges] for spec in manifest.inputs}
    cases = (
        GoldenCase(
            input={spec.name: _as_json(columns[spec.name][row], spec) for spec in manifest.inputs}, output=(0.0,)
        )
        for row in range(kept)
    )
    return cases, columns


def extremes(manifest: Manifest) -> Iterator[Arrays]:
    """Single examples of the lowest and the highest values that callers can send, and of large ones in between.

    Whoever makes an array, or goes round a loop, as often as an input says is to find out here.
    """
    readers = [InputReader(spec) for spec in manifest.inputs]
    for place in range(4):
        yield {reader.name: _extreme(reader, place) for reader in readers}


def _extreme(reader: InputReader, place: int) -> Array:
    spec, shape = reader.spec, (1, *reader.shape)
    high = place % 2
    if spec.categories:
        last = (len(spec.categories) - 1) * high
        return np.full(shape, spec.categories[last] if spec.dtype == "string" else last, reader.dtype)
    if spec.dtype == "bool":
        return np.full(shape, bool(high))
    if spec.dtype == "string":
        return np.full(shape, "9" * (LONG_TEXT // reader.size + 1) if high else "", object)
    ends = (reader.low, reader.high, max(reader.low, -LARGE), min(reader.high, LARGE))
    return np.full(shape, min(max(ends[place], reader.low), reader.high), np.float64).astype(reader.dtype)


def _value(spec: InputSpec, random: np.random.Generator, edge: int | None, digits: int) -> Any:  # noqa: ANN401 - as in a request
    """One value; with an edge the lowest, 0, or the highest, 1."""
    count = math.prod(spec.shape)
    if spec.categories or spec.dtype in {"bool", "string"}:
        choices: tuple[Any, ...] = spec.categories or ((False, True) if spec.dtype == "bool" else ("a", "b"))
        picks = random.integers(0, len(choices), count).tolist() if edge is None else [(0, -1)[edge]] * count
        values = [choices[pick] for pick in picks]
        return values[0] if spec.shape in {(), (1,)} else values
    if not spec.dtype.startswith("float"):
        array = _integers(spec, random, count, edge)
    else:
        array = _floats(spec, random, count, edge)
        array = array if edge is not None else _rounded(array, spec, digits)
    return float(array[0]) if spec.shape in {(), (1,)} else array


def _as_json(value: Any, spec: InputSpec) -> Any:  # noqa: ANN401 - JSON
    """A value as it stands in a file; whole numbers without a fraction."""
    if isinstance(value, float):
        return int(value) if NUMPY_DTYPES[spec.dtype].kind in "iu" else value
    if isinstance(value, np.ndarray):
        return (value.astype(np.int64) if NUMPY_DTYPES[spec.dtype].kind in "iu" else value).tolist()
    return value


def _floats(spec: InputSpec, random: np.random.Generator, count: int, edge: int | None) -> Array:
    low, high = spec.min, spec.max
    if low is not None and high is not None:
        part = random.random(count) if edge is None else np.full(count, float(edge))
        return np.clip(low * (1 - part) + high * part, low, high)
    values: Array = random.standard_normal(count) if edge is None else np.full(count, float(edge))
    if low is not None:
        return low + np.abs(values)
    return high - np.abs(values) if high is not None else values


def _rounded(values: Array, spec: InputSpec, digits: int) -> Array:
    """With few digits, so that the file stays small; within the bounds all the same."""
    low = -math.inf if spec.min is None else spec.min
    high = math.inf if spec.max is None else spec.max
    rounded = np.array([f"{value:.{digits}g}" for value in values.tolist()]).astype(np.float64)
    return np.where((rounded < low) | (rounded > high), values, rounded)


def _integers(spec: InputSpec, random: np.random.Generator, count: int, edge: int | None) -> Array:
    """Without bounds 0 and 1: whole numbers are often places in a table, and those are there."""
    reader = InputReader(spec)
    low = math.ceil(reader.low) if spec.min is not None else 0
    high = math.floor(reader.high) if spec.max is not None else low + 1
    if spec.min is None and high <= 0:
        low = high - 1
    if low > high:
        told = Fault("/manifest/inputs", f"No whole number lies within the bounds of '{spec.name}'.", "one", "none")
        raise ModelRefused(f"The manifest does not fit the model: {told.detail}", [told])
    values = random.integers(low, high + 1, count) if edge is None else np.full(count, (low, high)[edge])
    return values.astype(np.float64)
