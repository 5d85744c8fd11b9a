"""Alive, ready, healthy."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.fakes.clock import ManualClock
from tests.fakes.models import a_manifest, a_model, a_version
from tests.fakes.registry import MemoryRegistry

from seatrial.server.core.errors import NotReady
from seatrial.server.inference.model import LoadedModel
from seatrial.server.inference.pool import Pool, Snapshot
from seatrial.server.registry.model import ModelVersion, Stage
from seatrial.server.services.health import Lifecycle, health, production_models, ready

A, B = a_manifest(name="a"), a_manifest(name="b")
BROKEN = {"b:1": "Golden inference: 1 of 1 answers differ"}


def states(database: str | None = None, cache: str | None = None) -> Callable[[], dict[str, str | None]]:
    """What the server depends on."""
    return lambda: {"database": database, "cache": cache}


def a_server(
    versions: list[ModelVersion], *loaded: LoadedModel, failures: dict[str, str] | None = None
) -> tuple[MemoryRegistry, Pool, Lifecycle]:
    pool = Pool()
    pool.swap(
        Snapshot(
            by_id={model.model_id: model for model in loaded},
            production={model.name: model for model in loaded},
            failures=failures or {},
        )
    )
    clock = ManualClock()
    lifecycle = Lifecycle(clock, clock())
    clock.advance(12.3456)
    return MemoryRegistry(versions), pool, lifecycle


def test_a_server_with_all_its_models_is_healthy_and_ready() -> None:
    """Every production model is named, and the optional parts say that they are not there."""
    registry, pool, lifecycle = a_server([a_version(A), a_version(B)], a_model(A), a_model(B))
    report = health(registry, pool, lifecycle, "1.2.3", states())

    assert report.pop("timestamp").endswith("Z")
    assert report == {
        "status": "healthy",
        "version": "1.2.3",
        "uptime_seconds": 12.346,
        "model_loaded": True,
        "models": {"a:1": "ready", "b:1": "ready"},
        "checks": {"database": "not configured", "cache": "not configured"},
    }
    served = {"status": "ready", "models": {"a:1": "ready", "b:1": "ready"}}
    assert ready(registry, pool, lifecycle) == {**served, "ledger": None}
    assert ready(registry, pool, lifecycle, lambda: (3, 4)) == {**served, "ledger": {"follows": 3, "newest": 4}}


def test_a_server_without_one_of_its_models_is_degraded_and_not_ready() -> None:
    """Predictions of the others work, so health is 200; readiness names what is missing, and why."""
    registry, pool, lifecycle = a_server([a_version(A), a_version(B)], a_model(A), failures=BROKEN)
    report = health(registry, pool, lifecycle, "1", states())

    assert (report["status"], report["models"]) == ("degraded", {"a:1": "ready"} | BROKEN)
    with pytest.raises(NotReady) as caught:
        ready(registry, pool, lifecycle)
    assert caught.value.reasons == BROKEN


@pytest.mark.parametrize(
    ("versions", "failures", "reasons"),
    [
        ([], {}, {"models": "no model is in production"}),
        ([a_version(A, 1, Stage.STAGING)], {}, {"models": "no model is in production"}),
        ([a_version(B)], BROKEN, BROKEN),
        ([a_version(A)], {}, {"a:1": "not loaded yet"}),
    ],
)
def test_a_server_without_any_model_is_neither(
    versions: list[ModelVersion], failures: dict[str, str], reasons: dict[str, str]
) -> None:
    """An empty set is never ready: no prediction would work."""
    registry, pool, lifecycle = a_server(versions, failures=failures)

    with pytest.raises(NotReady) as unhealthy:
        health(registry, pool, lifecycle, "1", states())
    with pytest.raises(NotReady) as unready:
        ready(registry, pool, lifecycle)
    assert unhealthy.value.reasons == unready.value.reasons == reasons


def test_a_stopping_server_is_healthy_but_not_ready() -> None:
    """From SIGTERM on balancers are sent away, while predictions go on."""
    registry, pool, lifecycle = a_server([a_version(A)], a_model(A))
    lifecycle.draining = True

    assert health(registry, pool, lifecycle, "1", states())["status"] == "healthy"
    with pytest.raises(NotReady) as caught:
        ready(registry, pool, lifecycle)
    assert caught.value.reasons == {"server": "stopping"}


def test_only_production_versions_count() -> None:
    """A staging version that fails does not make the server unready."""
    versions = [
        a_version(A),
        a_version(A, 2, Stage.STAGING),
        a_version(A, 3, Stage.DEV),
        a_version(B, 1, Stage.ARCHIVED),
    ]
    registry, pool, lifecycle = a_server(versions, a_model(A), failures={"a:2": "broken"})

    assert production_models(registry, pool) == {"a:1": "ready"}
    assert ready(registry, pool, lifecycle)["status"] == "ready"


def test_a_lost_cache_degrades_and_nothing_else() -> None:
    """Predictions are computed."""
    registry, pool, lifecycle = a_server([a_version(A)], a_model(A))
    lost = health(registry, pool, lifecycle, "1", states("ok", "unavailable"))

    assert (lost["status"], lost["checks"]) == ("degraded", {"database": "ok", "cache": "unavailable"})
    assert ready(registry, pool, lifecycle)["status"] == "ready"


def test_a_lost_database_degrades_and_nothing_else() -> None:
    """Predictions go on, so it stays ready; the part is named."""
    registry, pool, lifecycle = a_server([a_version(A)], a_model(A))
    well = health(registry, pool, lifecycle, "1", states("ok"))
    lost = health(registry, pool, lifecycle, "1", states("unavailable"))

    assert (well["status"], well["checks"]["database"]) == ("healthy", "ok")
    assert (lost["status"], lost["checks"]["database"]) == ("degraded", "unavailable")
    assert ready(registry, pool, lifecycle)["status"] == "ready"


def test_a_version_that_failed_is_told_while_the_one_before_goes_on() -> None:
    """Ready, since the name is served; degraded, since it is not by the version that should."""
    registry, pool, lifecycle = a_server([a_version(A, 2)], failures={"a:2": "It is broken."})
    old = a_model(A)
    pool.swap(replace(pool.snapshot, production={"a": old}))
    report = health(registry, pool, lifecycle, "1", states("ok"))

    assert (report["status"], report["models"]) == ("degraded", {"a:2": "It is broken. Version 1 goes on."})
    assert ready(registry, pool, lifecycle)["models"] == report["models"]
