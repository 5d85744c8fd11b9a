"""What a model is: its inputs, its output, its golden answers. Read from JSON or TOML, checked by pydantic."""

import re
import tomllib
from dataclasses import field
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, TypeAdapter, model_validator
from pydantic.dataclasses import dataclass

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"

DType = Literal[
    "float16", "float32", "float64",
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "bool", "string",
]  # fmt: skip
Task = Literal["classification", "regression"]
Mode = Literal["inline", "threads"]
Label = Annotated[str, Field(max_length=200)] | Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
Axis = Annotated[int, Field(ge=1, le=2**31)]
Words = Annotated[str, Field(max_length=10_000)]
Name = Annotated[str, Field(max_length=200)]
MOST_BYTES = 256 * 1024
"""Of a manifest that somebody sends: it is read before anything is known of who wrote it."""
MOST_DEEP = 32
MOST_INPUTS = 1000
MOST_CLASSES = 10_000
"""What a model may have of each: a manifest is told whole to whoever asks for it."""
_sign = re.compile(r"""[\n=,\[\]{}.#]|\"{3}|'{3}|["']""").search
"""What a TOML file is looked through for: what ends a key, what parts it, and where texts and remarks begin."""
_ends = {
    '"': re.compile(r'(?:[^"\\\n]|\\.)*+"').match,
    "'": re.compile(r"[^'\n]*+'").match,
    '"' * 3: re.compile(r'(?:[^"\\]|\\.|"(?!""))*+"{3,5}', re.DOTALL).match,
    "'" * 3: re.compile(r"(?:[^']|'(?!''))*+'{3,5}").match,
}
"""What is left of a text after the quotes that it begins with, of each kind."""

_strict = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, config=_strict, kw_only=True)
class InputSpec:
    """One input of the graph.

    `shape` is that of one example, without the batch axis: `()` is a number. With `categories` callers send one of
    these strings; an integer input gets its index, a string input the text itself. `min` and `max` are inclusive.
    """

    name: Annotated[str, Field(min_length=1, max_length=128)]
    dtype: DType
    shape: tuple[Annotated[int, Field(ge=1)], ...] = ()
    units: str = ""
    description: str = ""
    min: float | None = None
    max: float | None = None
    categories: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        if self.categories and not (self.dtype == "string" or self.dtype.startswith(("int", "uint"))):
            raise ValueError(f"categories need an integer or string dtype, not {self.dtype}")
        if len(set(self.categories)) != len(self.categories):
            raise ValueError("a category stands twice")
        if self.dtype in {"bool", "string"} and (self.min is not None or self.max is not None):
            raise ValueError(f"min and max have no meaning for dtype {self.dtype}")
        return self


@dataclass(frozen=True, slots=True, config=_strict, kw_only=True)
class OutputSpec:
    """The output of the graph: class probabilities with `classes`, or one number an example with `units`."""

    name: Annotated[str, Field(min_length=1, max_length=128)]
    units: str = ""
    classes: tuple[Label, ...] = ()


@dataclass(frozen=True, slots=True, config=_strict, kw_only=True)
class Execution:
    """How the model is to be run, in the place of what the server measures: where, and how many examples at once."""

    mode: Mode | None = None
    max_batch: Annotated[int, Field(ge=1, le=1024)] | None = None


