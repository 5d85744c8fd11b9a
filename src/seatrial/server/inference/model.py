"""A model in memory, and its answer to a request."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from seatrial.contracts.golden import Golden
from seatrial.contracts.manifest import Manifest
from seatrial.server.inference.calibration import Calibration
from seatrial.server.inference.runtime import Array, Runtime
from seatrial.server.inference.signature import Signature

Found = Literal["off", "miss", "hit", "joined"]
"""What the cache had of an answer; `joined`: it was being computed for somebody else."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class LoadedModel:
    """A version in memory, warmed and verified; lives until a snapshot without it replaces its own.

    `calibration` says what its runs cost, and how it is run.
    """

    model_id: str
    name: str
    version: int
    manifest: Manifest
    golden: Golden
    signature: Signature
    runtime: Runtime
    serving_config: Mapping[str, Any]
    serving_config_digest: str
    calibration: Calibration

    @property
    def inline(self) -> bool:
        """Whether single examples, whatever is in them, are so cheap that they are run in the event loop."""
        return self.calibration.mode == "inline"

    @property
    def classes(self) -> tuple[str | int, ...]:
        """The labels of a classification, in the order of the output; empty for a regression."""
        return self.manifest.output.classes


@dataclass(slots=True)
class InferResult:
    """The answer of `model` to `rows` examples.

    `queue_seconds` passed before the first run began, `infer_seconds` in the runtime (summed over runs that went side
    by side), `wall_seconds` from being queued to the last answer. `together` is how many examples were in a run at
    most, those of others too. `cache` says whether the answer was looked for among those given before, and found.
    """

    model: LoadedModel
    output: Array
    rows: int
    queue_seconds: float
    infer_seconds: float
    wall_seconds: float
    together: int = 1
    cache: Found = "off"

    @property
    def cached(self) -> bool:
        """Whether nothing was run for this answer alone: it was given before, or just then to somebody else."""
        return self.cache in {"hit", "joined"}
