"""The port behind which a model runs; `runtimes` implements it."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from seatrial.contracts.manifest import Manifest

Array = NDArray[Any]


class Stop:
    """Ends runs from another thread, once nobody waits for them any more; lives as long as their request."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: list[Callable[[], None]] = []
        self._set = False

    def is_set(self) -> bool:
        """Whether nobody waits any more."""
        return self._set

    def set(self) -> None:
        """End what runs, and let nothing begin."""
        with self._lock:
            self._set = True
            for end in self._ends:
                end()

    @contextmanager
    def ending(self, end: Callable[[], None]) -> Iterator[None]:
        """Around a run: `end` is called, by another thread, once nobody waits any more; it returns at once."""
        with self._lock:
            self._ends.append(end)
            if self._set:
                end()
        try:
            yield
        finally:
            with self._lock:
                self._ends.remove(end)


class Runtime(Protocol):
    """A model in memory, ready to run. Safe to call from several threads."""

    @property
    def steady(self) -> bool:
        """Whether every example of the signature is as much work as any other; `False` where that is not known."""

    def run(self, arrays: Mapping[str, Array], stop: Stop | None = None) -> Array:
        """Answer a batch.

        Args:
            arrays: for each input its values, shape `(rows, *shape of one example)`, in the dtype of the manifest.
            stop: ends the run before it is over, at the next operator if not at once; it raises `InferenceFailed` then.

        Returns:
            float array: `(rows, classes)` of probabilities, or `(rows,)` of predicted values in the output's units.
        """

    def configuration(self) -> dict[str, Any]:
        """What decides how answers are computed (library versions, threads): goes into the serving-config digest."""


RuntimeLoader = Callable[[bytes, Manifest], Runtime]
"""Builds a runtime from the bytes of an artifact; raises `ModelUnusable` where they do not fit the manifest."""

NUMPY_DTYPES: dict[str, np.dtype[Any]] = {
    "float16": np.dtype(np.float16),
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
    "int8": np.dtype(np.int8),
    "int16": np.dtype(np.int16),
    "int32": np.dtype(np.int32),
    "int64": np.dtype(np.int64),
    "uint8": np.dtype(np.uint8),
    "uint16": np.dtype(np.uint16),
    "uint32": np.dtype(np.uint32),
    "uint64": np.dtype(np.uint64),
    "bool": np.dtype(np.bool_),
    "string": np.dtype(object),
}
"""The array dtype of each manifest dtype."""
