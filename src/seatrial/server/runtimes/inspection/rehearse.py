"""The first load and the first runs of a model: does it answer as its manifest says, whatever the size of the batch?"""

import math
from typing import Any

import numpy as np

from seatrial.contracts.golden import Golden, GoldenCase
from seatrial.contracts.manifest import InputSpec, Manifest
from seatrial.contracts.problem import MAX_LISTED, Fault, pointer
from seatrial.server.core.errors import InferenceFailed, ModelRefused, ModelUnusable
from seatrial.server.inference.faults import Faults
from seatrial.server.inference.golden import verify_golden
from seatrial.server.inference.runtime import Array, Runtime
from seatrial.server.inference.signature import Arrays, Signature
from seatrial.server.registry.candidate import Candidate
from seatrial.server.runtimes import onnx
from seatrial.server.runtimes.inspection.graph import fault, refused

CASES = 20
MAX_GOLDEN_VALUES = 1_000_000
"""Values in all golden inputs that are made; where examples are large there are fewer of them, but two."""
TOLERANCE = 1e-4
"""Of the largest answer: what rounding may do between machines and batches. float16, of larger steps, gets more."""
SUM_TOLERANCE = 1e-3
ALONE = 3


def rehearse(content: bytes, manifest: Manifest, candidate: Candidate) -> Golden:
    """Load and run a model; golden answers that it reproduces, those of the candidate or some of its own.

    Raises:
        ModelRefused: it cannot be loaded or run, or does not answer as its manifest says.
    """
    try:
        runtime = onnx.load(content, manifest)
    except ModelUnusable as error:
        raise refused([fault(str(error), "a model that ONNX Runtime loads", "this one")]) from error
    made = candidate.golden is None
    golden = candidate.golden or Golden(cases=tuple(_draw(manifest)), tolerance=0.0)
    arrays = _arrays(manifest, golden, made=made)
    whole = _run(runtime, arrays)
    _check_answers(whole, manifest, len(golden.cases))
    tolerance = _tolerance(whole, manifest)
    _check_batches(runtime, arrays, whole, tolerance)
    if not made:
        return _verified(runtime, arrays, golden)
    cases = zip(golden.cases, whole.reshape(len(whole), -1).astype(np.float64), strict=True)
    return Golden(
        cases=tuple(GoldenCase(input=case.input, output=tuple(map(_short, row.tolist()))) for case, row in cases),
        tolerance=tolerance,
    )


def _verified(runtime: Runtime, arrays: Arrays, golden: Golden) -> Golden:
    try:
        verify_golden(runtime, arrays, golden)
    except ModelUnusable as error:
        told = Fault("/golden", str(error), "answers that the model gives", "others")
        raise ModelRefused("The golden answers are not those of this model.", [told]) from error
    return golden