@dataclass(frozen=True, slots=True, config=_strict, kw_only=True)
class Manifest:
    """A model's manifest. `digest` is `sha256:<hex>` of the ONNX file; `metrics` are the card's figures."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    task: Task
    inputs: Annotated[tuple[InputSpec, ...], Field(min_length=1)]
    output: OutputSpec
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    golden: str = "golden.json"
    licence: str = ""
    description: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    execution: Execution | None = None
    schema: Literal["seatrial/manifest/v1"] = "seatrial/manifest/v1"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [spec.name for spec in self.inputs]
        if len(set(names)) != len(names):
            raise ValueError("two inputs have the same name")
        if (self.task == "classification") != bool(self.output.classes):
            raise ValueError("a classification names its classes, a regression has none")
        return self


Finite = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True, slots=True, config=_strict, kw_only=True)
class InputDraft:
    """What somebody says of one input; the graph says the rest."""

    name: str
    dtype: DType | None = None
    shape: Annotated[tuple[Axis, ...], Field(max_length=64)] | None = None
    units: Name = ""
    description: Words = ""
    min: Finite | None = None
    max: Finite | None = None
    categories: Annotated[tuple[Name, ...], Field(max_length=10_000)] = ()


@dataclass(frozen=True, slots=True, config=_strict, kw_only=True)
class OutputDraft:
    """What somebody says of the output; without a name, the graph has only one that will do."""

    name: str | None = None
    units: Name = ""
    classes: Annotated[tuple[Label, ...], Field(max_length=MOST_CLASSES)] = ()


@dataclass(frozen=True, slots=True, config=_strict, kw_only=True)
class ManifestDraft:
    """A manifest as it comes with a file that is to be registered: any part may be missing.

    `version`, `digest` and `golden` are taken and ignored, so that a manifest that was shown can be sent again: the
    server assigns them. There is no `stage`: a file does not say where it is to stand.
    """

    name: str | None = None
    task: Task | None = None
    inputs: Annotated[tuple[InputDraft, ...], Field(max_length=MOST_INPUTS)] = ()
    output: OutputDraft = field(default_factory=OutputDraft)
    licence: Words = ""
    description: Words = ""
    metrics: Annotated[dict[Name, Finite], Field(max_length=1000)] = field(default_factory=dict)
    execution: Execution | None = None
    version: Any = None
    digest: Any = None
    golden: Any = None
    schema: Literal["seatrial/manifest/v1"] = "seatrial/manifest/v1"


_manifest: TypeAdapter[Manifest] = TypeAdapter(Manifest)
_draft: TypeAdapter[ManifestDraft] = TypeAdapter(ManifestDraft)


def parse_manifest(data: bytes) -> Manifest:
    """Read a manifest from JSON; a `pydantic.ValidationError` says what is wrong and where."""
    return _manifest.validate_json(data)


def parse_draft(data: bytes) -> ManifestDraft:
    """Read a draft: JSON where it begins with a brace, else TOML.

    Raises:
        pydantic.ValidationError: a part is wrong; it says which.
        ValueError: it is neither, too long, or nested too deeply.
    """
    if len(data) > MOST_BYTES:
        raise ValueError(f"it has {len(data)} bytes; expected at most {MOST_BYTES}")
    text = data.decode()
    if text.lstrip().startswith("{"):
        return _draft.validate_json(text)
    if _dots(text) > MOST_DEEP:  # the time in which a key is read grows with their square
        raise ValueError("it is nested too deeply")
    try:
        return _draft.validate_python(tomllib.loads(text))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _dots(text: str) -> int:
    """The most dots in one key of a TOML text, in a time that grows with its length; texts and remarks are passed over.

    Behind a text without an end nothing is read, here as there.
    """
    most = dots = place = 0
    while found := _sign(text, place):
        sign, place = found[0], found.end()
        if sign == ".":
            dots += 1
            most = max(most, dots)
        elif sign == "#":
            place = max(place, text.find("\n", place))
        elif sign in _ends:
            end = _ends[sign](text, place)
            if not end:
                break
            place = end.end()
        else:
            dots = 0
    return most


def manifest_as_dict(manifest: Manifest) -> dict[str, Any]:
    """The JSON form of a manifest; `parse_manifest` reads it back."""
    document: dict[str, Any] = _manifest.dump_python(manifest, mode="json")
    return document


def manifest_schema() -> dict[str, Any]:
    """The JSON Schema of a manifest."""
    return _manifest.json_schema()
