"""What a run leaves behind: a line for each request, and the facts of the run. All figures are made from these."""

from dataclasses import dataclass as plain
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

_strict = ConfigDict(extra="forbid")

Count = Annotated[int, Field(ge=0, le=2**53)]
"""How many there were; no more than every reader of JSON holds exactly."""


@plain(frozen=True, slots=True, kw_only=True)
class Sample:
    """One request. Times are Unix time in seconds.

    `latency_ms` runs from `start`, when it was sent, to its last byte; a request that got no answer counts until it
    was given up. In the open loop `start - intended` is how late it was sent; users of the closed loop have both equal.
    `user` is the class of the user who asked, or `warm-up`, or which block of a comparison it belongs to: `champion 3`.
    `fault` says what was wrong (empty if `ok`), and begins with `wrong answer` where the status was right.
    """

    intended: float
    start: float
    latency_ms: float
    endpoint: str
    status: int
    bytes: int
    user: str
    model: str
    ok: bool
    fault: str


TRIAL_HEADER = "X-Seatrial-Trial"
"""The header of requests that belong to a trial: their server counts them under its id."""
WARM_UP = "warm-up"
"""The user of requests before a benchmark begins: they are counted, and no latency is taken from them."""
WRONG_ANSWER = "wrong answer"
"""How the fault of a sample begins whose status was right and whose content was not."""


@dataclass(frozen=True, config=_strict, kw_only=True)
class Beat:
    """The generator at one moment: users that run, and its own load. `cpu` is a share of one core, 0 to 1 a process."""

    time: float
    users: Count
    cpu: float


@dataclass(frozen=True, config=_strict, kw_only=True)
class Generator:
    """What the load generator could do, and how well it kept its schedule. None was not measured.

    `ceiling_rps`: its rate against a no-op route on the same machine, before a load. `lag_p99_ms`: how late it did what
    was due, for its own reasons. `cpu`: of its busiest process, as a share of a core; in a bench, while one caller
    asked. `steal`: share of the machine's time that the hypervisor gave to others. Of an open loop, `in_time`: requests
    that it came to before the time was over; `late_starts`: requests sent over 1 ms late, for whatever reason.
    """

    kind: Literal["locust", "open loop", "closed loop"]
    processes: int
    ceiling_rps: float | None = None
    lag_p99_ms: float | None = None
    cpu: float | None = None
    steal: float | None = None
    in_time: Count | None = None
    late_starts: Count = 0
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, config=_strict, kw_only=True)
class Machine:
    """The machine that the load came from. `digest` names it: figures of another digest are not comparable."""

    cpu: str
    cores: int
    memory_gib: float
    system: str
    python: str
    seatrial: str
    digest: str


@dataclass(frozen=True, config=_strict, kw_only=True)
class Subject:
    """A model that answered, and the digest of its file (`sha256:...`), where the target tells it.

    `serving_config_digest`: of how it was being served, where it was loaded.
    """

    model_id: str
    digest: str
    serving_config_digest: str = ""


@dataclass(frozen=True, config=_strict, kw_only=True)
class MemoryReading:
    """The resident memory of the server (`process_resident_memory_bytes`), at one moment."""

    time: float
    bytes: float


@dataclass(frozen=True, config=_strict, kw_only=True)
class Run:
    """The facts of a run.

    `verb` and `plan` name it (`load` `high`); `changed` lists what differs from the plan. `model`: the one that was
    put on trial, by its id, and `trial` the id under which its server counted; empty where it was the whole deployment.
    `users` of a closed loop,
    or `offered_rps` of an open one. `cadence_ms` is the mean think time of each user class, from which slow answers
    are back-filled. Times are Unix time in seconds.
    """

    verb: Literal["load", "open", "bench", "golden"]
    plan: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    target: str
    started: float
    ended: float
    duration_s: Annotated[float, Field(ge=0)]
    generator: Generator
    machine: Machine
    model: str = ""
    trial: Annotated[str, Field(pattern=r"^([0-9a-f]{32})?$")] = ""
    users: Count = 0
    spawn_rate: float = 0.0
    classes: tuple[str, ...] = ()
    offered_rps: float | None = None
    changed: tuple[str, ...] = ()
    cadence_ms: dict[str, float] = Field(default_factory=dict)
    beats: tuple[Beat, ...] = ()
    memory: tuple[MemoryReading, ...] = ()
    subjects: tuple[Subject, ...] = ()
    min_samples: Count = 0
    min_duration_s: float = 0.0
    schema: Literal["seatrial/run/v1"] = "seatrial/run/v1"

    @property
    def is_load(self) -> bool:
        """Whether its requests are one load, whose figures as a whole mean something: benchmarks are a series."""
        return self.verb in {"load", "open"}


sample_adapter: TypeAdapter[Sample] = TypeAdapter(Sample)
run_adapter: TypeAdapter[Run] = TypeAdapter(Run)


def sample_schema() -> dict[str, Any]:
    """The JSON Schema of one line of `samples.jsonl.gz`."""
    return sample_adapter.json_schema()


def run_schema() -> dict[str, Any]:
    """The JSON Schema of the facts of a run, which `proof.json` holds."""
    return run_adapter.json_schema()