def _draw(manifest: Manifest) -> list[GoldenCase]:
    """Inputs as the signature asks for them, the lowest and the highest first; the same for the same file."""
    width = sum(math.prod(spec.shape) for spec in manifest.inputs)
    count = max(2, min(CASES, MAX_GOLDEN_VALUES // width))
    random = np.random.default_rng(int(manifest.digest.removeprefix("sha256:")[:16], 16))
    columns = {spec.name: [_value(spec, random, number) for number in range(count)] for spec in manifest.inputs}
    return [
        GoldenCase(input={name: column[number] for name, column in columns.items()}, output=(0.0,))
        for number in range(count)
    ]


def _value(spec: InputSpec, random: np.random.Generator, number: int) -> Any:  # noqa: ANN401 - JSON
    """One value as a caller would send it."""
    count = math.prod(spec.shape)
    edge = number if number < 2 else None  # noqa: PLR2004 - the lowest and the highest
    if spec.categories or spec.dtype in {"bool", "string"}:
        choices: tuple[Any, ...] = spec.categories or ((False, True) if spec.dtype == "bool" else ("a", "b"))
        picks = random.integers(0, len(choices), count) if edge is None else [(0, -1)[edge]] * count
        values = [choices[pick] for pick in picks]
    elif spec.dtype.startswith("float"):
        values = _floats(spec, random, count, edge)
        values = [_rounded(value, spec) for value in values] if edge is None else values
    else:
        values = _integers(spec, random, count, edge)
    return values[0] if spec.shape in {(), (1,)} else values


def _floats(spec: InputSpec, random: np.random.Generator, count: int, edge: int | None) -> list[float]:
    low, high = spec.min, spec.max
    if low is not None and high is not None:
        return random.uniform(low, high, count).tolist() if edge is None else [(low, high)[edge]] * count
    values: Array = random.standard_normal(count) if edge is None else np.full(count, float(edge))
    if low is not None:
        values = low + np.abs(values)
    elif high is not None:
        values = high - np.abs(values)
    return list(map(float, values))


def _rounded(value: float, spec: InputSpec) -> float:
    """With few digits, so that the file stays small; within the bounds all the same."""
    rounded = float(f"{value:.4g}")
    outside = (spec.min is not None and rounded < spec.min) or (spec.max is not None and rounded > spec.max)
    return value if outside else rounded


def _integers(spec: InputSpec, random: np.random.Generator, count: int, edge: int | None) -> list[int]:
    """Without bounds 0 and 1: whole numbers are often places in a table, and those are there."""
    low = math.ceil(spec.min) if spec.min is not None else 0
    high = math.floor(spec.max) if spec.max is not None else low + 1
    if spec.min is None and high <= 0:
        low = high - 1
    return [(low, high)[edge]] * count if edge is not None else random.integers(low, high + 1, count).tolist()


def _arrays(manifest: Manifest, golden: Golden, *, made: bool) -> Arrays:
    """The golden inputs as a batch."""
    faults = Faults()
    arrays = Signature(manifest).accept_batch([case.input for case in golden.cases], faults)
    if arrays is not None:
        return arrays if made else _finite(arrays)
    if made:
        told = Fault("/manifest/inputs", faults.listed[0].detail, faults.listed[0].expected, faults.listed[0].received)
        raise ModelRefused("No inputs can be made from the manifest; send golden examples.", [told])
    listed = [_in_golden(found) for found in faults.listed]
    raise ModelRefused("The golden inputs do not fit the model.", listed[:MAX_LISTED], faults.total)


def _finite(arrays: Arrays) -> Arrays:
    """What came as JSON may hold NaN, which callers cannot send."""
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            number = int(np.argwhere(~np.isfinite(array))[0][0])
            place = pointer("golden", "cases", number, "input", name)
            told = Fault(place, f"'{name}' is not always a number.", "finite numbers", "NaN or infinity")
            raise ModelRefused("The golden inputs do not fit the model.", [told])
    return arrays


def _in_golden(found: Fault) -> Fault:
    """A fault in a batch, as one in the file that the batch came from."""
    _, _, number, *rest = found.pointer.split("/")
    place = "/".join(["/golden/cases", number, "input", *rest])
    return Fault(place, found.detail, found.expected, found.received)


def _run(runtime: Runtime, arrays: Arrays) -> Array:
    try:
        return np.asarray(runtime.run(arrays))
    except (InferenceFailed, ValueError) as error:
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
        rows = len(next(iter(arrays.values())))
        text = f"The model failed on a batch of {rows}: {onnx.reason(cause)}"
        raise refused([fault(text, "an answer to every example", "none")]) from error


def _check_answers(whole: Array, manifest: Manifest, rows: int) -> None:
    classes = len(manifest.output.classes)
    expected = (rows, classes) if classes else (rows,)
    name = manifest.output.name
    if whole.shape != expected:
        raise refused([fault(f"The output '{name}' has the wrong shape.", str(expected), str(whole.shape))])
    if not np.isfinite(whole).all():
        raise refused([fault(f"The output '{name}' is not always a number.", "finite numbers", "NaN or infinity")])
    if not classes:
        return
    sums = whole.astype(np.float64).sum(axis=1)
    low, high = float(whole.min()), float(whole.max())
    worst = float(sums[np.abs(sums - 1).argmax()])
    if low < 0 or high > 1 + SUM_TOLERANCE or abs(worst - 1) > SUM_TOLERANCE:
        text = (
            f"The output '{name}' has no probabilities: a graph for a classification ends in Softmax or the like, "
            "one for a regression in one number an example."
        )
        received = f"{low:.4g} to {high:.4g}, with a sum of {worst:.4g}"
        raise refused([fault(text, "0 to 1, with a sum of 1", received)])


def _tolerance(whole: Array, manifest: Manifest) -> float:
    """Absolute, on each value of an answer."""
    step = 4 * float(np.finfo(whole.dtype).eps)
    scale = 1.0 if manifest.output.classes else float(np.abs(whole).max()) or 1.0
    return float(f"{max(TOLERANCE, step) * scale:.3g}")


def _check_batches(runtime: Runtime, arrays: Arrays, whole: Array, tolerance: float) -> None:
    """Examples alone and in pairs get the answers that they got together, which also shows that none is by chance."""
    batches = [slice(row, row + 1) for row in range(min(ALONE, len(whole)))] + [slice(0, 2)]
    for rows in batches:
        part = _run(runtime, {name: array[rows] for name, array in arrays.items()})
        there = whole[rows]
        if part.shape != there.shape:
            text = f"A batch of {len(there)} gets an answer of the wrong shape."
            raise refused([fault(text, str(there.shape), str(part.shape))])
        difference = float(np.abs(part.astype(np.float64) - there).max())
        if not difference <= tolerance:
            text = "The same example gets another answer in another batch, or at another time."
            raise refused([fault(text, f"the same to {tolerance:g}", f"a difference of {difference:.3g}")])


def _short(value: float) -> float:
    return float(f"{value:.9g}")
