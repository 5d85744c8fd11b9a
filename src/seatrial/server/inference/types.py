"""A decoded request, as it travels through the pipeline."""

from dataclasses import dataclass

Value = object
"""A decoded JSON value. Arrays of numbers come as float64 arrays (flat or two-dimensional) where they are regular,
else as lists; the rest as `str`, `int`, `float`, `bool`, `None`, `dict`. Signatures take both forms alike."""

DEFAULT_BATCH_SIZE = 1000
MAX_ROWS = 10_000


@dataclass(slots=True)
class InferRequest:
    """A prediction request after decoding: which model, on what, and what is wanted back.

    `trial`: under which id. `no_cache`: whether the caller wants an answer that is computed for them.
    `traceparent`: what it is a part of.
    """

    data: Value
    model_id: str | None = None
    model_name: str | None = None
    return_probabilities: bool = False
    batch_size: int = DEFAULT_BATCH_SIZE
    trial: str | None = None
    no_cache: bool = False
    traceparent: bytes | None = None

    @property
    def fresh(self) -> bool:
        """Whether it must be computed: a trial measures what answers cost."""
        return self.no_cache or self.trial is not None
