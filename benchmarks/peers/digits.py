"""What every peer runs: the digits model in ONNX Runtime, one thread. Imports nothing of ours."""

from pathlib import Path

import numpy as np
import onnxruntime as ort

MODEL = Path(__file__).parents[2] / "src" / "seatrial" / "zoo" / "digits" / "model.onnx"


def session() -> ort.InferenceSession:
    """A session like that of the server."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(str(MODEL), options, providers=["CPUExecutionProvider"])


def run(model: ort.InferenceSession, images: np.ndarray) -> np.ndarray:
    """Probabilities, shape `(rows, 10)`, of images, shape `(rows, 784)`."""
    return model.run(["probabilities"], {"image": images})[0]
