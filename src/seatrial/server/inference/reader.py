"""Reads one input of a model: type, shape, range and categories, for one value and for a whole column."""

import math
from collections.abc import Sequence

import numpy as np

from seatrial.contracts.manifest import InputSpec
from seatrial.contracts.problem import MAX_LISTED
from seatrial.server.inference.faults import Faults, Kind, Path, Sized, format_number
from seatrial.server.inference.runtime import NUMPY_DTYPES, Array
from seatrial.server.inference.types import Value

EXACT = float(2**53 - 1)
"""Beyond this, whole numbers next to each other are one and the same as float64, which most programs read JSON as."""

INK = 255.0
_NESTED = {list, np.ndarray}
_BITS = np.dtype(np.uint64)


class InputReader:
    """The rules of one input; lives as long as its signature."""

    def __init__(self, spec: InputSpec) -> None:
        self.spec = spec
        self.name = spec.name
        self.dtype = NUMPY_DTYPES[spec.dtype]
        self.shape = spec.shape
        self.scalar = spec.shape in {(), (1,)}
        self.size = math.prod(spec.shape)
        self.categories = {text: index for index, text in enumerate(spec.categories)}
        self.numeric = not spec.categories and spec.dtype not in {"bool", "string"}
        self.whole = self.numeric and self.dtype.kind in "iu"
        self.low, self.high = self._bounds()
        # From 0 up, floats are in the order of their bits read as integers, and negative ones come after all others:
        # one comparison is enough for both ends of a range that begins at 0.
        self._highest_bits = int(np.float64(self.high).view(_BITS)) if self.numeric and self.low == 0 else None

    def read(self, value: Value, path: Path, faults: Faults) -> Array | None:
        """One value as an array of the input's shape and dtype; `None` when `faults` got something."""
        if self.scalar:
            return self._scalar(value, path, faults)
        if isinstance(value, np.ndarray) and self.numeric:
            return self._tensor(value, path, faults)
        if not isinstance(value, list | np.ndarray):
            faults.add(Kind.TYPE, path, f"'{self.name}' is an array.", self._expected_shape(), value)
            return None
        return self._nested(value, path, faults)

    def example(self, values: Array) -> Array | None:
        """A float64 array as one example with a leading axis of 1; `None` unless it is plainly acceptable."""
        if not self.numeric or self.scalar or not self._fits(values.shape) or not self._in_range(values):
            return None
        return values.astype(self.dtype).reshape(1, *self.shape)

    def block(self, values: Array) -> Array | None:
        """A float64 block, rows first, as this input's column; `None` unless every value is acceptable."""
        rows = len(values)
        if not self.numeric or values.size != rows * self.size or (values.ndim > 1 and len(self.shape) > 1):
            return None
        if not self._in_range(values):
            return None
        return values.reshape(rows, *self.shape).astype(self.dtype)

    def column(self, values: Sequence[Value]) -> Array | None:
        """A column of single values, or of flat arrays; `None` unless every one is plainly acceptable."""
        if not self.scalar:
            regular = all(type(value) is np.ndarray and value.size == self.size for value in values)
            flat = regular and all(value.ndim == 1 for value in values)  # type: ignore[attr-defined]
            return self.block(np.stack(values)) if flat and len(self.shape) == 1 else None  # type: ignore[arg-type]
        if self.categories:
            encoded = [self._encode(self.categories[value]) for value in values]  # type: ignore[index]
            return np.array(encoded, self.dtype).reshape(len(values), *self.shape)
        if self.numeric and set(map(type, values)) <= {int, float}:
            return self.block(np.array(values, np.float64))
        return None

    def _bounds(self) -> tuple[float, float]:
        """The inclusive range in float64: the manifest's, else what the dtype can hold exactly."""
        if not self.numeric:
            return (-math.inf, math.inf)
        limits = np.iinfo(self.dtype) if self.whole else np.finfo(self.dtype)
        low, high = float(limits.min), float(limits.max)
        if self.whole:
            low, high = max(low, -EXACT), min(high, EXACT)
        return (
            low if self.spec.min is None else max(low, self.spec.min),
            high if self.spec.max is None else min(high, self.spec.max),
        )

    def _in_range(self, values: Array) -> bool:
        """Whether all are plainly in range; `_outside` has the last word (on -0.0)."""
        if self._highest_bits is not None and values.dtype == np.float64:
            bits = values.view(_BITS)
            if bits.item(bits.argmax()) > self._highest_bits:  # half the time of a maximum
                return False
        elif not (
            self.low <= np.minimum.reduce(values, axis=None) and np.maximum.reduce(values, axis=None) <= self.high
        ):
            return False
        return not self.whole or bool(np.array_equal(values, np.trunc(values)))

    def _outside(self, values: Array) -> Array:
        """Which values are out of range, or no whole numbers where those are asked for."""
        outside: Array = (values < self.low) | (values > self.high)
        return outside | (values != np.trunc(values)) if self.whole else outside

    def _encode(self, index: int) -> int | str:
        """What the graph gets for a category: its index, or the text."""
        return self.spec.categories[index] if self.dtype == object else index

    def _scalar(self, value: Value, path: Path, faults: Faults) -> Array | None:
        element = self._element(value, path, faults)
        return None if element is None else np.array(element, self.dtype).reshape(self.shape)

    def _element(self, value: Value, path: Path, faults: Faults) -> object | None:
        """One number, text or boolean, checked; `None` when `faults` got something."""
        if self.categories:
            if isinstance(value, str) and value in self.categories:
                return self._encode(self.categories[value])
            kind = Kind.VALUE if isinstance(value, str) else Kind.TYPE
            known = ", ".join(f'"{text}"' for text in self.categories)
            faults.add(kind, path, f"'{self.name}' has no such category.", f"one of {known}", value)
            return None
        if self.spec.dtype in {"bool", "string"}:
            if type(value) is (bool if self.spec.dtype == "bool" else str):
                return value
        elif isinstance(value, int | float | np.floating) and not isinstance(value, bool):
            return value if self._check_value(float(value), path, faults) else None
        faults.add(Kind.TYPE, path, f"'{self.name}' takes {self._expected_value()}.", self._expected_value(), value)
        return None

    def _check_value(self, value: float, path: Path, faults: Faults) -> bool:
        if self.low <= value <= self.high and (not self.whole or value.is_integer()):
            return True
        self._value_fault(value, path, faults)
        return False

    def _tensor(self, values: Array, path: Path, faults: Faults) -> Array | None:
        """A regular float64 array."""
        if not self._fits(values.shape):
            faults.add(Kind.SHAPE, path, f"'{self.name}' has the wrong size.", self._expected_shape(), values)
            return None
        if not self._in_range(values):
            outside = self._outside(values)
            if outside.any():
                self._value_faults(values, outside, path, faults)
                return None
        return values.reshape(self.shape).astype(self.dtype)

    def _value_faults(self, values: Array, bad: Array, path: Path, faults: Faults) -> None:
        """A fault for each value that is out of range, with a word on how to mend an image of bytes."""
        image = self.low == 0 and self.high == 1 and values.min() >= 0 and 1 < values.max() <= INK
        places = np.argwhere(bad)
        for place in places[:MAX_LISTED].tolist():
            self._value_fault(float(values[tuple(place)]), (*path, *place), faults, image=image)
        faults.count(Kind.VALUE, max(0, len(places) - MAX_LISTED))

    def _value_fault(self, value: float, path: Path, faults: Faults, *, image: bool = False) -> None:
        wrong = "is a whole number" if self.low <= value <= self.high else "is out of range"
        detail = "This looks like a 0-255 image: divide by 255." if image else f"'{self.name}' {wrong}."
        bounded = self.spec.min is not None or self.spec.max is not None
        expected = self._expected_value() if bounded else f"{self._expected_value()} that fits {self.spec.dtype}"
        faults.add(Kind.VALUE, path, detail, expected, value)

    def _nested(self, value: list[Value] | Array, path: Path, faults: Faults) -> Array | None:
        """A list, perhaps nested: numbers in a regular shape become `_tensor`; anything else gets its faults."""
        before = faults.total
        if len(value) > self.size:
            faults.add(Kind.SHAPE, path, f"'{self.name}' has the wrong size.", self._expected_shape(), value)
            return None
        shape = self._shape_of(value, path, faults)
        if shape is None or not self._fits(shape):
            if faults.total == before:
                size = Sized("array of " + " x ".join(map(str, shape or (0,))))
                faults.add(Kind.SHAPE, path, f"'{self.name}' has the wrong size.", self._expected_shape(), size)
            return None
        leaves: list[object] = []
        self._leaves(value, path, faults, leaves)
        if faults.total > before:
            return None
        if self.numeric:
            return self._tensor(np.array(leaves, np.float64).reshape(shape), path, faults)
        return np.array(leaves, self.dtype).reshape(self.shape)

    def _shape_of(self, value: Value, path: Path, faults: Faults) -> tuple[int, ...] | None:
        """The shape of a regular nesting; a ragged one gets a fault where it first breaks."""
        if isinstance(value, np.ndarray):
            return tuple(map(int, value.shape))
        if not isinstance(value, list):
            return ()
        if not _NESTED.intersection(map(type, value)):
            return (len(value),)
        shapes: list[tuple[int, ...]] = []
        for index, item in enumerate(value):
            shape = self._shape_of(item, (*path, index), faults)
            if shape is None:
                return None
            if shapes and shape != shapes[0]:
                expected = f"array of {' x '.join(map(str, shapes[0]))}" if shapes[0] else "a number"
                faults.add(Kind.SHAPE, (*path, index), "The nesting is ragged.", expected, item)
                return None
            shapes.append(shape)
        return (len(value), *(shapes[0] if shapes else ()))

    def _leaves(self, value: Value, path: Path, faults: Faults, found: list[object]) -> None:
        """The values of a nesting in row-major order. Numbers are only typed here; `_tensor` checks their range."""
        if isinstance(value, list | np.ndarray):
            for index, item in enumerate(value):
                if faults.enough:
                    return
                self._leaves(item, (*path, index), faults, found)
        elif self.numeric and isinstance(value, int | float | np.floating) and not isinstance(value, bool):
            found.append(value)
        else:
            found.append(self._element(value, path, faults))

    def _fits(self, shape: tuple[int, ...]) -> bool:
        """Flat is always clear; nested must be the input's own shape, or any regular one where the input is flat."""
        if math.prod(shape) != self.size:
            return False
        return len(shape) == 1 or len(self.shape) == 1 or shape == self.shape

    def _expected_value(self) -> str:
        if not self.numeric:
            return {"bool": "true or false"}.get(self.spec.dtype, "a text")
        noun = "a whole number" if self.whole else "a number"
        if self.spec.min is None and self.spec.max is None:
            return noun
        return f"{noun} from {format_number(self.low)} to {format_number(self.high)}"

    def _expected_shape(self) -> str:
        noun = "numbers" if self.numeric else "values"
        if len(self.shape) == 1:
            return f"{self.size} {noun}"
        return f"{self.size} {noun}, flat or nested as {' x '.join(map(str, self.shape))}"
