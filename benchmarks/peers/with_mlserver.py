"""MLServer, without parallel workers, which are slower here. Run by `mlserver start` in a folder of settings."""

import numpy as np
from digits import run, session
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Digits(MLModel):
    """The digits model."""

    async def load(self) -> bool:
        """Load it."""
        self.model = session()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Probabilities of images."""
        images = NumpyCodec.decode_input(payload.inputs[0]).astype(np.float32)
        output = NumpyCodec.encode_output("probabilities", run(self.model, images))
        return InferenceResponse(model_name=self.name, outputs=[output])
