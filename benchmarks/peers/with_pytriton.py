"""PyTriton: Triton's HTTP front end, Python backend, one core. `python with_pytriton.py PORT`."""

import sys

import numpy as np
from digits import run, session
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

model = session()


@batch
def infer(image: np.ndarray) -> list[np.ndarray]:
    """Probabilities of images."""
    return [run(model, image)]


if __name__ == "__main__":
    port = int(sys.argv[1])
    config = TritonConfig(
        http_port=port, grpc_port=port + 1, metrics_port=port + 2, http_address="127.0.0.1", log_verbose=0
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name="digits",
            infer_func=infer,
            inputs=[Tensor(name="image", dtype=np.float32, shape=(784,))],
            outputs=[Tensor(name="probabilities", dtype=np.float32, shape=(10,))],
            config=ModelConfig(max_batch_size=64),
        )
        triton.serve()
