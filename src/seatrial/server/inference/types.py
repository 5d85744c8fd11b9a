"""A decoded request, as it travels through the pipeline."""

from dataclasses import dataclass

Value = object
"""A decoded JSON value. Arrays of numbers come as float64 arrays (flat or two-dimensional) where they are regular,
else as lists; the rest as `str`, `int`, `float`, `bool`, `None`, `dict`. Signatures take both forms alike."""

DEFAULT_BATCH_SIZE = 1000
MAX_ROWS = 10_000


@dataclass(slots=True)
class InferRequest:
    """A prediction request after decoding: which model, on what, and what is wanted back. `trial`: under which id."""

    data: Value
    model_id: str | None = None
    model_name: str | None = None
    return_probabilities: bool = False
    batch_size: int = DEFAULT_BATCH_SIZE
    trial: str | None = None
