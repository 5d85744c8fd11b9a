"""Is the server alive, ready, healthy?"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from seatrial.server.core.clock import Monotonic, timestamp
from seatrial.server.core.errors import NotReady
from seatrial.server.inference.pool import Pool, Snapshot
from seatrial.server.registry.mirror import WELL
from seatrial.server.registry.model import ModelVersion, Stage
from seatrial.server.registry.ports import Registry

NOT_CONFIGURED = "not configured"


@dataclass(slots=True)
class Lifecycle:
    """Where a worker stands between start and stop; lives as long as the worker."""

    clock: Monotonic
    started: float
    draining: bool = False
    on_stop: Callable[[], None] = lambda: None
    """Ends at once what need not be waited for; called in the event loop, before requests in flight are waited for."""

    def uptime(self) -> float:
        """Seconds since the start."""
        return round(self.clock() - self.started, 3)


def health(
    registry: Registry, pool: Pool, lifecycle: Lifecycle, version: str, states: Callable[[], dict[str, str | None]]
) -> dict[str, Any]:
    """The state of the whole: `healthy` when every production model is loaded, and database and cache are there.

    Else `degraded`: predictions go on without either; without a database changes do not. `states` says how they are,
    `None` where there is none.

    Raises:
        NotReady: no production model is loaded, so no prediction works.
    """
    models, found = production_models(registry, pool), states()
    if not pool.snapshot.production:
        raise NotReady(models or {"models": "no model is in production"})
    return {
        "status": "healthy"
        if set(models.values()) == {"ready"} and set(found.values()) <= {None, WELL}
        else "degraded",
        "timestamp": timestamp(),
        "version": version,
        "uptime_seconds": lifecycle.uptime(),
        "model_loaded": True,
        "models": models,
        "checks": {part: state or NOT_CONFIGURED for part, state in found.items()},
    }


def ready(
    registry: Registry, pool: Pool, lifecycle: Lifecycle, entries: Callable[[], tuple[int, int] | None] = lambda: None
) -> dict[str, Any]:
    """Whether to send traffic here: each name in production is served, if only by the version before.

    `entries`: the last entry of the ledger that this worker follows, and the last one that it has seen. A worker that
    lags says so, and is ready all the same: it answers, as it did a moment ago.

    Raises:
        NotReady: the server is stopping, there is no production model, or one is served by nothing.
    """
    if lifecycle.draining:
        raise NotReady({"server": "stopping"})
    models = production_models(registry, pool)
    served = pool.snapshot.production
    missing = {
        version.model_id: models[version.model_id]
        for version in registry.versions()
        if version.stage is Stage.PRODUCTION and version.name not in served
    }
    if missing or not models:
        raise NotReady(missing or {"models": "no model is in production"})
    found = entries()
    return {
        "status": "ready",
        "models": models,
        "ledger": {"follows": found[0], "newest": found[1]} if found else None,
    }


def production_models(registry: Registry, pool: Pool) -> dict[str, str]:
    """Each production version, and `ready` or why it is not, and what goes on in its place."""
    snapshot = pool.snapshot
    return {
        version.model_id: _state(version, snapshot)
        for version in registry.versions()
        if version.stage is Stage.PRODUCTION
    }


def _state(version: ModelVersion, snapshot: Snapshot) -> str:
    if version.model_id in snapshot.by_id:
        return "ready"
    reason = snapshot.failures.get(version.model_id, "not loaded yet")
    instead = snapshot.production.get(version.name)
    return f"{reason} Version {instead.version} goes on." if instead else reason
