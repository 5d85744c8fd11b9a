"""The port behind which a model runs; `runtimes` implements it."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from seatrial.contracts.manifest import Manifest

Array = NDArray[Any]


class Runtime(Protocol):
    """A model in memory, ready to run. Safe to call from several threads."""

    def run(self, arrays: Mapping[str, Array]) -> Array:
        """Answer a batch.

        Args:
            arrays: for each input its values, shape `(rows, *shape of one example)`, in the dtype of the manifest.

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
