"""Answers given before, in the memory of a worker and in a store that workers share; and whether looking pays.

What is asked is known by the model (its id, its manifest, the digests of its bytes and configuration) and the values
of its inputs as the model gets them: however a body writes them, the same values are the same question. An answer is
the output of the model, from which all that may be asked for is written.
"""

import hashlib
import time
from collections.abc import Mapping
from typing import NamedTuple, Protocol
from weakref import WeakKeyDictionary

import numpy as np
import orjson

from seatrial.contracts.manifest import manifest_as_dict
from seatrial.server.core.clock import Monotonic
from seatrial.server.inference.model import LoadedModel
from seatrial.server.inference.runtime import Array
from seatrial.server.inference.signature import Arrays

ANSWER_BYTES = 16 * 1024
"""Larger outputs are not kept."""
PACKED = frozenset({b"<f2", b"<f4", b"<f8"})
"""Types of outputs, as they are packed."""
WINDOW = 1000
"""After so many questions it is seen whether the answers found were worth the looking."""
PROBE = 200
"""The same after a rest."""
REST_SECONDS = 10.0
"""How long nothing is looked for where it did not pay."""
OVERHEAD = 3.0
"""What looking and keeping cost, in times of what it takes to make a key."""


SHARED_SECONDS = 0.0005
"""What it costs to ask a shared store, about."""


class SharedAnswers(Protocol):
    """Answers that several workers share, as bytes. It may forget, and be away; it does not lie."""

    @property
    def state(self) -> str:
        """How it is, in a word."""

    async def get(self, key: bytes) -> bytes | None:
        """What was put under a key; `None` where nothing is, or nothing can be had soon. Never raises."""

    def put(self, key: bytes, value: bytes) -> None:
        """Keep something, if that can be done; nobody waits for it."""

    async def close(self) -> None:
        """Hang up."""


class Worth:
    """Whether looking pays for one model; lives as long as the model is served.

    Args:
        saved: seconds that an answer which is found saves.
        look: seconds that a question costs, whatever is found.
        clock: measures.
    """

    __slots__ = ("_clock", "_hits", "_look", "_looks", "_resting_until", "_saved", "_window")

    def __init__(self, saved: float, look: float, clock: Monotonic) -> None:
        self._saved = saved
        self._look = look
        self._clock = clock
        self._hits = self._looks = 0
        self._window = WINDOW
        self._resting_until: float | None = None

    @property
    def resting(self) -> bool:
        """Whether nothing is looked for now."""
        if self._resting_until is not None and self._clock() >= self._resting_until:
            self._resting_until = None
        return self._resting_until is not None

    def note(self, *, found: bool) -> None:
        """A question was asked."""
        self._looks += 1
        self._hits += found
        if self._looks < self._window:
            return
        if self._hits * self._saved < self._looks * self._look:
            self._resting_until = self._clock() + REST_SECONDS
            self._window = PROBE
        else:
            self._window = WINDOW
        self._hits = self._looks = 0


class Answers:
    """Those of one worker; lives as long as it, used in its event loop only.

    Args:
        size: how many are kept; those that were not asked for the longest go first.
        seconds: how long each is kept.
        clock: measures.
    """

    def __init__(self, size: int, seconds: float, clock: Monotonic) -> None:
        self._clock = clock
        self._size = size
        self._seconds = seconds
        self._kept: dict[bytes, tuple[float, Array]] = {}
        self._known: WeakKeyDictionary[LoadedModel, _Known] = WeakKeyDictionary()

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._kept)

    def resting(self) -> Mapping[str, bool]:
        """For each model that was asked something: whether looking did not pay, and is left for a while."""
        return {model.model_id: known.worth.resting for model, known in self._known.items()}

    def pay(self, model: LoadedModel, arrays: Arrays) -> bool:
        """Whether to look for this model's answers now."""
        known = self._known.get(model)
        if known is None:
            known = self._known[model] = self._learn(model, arrays)
        return not known.worth.resting

    def key(self, model: LoadedModel, arrays: Arrays) -> bytes:
        """What is asked, in few bytes. Nobody finds two questions with the same."""
        return _key(self._known[model].seed, model, arrays)

    def find(self, model: LoadedModel, key: bytes) -> Array | None:
        """The output for a key, shape `(1, ...)`."""
        output = None
        kept = self._kept.pop(key, None)
        if kept is not None and self._clock() < kept[0]:
            self._kept[key] = kept  # last in order now, so the last to go
            output = kept[1]
        self._known[model].worth.note(found=output is not None)
        return output

    def shared_pays(self, model: LoadedModel) -> bool:
        """Whether to ask a shared store: never for models that are run in the event loop, which are quicker."""
        return not model.inline and not self._known[model].shared.resting

    def note_shared(self, model: LoadedModel, *, found: bool) -> None:
        """A shared store was asked."""
        if model in self._known:
            self._known[model].shared.note(found=found)

    def put(self, key: bytes, output: Array) -> None:
        """Keep one, unless it is large, or none that could be told."""
        if output.nbytes <= ANSWER_BYTES and np.isfinite(output).all():
            self._kept.pop(key, None)
            if len(self._kept) >= self._size:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = self._clock() + self._seconds, output.copy()  # not the whole run that it was in

    def _learn(self, model: LoadedModel, arrays: Arrays) -> "_Known":
        manifest = orjson.dumps(manifest_as_dict(model.manifest))
        seed = hashlib.sha256(f"{model.model_id}\n{model.manifest.digest}\n{model.serving_config_digest}\n".encode())
        seed.update(manifest)
        times = []
        for _ in range(3):
            begin = time.perf_counter()
            _key(seed, model, arrays)
            times.append(time.perf_counter() - begin)
        saved = model.calibration.each if model.inline else model.calibration.costs[0].seconds
        look = OVERHEAD * min(times)
        return _Known(Worth(saved, look, self._clock), Worth(saved, SHARED_SECONDS, self._clock), seed)


class _Known(NamedTuple):
    worth: Worth
    shared: Worth
    seed: "hashlib._Hash"


def _key(seed: "hashlib._Hash", model: LoadedModel, arrays: Arrays) -> bytes:
    key = seed.copy()
    for name in model.signature.names:
        array = arrays[name]
        key.update(orjson.dumps(array.tolist()) if array.dtype == object else array.tobytes())
    return key.digest()


def pack(output: Array) -> bytes | None:
    """An output as bytes; `None` where it is too large to be kept."""
    return output.dtype.str.encode() + b"|" + output.tobytes() if output.nbytes <= ANSWER_BYTES else None


def unpack(model: LoadedModel, value: bytes) -> Array | None:
    """The output that `pack` wrote, shape `(1, ...)`; `None` where this is none of the model's."""
    kind, _, data = value.partition(b"|")
    if kind not in PACKED:
        return None
    width = len(model.classes) or 1
    dtype = np.dtype(kind.decode())
    if len(data) != width * dtype.itemsize:
        return None
    values = np.frombuffer(data, dtype)
    return values.reshape(1, width) if model.classes else values
