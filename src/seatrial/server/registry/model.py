"""A version of a model, and how it is named."""

import re
from dataclasses import dataclass
from enum import StrEnum

from seatrial.contracts.manifest import Manifest
from seatrial.server.core.errors import UnknownModel

_name = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}").fullmatch
_model_id = re.compile(r"([a-z0-9][a-z0-9._-]{0,63}):([1-9][0-9]{0,8})").fullmatch


class Stage(StrEnum):
    """Where a version stands on its way. One version of a name, at most, is in production."""

    DEV = "dev"
    STAGING = "staging"
    PRODUCTION = "production"
    ARCHIVED = "archived"


SERVED = frozenset({Stage.STAGING, Stage.PRODUCTION})
"""The stages whose versions are loaded."""


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version in the registry.

    The model's file has the digest of the manifest, that of its golden answers the digest `golden`. `registered_at` is
    RFC 3339 in UTC; `reason` says why it stands in its stage.
    """

    name: str
    version: int
    stage: Stage
    manifest: Manifest
    golden: str
    registered_at: str
    reason: str

    @property
    def model_id(self) -> str:
        """`name:version`."""
        return f"{self.name}:{self.version}"


def parse_model_id(text: str) -> tuple[str, int]:
    """Name and version of a `model_id`; any other form is an `UnknownModel`."""
    match = _model_id(text)
    if match is None:
        raise UnknownModel(f"There is no model '{text[:100]}'. A model_id is name:version, such as digits:1.")
    return match[1], int(match[2])


def require_name(text: str) -> str:
    """The name of a model; any other form is an `UnknownModel`, and no database is asked about it."""
    if not _name(text):
        raise UnknownModel(f"There is no model '{text[:100]}'.")
    return text
