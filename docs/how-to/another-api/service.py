"""A digits service as people write them by hand, with nothing of Seatrial in it: `uvicorn service:app --port 9000`."""

from pathlib import Path

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel

FILE = Path(__file__).parents[3] / "src" / "seatrial" / "zoo" / "digits" / "model.onnx"
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1  # more of them go on spinning after a request, and hold up whatever else runs here
app = FastAPI()
model = onnxruntime.InferenceSession(FILE, options)


class Image(BaseModel):
    """28 x 28 pixels, row by row, from 0 (paper) to 1 (ink)."""

    image: list[float]


@app.post("/predict")
def predict(body: Image) -> dict[str, float]:
    """The digit, and how sure the model is."""
    (probabilities,) = model.run(None, {"image": np.array([body.image], dtype=np.float32)})
    return {"digit": int(probabilities.argmax()), "confidence": float(probabilities.max())}


@app.get("/health")
def health() -> dict[str, str]:
    """Whether it runs."""
    return {"status": "ok"}
