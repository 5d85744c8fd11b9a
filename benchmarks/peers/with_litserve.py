"""LitServe. `python with_litserve.py PORT`."""

import sys
from typing import Any

import litserve
import numpy as np
from digits import run, session


class Digits(litserve.LitAPI):
    """The digits model."""

    def setup(self, device: str) -> None:
        """Load it."""
        del device
        self.model = session()

    def decode_request(self, request: dict[str, Any]) -> np.ndarray:
        """One image."""
        return np.array([request["data"]["image"]], np.float32)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Its probabilities."""
        return run(self.model, images)[0]

    def encode_response(self, probabilities: np.ndarray) -> dict[str, Any]:
        """The likeliest digit."""
        best = int(probabilities.argmax())
        return {"prediction": best, "confidence": float(probabilities[best])}


if __name__ == "__main__":
    server = litserve.LitServer(Digits(), accelerator="cpu", workers_per_device=1)
    server.run(
        port=int(sys.argv[1]), host="127.0.0.1", num_api_servers=1, generate_client_file=False, log_level="warning"
    )
