"""`seatrial serve` with one model that is as slow as a test wants: geoclimate waits as long as the file `hold` exists.

`python -m tests.fakes.held_server --port 0` in the folder of that file. All else is as in any server; digits too.
"""

import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.fakes.serve import serve

from seatrial.contracts.manifest import Manifest
from seatrial.server.core.errors import InferenceFailed
from seatrial.server.inference.runtime import Array, Runtime, Stop
from seatrial.server.runtimes import onnx

HOLD = Path("hold")
HELD = "held-"
"""Of files that are there while a run goes on, one each."""
TICK_S = 0.005


class HeldRuntime:
    """Implements `inference.runtime.Runtime`: a real one, before each run of which the file is waited for."""

    steady = False

    def __init__(self, inner: Runtime) -> None:
        self._inner = inner

    def run(self, arrays: Mapping[str, Array], stop: Stop | None = None) -> Array:
        """See `Runtime.run`."""
        if stop is not None:
            with tempfile.NamedTemporaryFile(prefix=HELD, dir="."):
                _wait(stop)
        return self._inner.run(arrays)

    def configuration(self) -> dict[str, Any]:
        """See `Runtime.configuration`."""
        return self._inner.configuration()


def _wait(stop: Stop) -> None:
    ended = threading.Event()
    with stop.ending(ended.set):
        while HOLD.exists() and not ended.wait(TICK_S):
            pass
    if ended.is_set():  # perhaps before the file was gone, and not seen until now
        raise InferenceFailed("The run was ended.")


def load(artifact: bytes, manifest: Manifest) -> Runtime:
    """A `RuntimeLoader`."""
    runtime = onnx.load(artifact, manifest)
    return HeldRuntime(runtime) if manifest.name == "geoclimate" else runtime


if __name__ == "__main__":
    serve(load=load)
