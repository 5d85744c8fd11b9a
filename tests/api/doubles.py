"""Models that fail, answer nonsense or take their time, for a server that is otherwise the real one."""

import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from seatrial import zoo
from seatrial.contracts.digest import digest_of
from seatrial.contracts.golden import Golden, parse_golden
from seatrial.contracts.manifest import Manifest
from seatrial.server.inference.runtime import Array, Runtime, Stop
from seatrial.server.registry.model import ModelVersion
from seatrial.server.runtimes import onnx
from seatrial.server.storage.bundled import read_bundled

PATIENCE = 20.0
"""Seconds after which a wait of a test gives up."""

Behaviour = Callable[[Callable[[], Array]], Array]
"""Answers in the place of a model; gets a call that gives the model's own answer."""


def honest(answer: Callable[[], Array]) -> Array:
    """What the model itself answers."""
    return answer()


class Stage:
    """Loads the real models, whose behaviour a test can change once they are loaded; `load` goes to `create_app`."""

    def __init__(self) -> None:
        self.behaviour: Behaviour = honest

    def load(self, artifact: bytes, manifest: Manifest) -> Runtime:
        """See `RuntimeLoader`."""
        return _Actor(onnx.load(artifact, manifest), self)


class _Actor:
    def __init__(self, model: Runtime, stage: Stage) -> None:
        self._model = model
        self.steady = model.steady
        self._stage = stage

    def run(self, arrays: Mapping[str, Array], stop: Stop | None = None) -> Array:
        """See `Runtime.run`."""
        return self._stage.behaviour(lambda: self._model.run(arrays, stop))

    def configuration(self) -> dict[str, Any]:
        """See `Runtime.configuration`."""
        return self._model.configuration()


class Gate:
    """A behaviour: every run waits at the gate until it is opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._opened = threading.Event()

    def __call__(self, answer: Callable[[], Array]) -> Array:
        """Wait, then answer as the model does."""
        self.reached.set()
        assert self._opened.wait(PATIENCE)
        return answer()

    def open(self) -> None:
        """Let all pass."""
        self._opened.set()


class ForgedArtifacts:
    """The bundled files, but the golden answers of some models are off by one."""

    def __init__(self, *forged: str) -> None:
        bundled = list(read_bundled(zoo.folders()))
        self._models = {item.manifest.digest: item.model for item in bundled}
        self._golden = {digest_of(item.golden): item for item in bundled}
        self._forged = forged

    def model(self, digest: str) -> bytes:
        """See `Artifacts.model`."""
        return self._models[digest]

    def golden(self, digest: str) -> Golden:
        """The golden answers, or wrong ones."""
        item = self._golden[digest]
        golden = parse_golden(item.golden)
        if item.manifest.name not in self._forged:
            return golden
        cases = [dataclasses.replace(case, output=tuple(value + 1 for value in case.output)) for case in golden.cases]
        return dataclasses.replace(golden, cases=tuple(cases))


class LostRegistry:
    """A registry whose store is gone, once `lost` is set."""

    def __init__(self, versions: Sequence[ModelVersion]) -> None:
        self._versions = versions
        self.lost = False

    def versions(self) -> Sequence[ModelVersion]:
        """See `Registry.versions`."""
        if self.lost:
            raise RuntimeError("SELECT * FROM versions failed in /secret/registry.db")
        return self._versions

    def get(self, model_id: str) -> ModelVersion:
        """See `Registry.get`."""
        return next(version for version in self.versions() if version.model_id == model_id)
