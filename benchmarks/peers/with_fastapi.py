"""A service as one writes it by hand: FastAPI, pydantic in and out. `python with_fastapi.py PORT async|threads`."""

import sys

import numpy as np
import uvicorn
from digits import run, session
from fastapi import FastAPI
from pydantic import BaseModel


class Features(BaseModel):
    """One image."""

    image: list[float]


class Question(BaseModel):
    """What is asked."""

    data: Features


class Answer(BaseModel):
    """What is answered."""

    prediction: int
    confidence: float


app = FastAPI()
model = session()


def predict(image: list[float]) -> Answer:
    """The likeliest digit."""
    probabilities = run(model, np.array([image], np.float32))[0]
    best = int(probabilities.argmax())
    return Answer(prediction=best, confidence=float(probabilities[best]))


if sys.argv[2] == "async":

    @app.post("/predict")
    async def in_the_event_loop(question: Question) -> Answer:
        """Answer in the event loop."""
        return predict(question.data.image)

else:

    @app.post("/predict")
    def in_a_thread(question: Question) -> Answer:
        """Answer in a thread."""
        return predict(question.data.image)


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_level="warning")
