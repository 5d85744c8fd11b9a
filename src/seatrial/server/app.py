"""THE composition root: the only place that names concrete classes and joins them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from fastapi import APIRouter, FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.types import ASGIApp

import seatrial
from seatrial import zoo
from seatrial.grading import plans
from seatrial.grading.spec import parse_slo, read_slo_text
from seatrial.grading.toml import WrongFile
from seatrial.server.access.authenticate import is_loopback
from seatrial.server.api import openapi, problems
from seatrial.server.api.auth import auth_routes
from seatrial.server.api.cors import cross_origin
from seatrial.server.api.edge import Edge
from seatrial.server.api.gate import gate_routes, proof_routes
from seatrial.server.api.journal import Journal
from seatrial.server.api.keys import key_routes
from seatrial.server.api.lane import Lane
from seatrial.server.api.models import model_routes
from seatrial.server.api.pages import page_routes
from seatrial.server.api.predict import predict_routes
from seatrial.server.api.register import register_routes
from seatrial.server.api.system import system_routes
from seatrial.server.core import clock, ids
from seatrial.server.core.cores import allowed_cores
from seatrial.server.entry import Access, log_state
from seatrial.server.inference.answers import Answers
from seatrial.server.inference.engine import Engine
from seatrial.server.inference.pool import Pool
from seatrial.server.inference.runtime import RuntimeLoader
from seatrial.server.registry.gate import Rules
from seatrial.server.registry.mirror import Mirror, View
from seatrial.server.registry.model import ModelVersion
from seatrial.server.registry.ports import Artifacts, Inspector, Ledger, Registry
from seatrial.server.runtimes import onnx
from seatrial.server.runtimes.inspector import ProcessInspector
from seatrial.server.services.candidates import Candidates
from seatrial.server.services.counting import Counter
from seatrial.server.services.follow import Follower
from seatrial.server.services.health import Lifecycle, health, ready
from seatrial.server.services.keys import prepare_signing
from seatrial.server.services.models import load_model, load_models, replay
from seatrial.server.services.predict import Predictor
from seatrial.server.services.promotion import Promotion
from seatrial.server.services.proven import Proven
from seatrial.server.services.register import Registrar
from seatrial.server.services.trials import Trials
from seatrial.server.settings import Settings
from seatrial.server.storage.answers import RedisAnswers
from seatrial.server.storage.artifacts import ContentStore
from seatrial.server.storage.bundled import read_bundled
from seatrial.server.storage.opening import prepare_registry, reach_registry, register_bundled, sweep_files
from seatrial.server.storage.registry import SqlRegistry
from seatrial.server.storage.secrets import ADMIN_TOKEN, own_secret, secret_key
from seatrial.server.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from seatrial.server.telemetry.tracing import Tracing

DRAIN_SECONDS = 5.0
"""How long a server that others can reach goes on after SIGTERM, so that balancers see it leave."""


def drain_seconds(settings: Settings) -> float:
    """Seconds between SIGTERM and closing the listener."""
    if settings.drain_seconds is not None:
        return settings.drain_seconds
    return 0.0 if is_loopback(settings.host) else DRAIN_SECONDS


def prepare(settings: Settings) -> None:
    """Make what the server needs in its data directory and its database, once, before any worker starts.

    Raises:
        OSError, ValueError: the directory cannot be used, or a setting is wrong.
        StorageUnavailable: the database cannot be used as it is; the text says what to do.
        ModelUnusable: a bundled model is damaged.
    """
    own_secret(settings.data_dir, ADMIN_TOKEN)
    store, secret = _store(settings), secret_key(settings.data_dir, settings.secret_key)
    with closing(prepare_registry(settings.database_url, settings.data_dir)) as registry:
        prepare_signing(registry.keys, secret, clock.wall())
        register_bundled(registry, store, read_bundled(zoo.folders()))
        sweep_files(registry, store)


def announce(settings: Settings) -> None:
    """Say, once, before any worker starts, what an operator may not expect."""
    if settings.workers > 1 and settings.redis_url is None:
        told = "Each worker enforces its part of a limit; with SEATRIAL_REDIS_URL they count together."
        structlog.get_logger("seatrial").warning("limits_are_shared_out", workers=settings.workers, detail=told)


def _store(settings: Settings) -> ContentStore:
    return ContentStore(settings.data_dir / "artifacts")


def create_app(  # noqa: PLR0913 - one for each part that a test may put another in the place of
    settings: Settings,
    *,
    url: str = "",
    on_start: Callable[[Lifecycle, Sequence[str]], None] = lambda _, __: None,
    ledger: Ledger | None = None,
    artifacts: Artifacts | None = None,
    load: RuntimeLoader = onnx.load,
    inspector: Inspector | None = None,
) -> ASGIApp:
    """The whole server as an ASGI application.

    Args:
        settings: what the operator chose.
        url: where it can be reached, for the log.
        on_start: called in the lifespan with the ids of the models, once they are loaded.
        ledger: in the place of the versions in the database; nothing else changes it.
        artifacts: in the place of the files in the data directory.
        load: in the place of ONNX Runtime.
        inspector: in the place of the one that inspects files within the usual limits.
    """
    log, store = structlog.get_logger("seatrial"), _store(settings)
    artifacts = artifacts if artifacts is not None else store
    database = reach_registry(settings.database_url, settings.data_dir)
    counter = Counter(ids.secret_id(), clock.wall)
    metrics = Metrics(seatrial.__version__, clock.monotonic, _later)
    access = Access(settings, database, metrics, log)
    guard = access.guard
    follower = None if ledger else _follow(database, counter, access, log)
    ledger = ledger or database
    registry: Registry = follower.mirror if follower else ledger
    look = follower.look if follower else _nothing
    pool, proven = Pool(), Proven(database.evidence)
    engine, tracer = _engine(settings, metrics, log), _tracing(settings)
    predictor = Predictor(pool, engine, registry)
    registrar = Registrar(ledger, store, inspector or ProcessInspector(), settings.max_versions, look)
    lifecycle = Lifecycle(clock.monotonic, clock.monotonic(), on_stop=registrar.stop)

    tell = partial(_log_model, log)
    candidates = Candidates(pool, partial(load_model, artifacts=artifacts, load=load), tell)

    def serve(view: View) -> bool:
        """Load what the registry says beside what is served, then serve that; who is being answered notices nothing."""
        pool.swap(load_models(view, artifacts, load, settings.default_models, tell, pool.snapshot))
        candidates.follow(view)
        metrics.serving(pool.snapshot, proven.seconds([model.model_id for model in pool.snapshot.production.values()]))
        return proven.complete and not pool.snapshot.failures

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if follower:
            await follower.start(serve)
        else:
            serve(View(registry.versions()))
            access.follow()
        models = sorted(pool.snapshot.by_id)
        on_start(lifecycle, models)
        log.info("serving", url=url, models=models)
        yield
        lifecycle.draining = True
        registrar.close()
        candidates.close()
        await engine.stop()
        if follower:
            await follower.stop()
        await access.close()
        await asyncio.to_thread(_close, database, tracer)
        log.info("stopped")

    app = openapi.DocumentedAPI(
        title="Seatrial",
        version=seatrial.__version__,
        description=openapi.DESCRIPTION,
        openapi_tags=openapi.TAGS,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=_native_telemetry(tracer),
    )
    rules = read_rules(settings)
    serving = partial(_serving, pool)
    trials = Trials(ledger, database.evidence, store, rules, serving, look, clock.wall)
    routers = (
        predict_routes(guard, predictor, clock.monotonic),
        model_routes(
            guard, registry, artifacts, pool, trials.proofs_if_told, follower.catch_up if follower else _nothing
        ),
        register_routes(guard, registrar, pool, settings.max_model_bytes, clock.monotonic, access.note_registered),
        proof_routes(guard, trials, clock.monotonic),
        gate_routes(guard, _promotion(ledger, database, store, rules, load), serving, look, access.trail.note),
        auth_routes(access.desk),
        key_routes(guard, access.keys, clock.monotonic),
        system_routes(
            guard,
            seatrial.__version__,
            metrics,
            health=partial(health, registry, pool, lifecycle, seatrial.__version__, partial(_states, follower, engine)),
            ready=partial(ready, registry, pool, lifecycle, partial(_entries, follower)),
        ),
        page_routes(),
    )
    _complete(app, routers)
    edge = Edge(
        app,
        Lane(guard, predictor, metrics, clock.monotonic, counter.note, tracer),
        guard,
        lifecycle,
        Journal(metrics, log, clock.monotonic, counter.note, tracer),
        clock.monotonic,
    )
    return cross_origin(edge, settings.cors_origins)


def _engine(settings: Settings, metrics: Metrics, log: structlog.typing.FilteringBoundLogger) -> Engine:
    answers = shared = None
    if settings.cache_size:
        answers = Answers(settings.cache_size, settings.cache_ttl, clock.monotonic)
        if settings.redis_url:
            secret = secret_key(settings.data_dir, settings.secret_key)
            url, tell = settings.redis_url.get_secret_value(), partial(log_state, log)
            shared = RedisAnswers(url, secret, settings.cache_ttl, tell)
    engine = Engine(max(1, allowed_cores() // settings.workers), settings.queue_limit, metrics, answers, shared)
    metrics.watch(engine)
    return engine


def _tracing(settings: Settings) -> "Tracing | None":
    if settings.otlp_endpoint is None:
        return None
    from seatrial.server.telemetry.tracing import Tracing  # noqa: PLC0415 - whoever does not trace does not load it

    return Tracing(settings.otlp_endpoint, seatrial.__version__, clock.monotonic)


def _native_telemetry(tracer: "Tracing | None") -> TelemetryConfig:
    """Spans of the routes that are no predictions; nothing else of what FastAPI could send."""
    off: TelemetryConfig = {"metrics": False, "logs": False, "operation_spans": False, "auto_configure": False}
    return {**off, "tracing": False} if tracer is None else {**off, "tracer_provider": tracer.provider}


def _close(database: SqlRegistry, tracer: "Tracing | None") -> None:
    database.close()
    if tracer is not None:
        tracer.close()


def _complete(app: openapi.DocumentedAPI, routers: Sequence[APIRouter]) -> None:
    for router in routers:
        app.include(router)
    problems.install(app)


def _follow(
    database: SqlRegistry, counter: Counter, access: Access, log: structlog.typing.FilteringBoundLogger
) -> Follower:
    """Of what `prepare` has made: a worker that comes back while the database is gone waits for it."""
    mirror = Mirror(database, clock.monotonic, lambda: database.evidence.open_trials(clock.wall()), database.stamp)
    write = partial(counter.flush, database.evidence)
    return Follower(mirror, partial(log_state, log), clock.monotonic, write, access.follow)


def _entries(follower: Follower | None) -> tuple[int, int] | None:
    return follower.mirror.entries if follower else None


def _states(follower: Follower | None, engine: Engine) -> dict[str, str | None]:
    """What the server depends on, and how it is; `None` where it is not configured."""
    return {"database": follower.mirror.state if follower else None, "cache": engine.shared_state}


def _serving(pool: Pool, model_id: str) -> str:
    """The digest of how a version is served here; empty where it is not loaded."""
    model = pool.snapshot.loaded(model_id)
    return model.serving_config_digest if model else ""


def _promotion(
    ledger: Ledger, database: SqlRegistry, documents: ContentStore, rules: Rules, load: RuntimeLoader
) -> Promotion:
    again, known = partial(replay, artifacts=documents, load=load), partial(_known, documents)
    return Promotion(ledger, database.evidence, documents, rules, again, known, clock.wall)


def read_rules(settings: Settings) -> Rules:
    """What decides over promotions.

    Raises:
        WrongFile: the SLO file cannot be used; says why, and where.
    """
    text = read_slo_text(settings.slo)
    slo = parse_slo(text, Path(settings.slo).name)
    known = {"golden", "bench", *(f"load.{name}" for name in plans.NAMES)}
    for stage, promotion in slo.document.promotion.items():
        if unknown := sorted(set(promotion.needs) - known):
            raise WrongFile(
                f"{settings.slo}: /promotion/{stage}/needs: expected some of {', '.join(sorted(known))}, whose runs "
                f"the gate can hold against what it counts; received {', '.join(unknown)}"
            )
    return Rules(slo, text, settings.gate)


def open_promotion(settings: Settings, database: SqlRegistry) -> Promotion:
    """What moves versions, for a command; raises `WrongFile` as `read_rules` does."""
    return _promotion(database, database, _store(settings), read_rules(settings), onnx.load)


def _known(store: ContentStore, version: ModelVersion) -> int:
    return len(store.golden(version.golden).cases)


def _nothing() -> None:
    """There is nothing to follow."""


def _later(seconds: float, call: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(seconds, call)


def _log_model(log: structlog.typing.FilteringBoundLogger, event: str, model_id: str, detail: str) -> None:
    level = log.error if event == "model_failed" else log.info
    level(event, model=model_id, detail=detail)
