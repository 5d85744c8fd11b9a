"""The shapes of requests and answers, as pydantic models: what OpenAPI is made from."""

from typing import Annotated, Any, Literal, Self

from fastapi import Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema, model_validator

from seatrial.contracts.gate import GateCheck, GateDecision, ProofSummary
from seatrial.contracts.manifest import Manifest
from seatrial.server.inference.types import DEFAULT_BATCH_SIZE, MAX_ROWS


def _object_or_array(value: Any) -> Any:  # noqa: ANN401 - JSON is any of these; the model's signature decides
    if not isinstance(value, dict | list):
        raise ValueError("'data' is an object of features, or an array")  # noqa: TRY004 - pydantic takes ValueError
    return value


def _array(value: Any) -> Any:  # noqa: ANN401 - the same
    if not isinstance(value, list):
        raise ValueError("'data' is an array of examples")  # noqa: TRY004 - the same
    return value


def _whole(value: Any) -> Any:  # noqa: ANN401 - JSON has one kind of number: 10.0 is a whole one
    return int(value) if isinstance(value, float) and value.is_integer() else value


_FEATURES = {"anyOf": [{"type": "object"}, {"type": "array", "items": {}}]}
Example = Annotated[Any, BeforeValidator(_object_or_array), WithJsonSchema(_FEATURES)]
Examples = Annotated[
    Any,
    BeforeValidator(_array),
    WithJsonSchema({"type": "array", "items": _FEATURES, "minItems": 1, "maxItems": MAX_ROWS}),
]
BatchSize = Annotated[int, Field(strict=True, ge=1, le=MAX_ROWS), BeforeValidator(_whole)]


class _Request(BaseModel):
    """What both prediction routes take."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    data: Any
    model_id: str | None = Field(None, description="`name:version`; not together with `model_name`.")
    model_name: str | None = Field(None, description="A name: its production version answers.")
    return_probabilities: bool = Field(
        default=False, strict=True, description="Also give the probability of each class."
    )

    @model_validator(mode="before")
    @classmethod
    def _each_member_once(cls, value: Any) -> Any:  # noqa: ANN401 - whatever the body is
        if getattr(value, "duplicates", ()):
            raise ValueError(f"members that stand twice: {', '.join(value.duplicates)}")
        return value

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if self.model_id is not None and self.model_name is not None:
            raise ValueError("a request names its model by model_id or by model_name, not by both")
        return self


class PredictRequest(_Request):
    """One example for a model."""

    data: Example = Field(description="The features by name, or an array: see the model's `manifest.inputs`.")


class BatchRequest(_Request):
    """1 to 10 000 examples for one model; all are answered, or none."""

    data: Examples = Field(description="An array of examples, each as in `/predict`.")
    batch_size: BatchSize = Field(
        DEFAULT_BATCH_SIZE, description="Most examples in one run; changes no answer beyond float32 rounding."
    )


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


Reason = Annotated[
    str,
    StringConstraints(max_length=500, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$"),
    Query(description="Why, on one line; it stands in the ledger, for everybody to read."),
]
Label = str | int | float


class _Prediction(_Answer):
    """What both prediction routes answer."""

    predictions: list[Label] = Field(description="The class, or the value, of each example.")
    units: str | None = Field(None, description="Regression: the units of the values.")
    model_id: str
    model_name: str
    model_version: int
    inference_time_ms: float = Field(description="Milliseconds in the model's runtime.")
    timestamp: str = Field(description="RFC 3339, UTC.")
    input_shape: list[int] = Field(min_length=2, max_length=2, description="Examples, and values in each.")
    cached: bool


class PredictAnswer(_Prediction):
    """The answer to one example."""

    prediction: Label
    confidence: float | None = Field(None, ge=0, le=1, description="Classification: the probability of the answer.")
    probabilities: dict[str, float] | None = Field(None, description="Classification, if asked for: by class.")


class BatchAnswer(_Prediction):
    """The answers to a batch, in its order."""

    confidences: list[float] | None = Field(None, description="Classification: the probability of each answer.")
    probabilities: list[dict[str, float]] | None = Field(None, description="Classification, if asked for: by class.")


class FaultView(_Answer):
    """One thing that is wrong with an input."""

    pointer: str = Field(description="JSON pointer (RFC 6901) into the body.")
    detail: str
    expected: str
    received: str


class ProblemView(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: list[FaultView] = Field(description="At most 20 faults.")
    errors_total: int = Field(description="How many faults there are in all.")


class RootView(_Answer):
    """What this server is, and where to go on."""

    name: str
    version: str
    links: dict[str, str]


class LiveView(_Answer):
    """The process answers."""

    status: Literal["alive"]


class FollowedView(_Answer):
    """Entries of the ledger, by their numbers."""

    follows: int = Field(description="The last one that this worker follows.")
    newest: int = Field(description="The last one that it has seen; where that is another, it lags.")


class ReadyView(_Answer):
    """Every production model is loaded, warmed and verified."""

    status: Literal["ready"]
    models: dict[str, str]
    ledger: FollowedView | None


class ChecksView(_Answer):
    """The parts that a server may have beside its models."""

    database: str
    cache: str


class HealthView(_Answer):
    """The state of the whole."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    status: Literal["healthy", "degraded"]
    timestamp: str
    version: str
    uptime_seconds: float
    model_loaded: bool
    models: dict[str, str] = Field(description="Each production model: `ready`, or why not.")
    checks: ChecksView


