"""Ray Serve. `python with_ray.py PORT`."""

import signal
import sys
from typing import Any

import numpy as np
import ray
from digits import run, session
from ray import serve
from starlette.requests import Request


@serve.deployment(max_ongoing_requests=100)
class Digits:
    """The digits model."""

    def __init__(self) -> None:
        self.model = session()

    async def __call__(self, request: Request) -> dict[str, Any]:
        """The likeliest digit."""
        document = await request.json()
        probabilities = run(self.model, np.array([document["data"]["image"]], np.float32))[0]
        best = int(probabilities.argmax())
        return {"prediction": best, "confidence": float(probabilities[best])}


if __name__ == "__main__":
    ray.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False, _node_ip_address="127.0.0.1"
    )
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Digits.bind(), route_prefix="/predict")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
