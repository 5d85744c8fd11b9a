"""The ceiling: the least that a Python server can do for a prediction, and nothing else.

No routes, no validation, no checks, no metrics: an ASGI function, simdjson, ONNX Runtime in the event loop, an answer.
Run by `ceiling.py`: `python benchmarks/bare.py PORT`.
"""

import sys
from typing import Any

import numpy as np
import onnxruntime as ort
import orjson
import simdjson
import uvicorn
from starlette.types import Receive, Scope, Send

from seatrial import zoo


def _session() -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(zoo.ROOT / "digits" / "model.onnx", options, providers=["CPUExecutionProvider"])


_model = _session()
_parser = simdjson.Parser()


def _answer(body: bytes) -> bytes:
    document: Any = _parser.parse(body)
    image = document["data"]["image"]
    pixels = np.frombuffer(image.as_buffer(of_type="d"), np.float64).astype(np.float32).reshape(1, 784)
    probabilities = _model.run(["probabilities"], {"image": pixels})[0][0]
    best = int(probabilities.argmax())
    return orjson.dumps({"prediction": best, "confidence": float(probabilities[best])})


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer every request as if it were a prediction."""
    if scope["type"] != "http":
        return
    message = await receive()
    body = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    answer = _answer(body)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


if __name__ == "__main__":
    uvicorn.run(
        app,
        port=int(sys.argv[1]),
        lifespan="off",
        access_log=False,
        server_header=False,
        log_level="warning",
        ws="none",
    )
