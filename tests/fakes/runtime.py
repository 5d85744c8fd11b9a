"""Runtimes without a model."""

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from seatrial.contracts.manifest import Manifest
from seatrial.server.core.errors import InferenceFailed
from seatrial.server.inference.runtime import Array, Stop

WAIT_SECONDS = 20.0
"""How long a test waits for a fact before it gives up."""


class EchoRuntime:
    """Implements `inference.runtime.Runtime`: answers with what it was given.

    A regression answers the sum of an example's values, a classification is certain of the class with that number
    (counted around). `runs` holds how many rows each run had.
    """

    def __init__(self, classes: int = 0) -> None:
        self.classes = classes
        self.steady = True
        self.runs: list[int] = []

    def run(self, arrays: Mapping[str, Array], stop: Stop | None = None) -> Array:
        """See `Runtime.run`."""
        del stop
        rows = len(next(iter(arrays.values())))
        self.runs.append(rows)
        sums = np.zeros(rows, np.float64)
        for array in arrays.values():
            numbers = np.vectorize(len, otypes=[np.float64])(array) if array.dtype == object else array
            sums += numbers.reshape(rows, -1).sum(axis=1, dtype=np.float64)
        if not self.classes:
            return sums.astype(np.float32)
        return np.eye(self.classes, dtype=np.float32)[sums.astype(np.int64) % self.classes]

    def configuration(self) -> dict[str, Any]:
        """See `Runtime.configuration`."""
        return {"runtime": "echo", "classes": self.classes}


class BlockingRuntime(EchoRuntime):
    """An echo that answers once it is released; `begun` tells that a run has started."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.released = threading.Event()

    def run(self, arrays: Mapping[str, Array], stop: Stop | None = None) -> Array:
        """Wait, then echo."""
        self.begun.set()
        assert self.released.wait(WAIT_SECONDS), "nobody released the runtime"
        return super().run(arrays, stop)


class FailingRuntime(EchoRuntime):
    """A runtime that fails on every input."""

    def run(self, arrays: Mapping[str, Array], stop: Stop | None = None) -> Array:
        """Fail, as `Runtime.run` may."""
        del arrays, stop
        raise InferenceFailed("The model failed on this input.")


class FixedRuntime(EchoRuntime):
    """A runtime with one answer, whatever it is asked."""

    def __init__(self, output: Array) -> None:
        super().__init__()
        self.output = output

    def run(self, arrays: Mapping[str, Array], stop: Stop | None = None) -> Array:
        """Give the answer."""
        del arrays, stop
        return self.output


def load_echo(artifact: bytes, manifest: Manifest) -> EchoRuntime:
    """A `RuntimeLoader` that needs no model file."""
    del artifact
    return EchoRuntime(len(manifest.output.classes))
