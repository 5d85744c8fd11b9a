"""BentoML. Run by `bentoml serve with_bentoml:Digits --port PORT`."""

from typing import Any

import bentoml
import numpy as np
from digits import run, session


@bentoml.service(workers=1, traffic={"timeout": 30})
class Digits:
    """The digits model."""

    def __init__(self) -> None:
        self.model = session()

    @bentoml.api
    async def predict(self, data: dict[str, Any]) -> dict[str, Any]:
        """The likeliest digit."""
        probabilities = run(self.model, np.array([data["image"]], np.float32))[0]
        best = int(probabilities.argmax())
        return {"prediction": best, "confidence": float(probabilities[best])}
