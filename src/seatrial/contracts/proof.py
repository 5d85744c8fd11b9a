"""What a run showed: its measures, their grades against an SLO file, and the verdict; the whole is `proof.json`."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from seatrial.contracts.record import Count, Run
from seatrial.contracts.slo import Slo

_strict = ConfigDict(extra="forbid")
_aliased = ConfigDict(extra="forbid", populate_by_name=True)

Outcome = Literal["pass", "fail", "not proven"]
Side = Literal["champion", "candidate"]
GradeName = Literal["target", "acceptable", "marginal", "poor", "not proven", "not measured", "unverifiable"]
EXIT_CODES: dict[Outcome, int] = {"pass": 0, "fail": 1, "not proven": 3}
USAGE_ERROR = 2
MOST_BLOCKS, MOST_ENDPOINTS = 4100, 200
"""What a proof can have of each: a thousand pairs of two endpoints, and some."""
COULD_NOT_RUN = 4


def _scope(endpoint: str, payload: str) -> str:
    return f"{endpoint} ({payload})" if payload else endpoint


@dataclass(frozen=True, config=_strict, kw_only=True)
class Latency:
    """A distribution of latencies, in milliseconds. `histogram`: an HdrHistogram of microseconds, V2, base64."""

    count: Count
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    p99_9_ms: float
    max_ms: float
    variation: float
    histogram: str


@dataclass(frozen=True, config=_strict, kw_only=True)
class Measure:
    """One endpoint, or the whole run, in its steady state; with `payload`, only what was sent to it about that model.

    `requests`, `failures` and `wrong_answers` count from the first request on, warm-up included; rates and latencies
    are of the steady state. `measured` is as seen by those who asked; `corrected` adds those who would have asked
    while an answer was late (coordinated omission), and is what is graded. `warm_up` is what came before the steady
    state, as measured. None: nothing was recorded, or it is the whole of a series of unlike benchmarks, which has
    counts only.
    """

    name: str
    payload: str = ""
    requests: Count
    failures: Count
    wrong_answers: Count
    rps: float
    goodput_rps: float
    bytes: Count
    measured: Latency | None
    corrected: Latency | None
    warm_up: Latency | None = None

    @property
    def title(self) -> str:
        """`POST /predict`, or `POST /predict (digits)`."""
        return _scope(self.name, self.payload)


@dataclass(frozen=True, config=_strict, kw_only=True)
class Interval:
    """One second of the run (`second` from its start): what was asked in it, as measured. None: nothing was."""

    second: int
    users: Count
    rps: float
    failures: Count
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, config=_strict, kw_only=True)
class CurvePoint:
    """A point of the percentile curve: this share of requests took at most so long."""

    percentile: float
    measured_ms: float
    corrected_ms: float


@dataclass(frozen=True, config=_strict, kw_only=True)
class Failure:
    """One kind of failure at one endpoint, how often it came, and when first (seconds from the start)."""

    endpoint: str
    fault: str
    status: int
    count: Count
    first_second: float


@dataclass(frozen=True, config=_strict, kw_only=True)
class Check:
    """Something that must hold for the run to count at all, such as a part of the generator's certificate.

    `holds` none: could not be measured, which is told but does not void the run.
    """

    name: str
    holds: bool | None
    received: str
    expected: str


@dataclass(frozen=True, config=_strict, kw_only=True)
class Comparison:
    """One indicator of one endpoint against the champion: the ratio over interleaved pairs, and its 95 % interval.

    `reason` tells what stands in the way of an answer, such as requests that failed.
    """

    endpoint: str
    sli: str
    pairs: int
    champion: float
    candidate: float
    ratio: float
    low: float
    high: float
    limit: float
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True, config=_strict, kw_only=True)
class Block:
    """One endpoint in one block of a comparison: how one side answered in its turn.

    `pair` counts from 1; 0 is the warm-up, which is not compared. `fault` is that of the first failure.
    """

    side: Side
    pair: Annotated[int, Field(ge=0)]
    endpoint: str
    failures: Count
    latency: Latency
    fault: str = ""


@dataclass(frozen=True, config=_strict, kw_only=True)
class AnswerCheck:
    """Known answers of one model: how many were asked for in which way, how many were right, and how far off."""

    model_id: str
    check: str
    cases: Count
    right: Count
    worst: float
    tolerance: float
    example: str = ""


@dataclass(frozen=True, config=_strict, kw_only=True)
class Grade:
    """One objective and what became of it. `value` is what was graded, `measured` the same without correction.

    `payload`: where an endpoint was asked for several models, the one whose value was worst. `samples` of `needed` were
    there: of latencies and rates those in the steady state, of counts all. `reason` tells in words why, where the grade
    is not its own explanation.
    """

    sli: str
    endpoint: str
    payload: str = ""
    unit: str
    value: float | None
    measured: float | None
    samples: int
    needed: int
    target: str | None
    acceptable: str | None
    poor: str | None
    critical: bool
    grade: GradeName
    reason: str = ""

    @property
    def limit(self) -> str | None:
        """What had to hold at least: the acceptable limit, or else the target."""
        return self.acceptable or self.target

    @property
    def scope(self) -> str:
        """Where it was taken: `all`, `POST /predict`, `POST /predict (digits)`."""
        return _scope(self.endpoint, self.payload)


@dataclass(frozen=True, config=_strict, kw_only=True)
class Verdict:
    """The outcome, its score from 0 to 1, and the reasons in words, the decisive one first."""

    outcome: Outcome
    marginal: bool
    score: float | None
    reasons: tuple[str, ...]


@dataclass(frozen=True, config=_strict, kw_only=True)
class SloUsed:
    """The SLO file that graded: its name, the SHA-256 of its text, and what it says."""

    name: str
    digest: str
    document: Slo


@dataclass(frozen=True, config=_strict, kw_only=True)
class Proof:
    """All that a run showed. `warm_up_s` seconds from the start are left out of rates and latencies."""

    run: Run
    warm_up_s: float
    expected_rps: float | None
    checks: tuple[Check, ...]
    total: Measure
    endpoints: Annotated[tuple[Measure, ...], Field(max_length=MOST_ENDPOINTS)]
    history: tuple[Interval, ...]
    curve: tuple[CurvePoint, ...]
    failures: tuple[Failure, ...]
    slo: SloUsed
    grades: tuple[Grade, ...]
    verdict: Verdict
    comparisons: tuple[Comparison, ...] = ()
    blocks: Annotated[tuple[Block, ...], Field(max_length=MOST_BLOCKS)] = ()
    answers: tuple[AnswerCheck, ...] = ()
    result: Literal["PASSED", "WARNED", "FAILED"] = "FAILED"


@dataclass(frozen=True, config=_strict, kw_only=True)
class ResourceDescriptor:
    """What the statement is about: a model and the digest of its file, by algorithm."""

    name: str
    digest: dict[str, str]


@dataclass(frozen=True, config=_aliased, kw_only=True)
class Statement:
    """`proof.json`: an in-toto statement whose predicate is ours, with the test-result predicate's `result`."""

    type: Literal["https://in-toto.io/Statement/v1"] = Field("https://in-toto.io/Statement/v1", alias="_type")
    subject: tuple[ResourceDescriptor, ...]
    predicate_type: Literal["urn:seatrial:proof:v1"] = Field("urn:seatrial:proof:v1", alias="predicateType")
    predicate: Proof


statement_adapter: TypeAdapter[Statement] = TypeAdapter(Statement)


def state(proof: Proof) -> Statement:
    """The statement of a proof, about the models that answered."""
    subject = tuple(
        ResourceDescriptor(name=item.model_id, digest=dict([item.digest.partition(":")[::2]]))
        for item in proof.run.subjects
    )
    return Statement(subject=subject, predicate=proof)  # type: ignore[call-arg] # mypy knows fields by alias only


def proof_schema() -> dict[str, Any]:
    """The JSON Schema of `proof.json`."""
    return statement_adapter.json_schema(by_alias=True)
