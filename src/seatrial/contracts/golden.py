"""Golden answers: known inputs, the answers that the model gave when it was made, and the truth."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

MOST_BYTES = 4 * 2**20
"""Of golden answers that come with a file, or are made for one: they are told whole to whoever asks for them."""

_strict = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, config=_strict, kw_only=True)
class GoldenCase:
    """One known input (as in `data` of a prediction), the model's recorded `output`, and the true `label`."""

    input: dict[str, Any]
    output: Annotated[tuple[float, ...], Field(min_length=1)]
    label: str | int | float | None = None


@dataclass(frozen=True, slots=True, config=_strict, kw_only=True)
class Golden:
    """The golden answers of a model. `tolerance` is absolute, on each value of `output`."""

    cases: Annotated[tuple[GoldenCase, ...], Field(min_length=1)]
    tolerance: Annotated[float, Field(ge=0)]
    schema: Literal["seatrial/golden/v1"] = "seatrial/golden/v1"


_golden: TypeAdapter[Golden] = TypeAdapter(Golden)


def parse_golden(data: bytes) -> Golden:
    """Read golden answers from JSON; a `pydantic.ValidationError` says what is wrong and where."""
    return _golden.validate_json(data)


def golden_as_dict(golden: Golden) -> dict[str, Any]:
    """The JSON form of golden answers; `parse_golden` reads it back."""
    document: dict[str, Any] = _golden.dump_python(golden, mode="json")
    return document


def golden_schema() -> dict[str, Any]:
    """The JSON Schema of a golden file."""
    return _golden.json_schema()
