"""The first load and the first runs of a model: does it answer as its manifest says, whatever the size of the batch?"""

import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import orjson

from seatrial.contracts.golden import MOST_BYTES, Golden, GoldenCase
from seatrial.contracts.manifest import Manifest
from seatrial.contracts.problem import MAX_LISTED, Fault, pointer
from seatrial.server.core.errors import InferenceFailed, ModelRefused, ModelUnusable
from seatrial.server.inference.faults import Faults
from seatrial.server.inference.golden import decoded, verify_golden
from seatrial.server.inference.runtime import Array, Runtime
from seatrial.server.inference.signature import Arrays, Signature
from seatrial.server.registry.candidate import Candidate
from seatrial.server.runtimes import onnx
from seatrial.server.runtimes.inspection.draw import draw, extremes
from seatrial.server.runtimes.inspection.graph import fault, refused

TOLERANCE = 1e-4
"""Of the largest answer: what rounding may do between machines and batches. float16, of larger steps, gets more."""
SUM_TOLERANCE = 1e-3
ALONE = 3
ROOM = 1000
"""Bytes of a file of golden answers that are not its examples: commas, the tolerance, the name of its schema."""

_out_of_memory = re.compile(r"bad_alloc|allocate memory|out of memory", re.IGNORECASE).search


def rehearse(
    content: bytes, manifest: Manifest, candidate: Candidate, to_extremes: Callable[[], None] = lambda: None
) -> Golden:
    """Load and run a model; golden answers that it reproduces, those of the candidate or some of its own.

    In the end it is asked the extremes that callers may send. It may fail on them, and answer what it likes, one answer
    to each; but it has to come to an end, within the time and the memory that there is. `to_extremes` is called before.

    Raises:
        ModelRefused: it cannot be loaded or run, or does not answer as its manifest says.
    """
    try:
        runtime = onnx.load(content, manifest)
    except ModelUnusable as error:
        raise refused([fault(str(error), "a model that ONNX Runtime loads", "this one")]) from error
    golden = _answered(runtime, manifest, candidate.golden)
    to_extremes()
    for arrays in extremes(manifest):
        try:
            runtime.run(arrays)
        except InferenceFailed as error:
            if is_starved(error):
                raise
            if isinstance(error.__cause__, onnx.WrongShapeError):
                text = f"The model gives an example another number of answers: {onnx.reason(error.__cause__)}"
                raise refused([fault(text, "one answer an example", "another shape")]) from error
    return golden


def is_starved(error: BaseException | None) -> bool:
    """Whether it is memory that was missing, here or in what led to it."""
    while error is not None:
        if isinstance(error, MemoryError) or _out_of_memory(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def _answered(runtime: Runtime, manifest: Manifest, given: Golden | None) -> Golden:
    """Golden answers, after each check of the answers."""
    if given is None:
        made, columns = draw(manifest)
        arrays = _made(manifest, columns)
    else:
        arrays = _given(manifest, given)
    whole = _run(runtime, arrays)
    _check_answers(whole, manifest)
    tolerance = _tolerance(whole, manifest)
    _check_batches(runtime, arrays, whole, tolerance)
    if given is not None:
        return _verified(runtime, arrays, given)
    answers = whole.reshape(len(whole), -1).astype(np.float64)
    cases = (
        GoldenCase(input=case.input, output=tuple(map(_short, row.tolist())))
        for case, row in zip(made, answers, strict=False)
    )
    return Golden(cases=_small(cases), tolerance=tolerance)


def _small(cases: Iterable[GoldenCase]) -> tuple[GoldenCase, ...]:
    """As many of the examples that were made as a file of golden answers may hold."""
    kept: list[GoldenCase] = []
    size = ROOM
    for case in cases:
        size += len(orjson.dumps(case))
        if size > MOST_BYTES:
            break
        kept.append(case)
    if not kept:
        text = "One example, as JSON, is too large for golden answers; a 'min' and a 'max' may make its values shorter."
        raise refused([fault(text, f"at most {MOST_BYTES} bytes", f"{size} bytes")])
    return tuple(kept)


def _verified(runtime: Runtime, arrays: Arrays, golden: Golden) -> Golden:
    try:
        verify_golden(runtime, arrays, golden)
    except ModelUnusable as error:
        told = Fault("/golden", str(error), "answers that the model gives", "others")
        raise ModelRefused("The golden answers are not those of this model.", [told]) from error
    return golden


def _made(manifest: Manifest, columns: dict[str, list[Any]]) -> Arrays:
    """Inputs that were drawn, as a batch."""
    faults = Faults()
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    arrays = Signature(manifest).accept_batch(rows, faults)
    if arrays is None:
        told = Fault("/manifest/inputs", faults.listed[0].detail, faults.listed[0].expected, faults.listed[0].received)
        raise ModelRefused("No inputs can be made from the manifest; send golden examples.", [told])
    return arrays


def _given(manifest: Manifest, golden: Golden) -> Arrays:
    """Golden inputs that came with the file, as a batch."""
    faults = Faults()
    arrays = Signature(manifest).accept_batch([decoded(case.input) for case in golden.cases], faults)
    if arrays is not None:
        return _finite(arrays)
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
    except InferenceFailed as error:
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
        rows = len(next(iter(arrays.values())))
        text = f"The model failed on a batch of {rows}: {onnx.reason(cause)}"
        raise refused([fault(text, "an answer to every example", "none")]) from error


def _check_answers(whole: Array, manifest: Manifest) -> None:
    name = manifest.output.name
    if not np.isfinite(whole).all():
        raise refused([fault(f"The output '{name}' is not always a number.", "finite numbers", "NaN or infinity")])
    if not manifest.output.classes:
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
        difference = float(np.abs(part.astype(np.float64) - there).max())
        if not difference <= tolerance:
            text = "The same example gets another answer in another batch, or at another time."
            raise refused([fault(text, f"the same to {tolerance:g}", f"a difference of {difference:.3g}")])


def _short(value: float) -> float:
    return float(f"{value:.9g}")
