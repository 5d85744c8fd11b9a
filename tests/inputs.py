"""Inputs that the bundled models take."""

import json
from typing import Any

Json = Any
"""Whatever a JSON document can be."""

DENVER: dict[str, Any] = {"latitude": 39.7, "longitude": -105.0, "year": 2050, "scenario": "A1B"}
BLANK: list[float] = [0.0] * 784
NESTED: list[list[float]] = [[0.0] * 28 for _ in range(28)]

GOOD: dict[str, dict[str, Any]] = {"geoclimate": DENVER, "digits": {"image": BLANK}}
"""An example for each model."""


def single(model: str, data: object, **options: object) -> bytes:
    """The body of a prediction by a named model."""
    return json.dumps({"data": data, "model_name": model, **options}).encode()


def batch(model: str, rows: object, **options: object) -> bytes:
    """The body of a batch for a named model."""
    return single(model, rows, **options)
