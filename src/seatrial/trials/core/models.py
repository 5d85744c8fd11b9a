"""The models that a load asks about, and their known answers: what is bundled, or what the target tells of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from seatrial.contracts.golden import Golden, golden_as_dict, parse_golden
from seatrial.contracts.manifest import Manifest, manifest_as_dict, parse_manifest
from seatrial.zoo import ROOT


@dataclass(frozen=True, slots=True, eq=False)
class KnownModel:
    """A model: what it takes, and its known answers. With a `model_id` that version is asked, else its name's."""

    manifest: Manifest
    golden: Golden
    model_id: str = ""

    @property
    def name(self) -> str:
        """Its name, such as `digits`."""
        return self.manifest.name

    @property
    def label(self) -> str:
        """What records call it: `digits`, or `digits:2`."""
        return self.model_id or self.name

    @property
    def asked(self) -> dict[str, str]:
        """The member of a request that names it."""
        return {"model_id": self.model_id} if self.model_id else {"model_name": self.name}


@dataclass(frozen=True, slots=True, eq=False)
class Models:
    """What the user classes ask: one model of each task. `candidate`: the one of them that is on trial, if any."""

    classification: KnownModel
    regression: KnownModel
    candidate: KnownModel | None = None

    def either(self) -> tuple[KnownModel, KnownModel]:
        """Both."""
        return self.classification, self.regression

    def put(self, model: KnownModel) -> "Models":
        """These, with another for its task."""
        if model.manifest.task == "classification":
            return replace(self, classification=model)
        return replace(self, regression=model)


@cache
def bundled(name: str) -> KnownModel:
    """A bundled model by name: `digits` or `geoclimate`."""
    folder = ROOT / name
    manifest = parse_manifest((folder / "manifest.json").read_bytes())
    return KnownModel(manifest, parse_golden((folder / "golden.json").read_bytes()))


@cache
def bundled_models() -> Models:
    """What is asked where nothing else is said."""
    return Models(bundled("digits"), bundled("geoclimate"))


def read_known(description: bytes, golden: bytes, model_id: str) -> KnownModel:
    """A model by what a server answers at `/models/{model_id}` and its `/golden`; raises `ValueError`."""
    try:
        document = orjson.loads(golden)
        manifest = parse_manifest(orjson.dumps(orjson.loads(description)["manifest"]))
        known = parse_golden(orjson.dumps({"cases": document["cases"], "tolerance": document["tolerance"]}))
    except (orjson.JSONDecodeError, ValidationError, KeyError, TypeError) as error:
        raise ValueError(f"{model_id}: no manifest, or no known answers, could be read: {error}") from error
    return KnownModel(manifest, known, model_id)


def write_models(path: Path, models: Models) -> None:
    """Keep them in a file, for the processes of a generator."""
    document = {
        "classification": _as_document(models.classification),
        "regression": _as_document(models.regression),
    }
    path.write_bytes(orjson.dumps(document))


def read_models(path: Path) -> Models:
    """Read what `write_models` wrote."""
    document = orjson.loads(path.read_bytes())
    return Models(_from_document(document["classification"]), _from_document(document["regression"]))


def _as_document(model: KnownModel) -> dict[str, Any]:
    return {
        "manifest": manifest_as_dict(model.manifest),
        "golden": golden_as_dict(model.golden),
        "model_id": model.model_id,
    }


def _from_document(document: Mapping[str, Any]) -> KnownModel:
    manifest = parse_manifest(orjson.dumps(document["manifest"]))
    return KnownModel(manifest, parse_golden(orjson.dumps(document["golden"])), document["model_id"])
