"""What there is to serve: load it, list it, describe it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from seatrial.contracts.digest import digest_of
from seatrial.contracts.manifest import manifest_as_dict
from seatrial.server.core.errors import SeatrialError
from seatrial.server.inference.calibration import Cost, calibrate
from seatrial.server.inference.golden import Replay, golden_arrays, verify_golden
from seatrial.server.inference.model import LoadedModel
from seatrial.server.inference.pool import Pool, Snapshot
from seatrial.server.inference.runtime import RuntimeLoader
from seatrial.server.inference.signature import Signature
from seatrial.server.registry.model import SERVED, ModelVersion, Stage
from seatrial.server.registry.ports import Artifacts, Registry

NOTHING_LOADED = Snapshot()


def load_models(
    registry: Registry,
    artifacts: Artifacts,
    load: RuntimeLoader,
    default_models: Sequence[str],
    log: Callable[[str, str, str], None],
    before: Snapshot = NOTHING_LOADED,
) -> Snapshot:
    """Load, warm and verify every version that is to be served. One that fails does not stop the others.

    What is in memory stays as it is. Where a new production version fails, the one before goes on serving its name.

    Args:
        registry: the versions.
        artifacts: their files.
        load: makes a runtime from a file.
        default_models: names, in the order in which they answer inputs that name no model.
        log: hears (event, model_id, detail) of each that is loaded, or fails.
        before: what this worker serves so far.
    """
    loaded: dict[str, LoadedModel] = {}
    failures: dict[str, str] = {}
    production: dict[str, LoadedModel] = {}
    held = (*before.production.values(), *before.on_trial.values(), *before.by_id.values())
    memory = {model.model_id: model for model in held}
    for version in (version for version in registry.versions() if version.stage in SERVED):
        known = memory.get(version.model_id)
        if known and known.manifest != version.manifest:
            known = None  # another registry, such as one from a backup, may give the same id to something else
        try:
            model = known or load_model(version, artifacts, load)
        except Exception as error:  # noqa: BLE001 - whatever it is, the others are served
            failures[version.model_id], detail = told(error)
            log("model_failed", version.model_id, detail)
            continue
        loaded[version.model_id] = model
        if version.stage is Stage.PRODUCTION:
            production[version.name] = model
        if not known:
            log("model_ready", version.model_id, f"{version.stage}: {model.calibration.told()}")
    for name in _without_production(registry, production):
        if name in before.production:
            production[name] = before.production[name]
    return Snapshot(
        by_id=loaded,
        production=production,
        defaults=tuple(production[name] for name in default_models if name in production),
        others=tuple(model for name, model in sorted(production.items()) if name not in default_models),
        failures=failures,
    )


def _without_production(registry: Registry, production: Mapping[str, LoadedModel]) -> set[str]:
    """The names whose production version could not be loaded."""
    wanted = {version.name for version in registry.versions() if version.stage is Stage.PRODUCTION}
    return wanted - production.keys()


def told(error: Exception) -> tuple[str, str]:
    """What callers hear of a load that failed, and what the log does: errors not of ours may name files."""
    if isinstance(error, SeatrialError):
        return str(error), str(error)
    kind = type(error).__name__
    return f"It cannot be loaded, by {kind}; the log says more.", f"{kind}: {error}"


def load_model(version: ModelVersion, artifacts: Artifacts, load: RuntimeLoader) -> LoadedModel:
    """Load one version, run its golden inputs (which warms it) and compare; raises `ModelUnusable`."""
    manifest = version.manifest
    golden = artifacts.golden(version.golden)
    runtime = load(artifacts.model(manifest.digest), manifest)
    signature = Signature(manifest)
    arrays = golden_arrays(signature, golden)
    verify_golden(runtime, arrays, golden)
    calibration = calibrate(runtime, arrays, manifest.execution)
    config = {**runtime.configuration(), "numpy_version": np.__version__}
    return LoadedModel(
        model_id=version.model_id,
        name=version.name,
        version=version.version,
        manifest=manifest,
        golden=golden,
        signature=signature,
        runtime=runtime,
        serving_config={**config, "mode": calibration.mode, "max_batch": calibration.batch},
        serving_config_digest=digest_of(orjson.dumps(config, option=orjson.OPT_SORT_KEYS)),
        calibration=calibration,
    )


def replay(version: ModelVersion, artifacts: Artifacts, load: RuntimeLoader) -> Replay:
    """Load a version aside, and ask it its known inputs again; raises `ModelUnusable` where an answer differs."""
    golden = artifacts.golden(version.golden)
    runtime = load(artifacts.model(version.manifest.digest), version.manifest)
    return verify_golden(runtime, golden_arrays(Signature(version.manifest), golden), golden)


def list_models(registry: Registry, pool: Pool, name: str | None, stage: str | None) -> list[dict[str, Any]]:
    """Every version, or those of a name, of a stage; with whether this server has it loaded."""
    return [
        _summary(version, pool)
        for version in registry.versions()
        if name in {None, version.name} and stage in {None, version.stage.value}
    ]


def describe_model(registry: Registry, pool: Pool, model_id: str) -> dict[str, Any]:
    """All that is known of one version; raises `UnknownModel`."""
    version = registry.get(model_id)
    model = pool.snapshot.loaded(version.model_id)
    return {
        **_summary(version, pool),
        "metrics": version.manifest.metrics,
        "manifest": manifest_as_dict(version.manifest),
        "serving_config": dict(model.serving_config) if model else None,
        "serving_config_digest": model.serving_config_digest if model else None,
        "execution": [_cost(cost) for cost in model.calibration.costs] if model else [],
        "proofs": [],
        "failure": pool.snapshot.failures.get(version.model_id) or pool.snapshot.failed_on_trial.get(version.model_id),
    }


def _cost(cost: Cost) -> dict[str, Any]:
    return {
        "examples": cost.examples,
        "run_ms": round(cost.seconds * 1e3, 4),
        "example_us": round(cost.each * 1e6, 2),
    }


def golden_of(registry: Registry, artifacts: Artifacts, model_id: str) -> dict[str, Any]:
    """Known inputs and answers of one version; raises `UnknownModel`."""
    version = registry.get(model_id)
    golden = artifacts.golden(version.golden)
    return {
        "model_id": version.model_id,
        "digest": version.manifest.digest,
        "tolerance": golden.tolerance,
        "cases": [{"input": case.input, "output": case.output, "label": case.label} for case in golden.cases],
    }


def _summary(version: ModelVersion, pool: Pool) -> dict[str, Any]:
    return {
        "model_id": version.model_id,
        "model_name": version.name,
        "model_version": version.version,
        "stage": version.stage.value,
        "task": version.manifest.task,
        "description": version.manifest.description,
        "digest": version.manifest.digest,
        "registered_at": version.registered_at,
        "reason": version.reason,
        "loaded": pool.snapshot.loaded(version.model_id) is not None,
    }
