"""Is the server alive, ready, healthy?"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from seatrial.server.core.clock import Monotonic, timestamp
from seatrial.server.core.errors import NotReady
from seatrial.server.inference.pool import Pool
from seatrial.server.registry.mirror import WELL
from seatrial.server.registry.model import Stage
from seatrial.server.registry.ports import Registry

NOT_CONFIGURED = "not configured"


@dataclass(slots=True)
class Lifecycle:
    """Where a worker stands between start and stop; lives as long as the worker."""

    clock: Monotonic
    started: float
    draining: bool = False

    def uptime(self) -> float:
        """Seconds since the start."""
        return round(self.clock() - self.started, 3)


def health(
    registry: Registry, pool: Pool, lifecycle: Lifecycle, version: str, database: Callable[[], str | None]
) -> dict[str, Any]:
    """The state of the whole: `healthy` when every production model is loaded and the database is there.

    Else `degraded`: predictions go on without a database, only changes do not.

    Raises:
        NotReady: no production model is loaded, so no prediction works.
    """
    models, stored = production_models(registry, pool), database()
    if not pool.snapshot.production:
        raise NotReady(models or {"models": "no model is in production"})
    return {
        "status": "healthy" if set(models.values()) == {"ready"} and stored in {None, WELL} else "degraded",
        "timestamp": timestamp(),
        "version": version,
        "uptime_seconds": lifecycle.uptime(),
        "model_loaded": True,
        "models": models,
        "checks": {"database": stored or NOT_CONFIGURED, "cache": NOT_CONFIGURED},
    }


def ready(registry: Registry, pool: Pool, lifecycle: Lifecycle) -> dict[str, Any]:
    """Whether to send traffic here.

    Raises:
        NotReady: the server is stopping, there is no production model, or one is not loaded and verified.
    """
    if lifecycle.draining:
        raise NotReady({"server": "stopping"})
    models = production_models(registry, pool)
    missing = {model_id: state for model_id, state in models.items() if state != "ready"}
    if missing or not models:
        raise NotReady(missing or {"models": "no model is in production"})
    return {"status": "ready", "models": models}


def production_models(registry: Registry, pool: Pool) -> dict[str, str]:
    """Each production version, and `ready` or why it is not."""
    snapshot = pool.snapshot
    return {
        version.model_id: "ready"
        if version.model_id in snapshot.by_id
        else snapshot.failures.get(version.model_id, "not loaded yet")
        for version in registry.versions()
        if version.stage is Stage.PRODUCTION
    }