class ModelSummary(_Answer):
    """One version of a model."""

    model_id: str
    model_name: str
    model_version: int
    stage: Literal["dev", "staging", "production", "archived"]
    task: Literal["classification", "regression"]
    description: str
    digest: str = Field(description="SHA-256 of the ONNX file.")
    registered_at: str = Field(description="RFC 3339, UTC.")
    reason: str = Field(description="Why it stands in its stage.")
    loaded: bool


class ExecutionCost(_Answer):
    """What a run of so many examples costs, as measured when the model was loaded: the best of a few."""

    examples: int
    run_ms: float = Field(description="Milliseconds.")
    example_us: float = Field(description="Microseconds an example.")


class ModelView(ModelSummary):
    """All that is known of one version."""

    metrics: dict[str, float] = Field(description="The figures of its card.")
    manifest: Manifest
    serving_config: dict[str, Any] | None = Field(description="How answers are computed here; null while not loaded.")
    serving_config_digest: str | None
    execution: list[ExecutionCost] = Field(description="What runs cost here, by batch size; empty while not loaded.")
    proofs: list[ProofSummary] = Field(description="Graded by this server; empty while the database is gone.")
    failure: str | None = Field(description="Why it could not be loaded.")


class GoldenCaseView(_Answer):
    """One known input with its answers."""

    input: dict[str, Any]
    output: list[float] = Field(description="What the model answered when it was made.")
    label: Label | None = Field(description="The truth.")


class GoldenView(_Answer):
    """Known inputs and answers of one version."""

    model_id: str
    digest: str
    tolerance: float = Field(description="Absolute, on each value of `output`.")
    cases: list[GoldenCaseView]


class LatencyView(_Answer):
    """Milliseconds; null before the first prediction."""

    p50: float | None
    p95: float | None
    p99: float | None


class ModelMetricsView(_Answer):
    """Counts and latency of one model."""

    predictions: int
    examples: int
    latency_ms: LatencyView


class SampleView(_Answer):
    """One sample of a metric."""

    name: str
    labels: dict[str, str]
    value: float | None


class MetricsView(_Answer):
    """The JSON view of the metrics."""

    timestamp: str
    uptime_seconds: float
    total_models: int
    production_models: int
    requests_total: int
    errors_total: int = Field(description="Answers with a status of 400 or above.")
    server_errors_total: int = Field(description="Answers with a status of 500 or above.")
    models: dict[str, ModelMetricsView]
    metrics: dict[str, list[SampleView]] = Field(description="Every metric of the text view, by family.")


class ProofTakenView(_Answer):
    """A proof that was taken, and each line on which it agrees with this server."""

    proof: ProofSummary
    checks: list[GateCheck]


class ChangeView(_Answer):
    """One version changed its stage."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=(), populate_by_name=True)

    number: int = Field(description="Of its entry in the ledger.")
    at: str = Field(description="RFC 3339, UTC.")
    model_id: str
    action: Literal["register", "promote", "refuse", "rollback", "archive"]
    before: str | None = Field(alias="from")
    after: str = Field(alias="to")
    who: str
    why: str
    gate: str = Field(description="The gate's mode, or `override`; empty where it was not asked.")
    proof: str = Field(description="Digest of what it rests on: the gate's answer, or the answers that were replayed.")


class HistoryView(ChangeView):
    """One entry of the ledger, bound to the one before it. What was refused is in it too, and changed nothing."""

    previous: str = Field(description="Digest of the entry before this one, of any model.")
    digest: str
    new_stage: str = Field(description="Where the version was to go; empty where the gate was not asked.")
    proofs: list[ProofSummary] = Field(description="What the gate looked at.")
    missing: list[GateCheck] = Field(description="The lines of the gate that stood in the way.")


class PromotedView(_Answer):
    """A promotion that was carried out; without changes, the version stood there already."""

    model_id: str
    stage: Literal["staging", "production"]
    changes: list[ChangeView]
    gate: GateDecision | None


class ReplayView(_Answer):
    """Known inputs that were asked again before a rollback."""

    cases: int
    worst: float = Field(description="The largest difference from a recorded answer.")
    tolerance: float


class RolledBackView(_Answer):
    """A rollback that was carried out."""

    model_id: str = Field(description="The version that is in production again.")
    changes: list[ChangeView]
    replayed: ReplayView
