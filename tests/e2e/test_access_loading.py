"""Who may come in is followed while a model is loaded, however long that takes."""

import json
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from tests.e2e.callers import command
from tests.inprocess import serving
from tests.inputs import DENVER
from tests.live import PATIENCE, until_as_promised

from seatrial.contracts.manifest import Manifest
from seatrial.server.inference.runtime import Runtime
from seatrial.server.registry.ledger import Note
from seatrial.server.registry.model import Stage
from seatrial.server.runtimes import onnx
from seatrial.server.storage.opening import open_registry

BUNDLED = 2
"""Models that are loaded at the start."""


def test_a_key_is_refused_while_a_model_is_loaded(tmp_path: Path) -> None:
    """Revoked beside the server, within a second."""
    loading, go_on = threading.Event(), threading.Event()
    seen = 0

    def load(artifact: bytes, manifest: Manifest) -> Runtime:
        nonlocal seen
        seen += 1
        if seen > BUNDLED:
            loading.set()
            go_on.wait()
        return onnx.load(artifact, manifest)

    with serving(tmp_path / "data", load=load) as http:
        made = json.loads(command(tmp_path, "keys", "create", "--name", "ci", "--scopes", "predict", "--json"))

        def predicted() -> int:
            headers = {"Authorization": f"Bearer {made['key']}"}
            return http.post("/predict", json={"data": DENVER}, headers=headers).status_code

        try:
            assert predicted() == 200
            with closing(open_registry(None, tmp_path / "data")) as registry:
                second = replace(registry.get("digits:1"), version=2, stage=Stage.STAGING)
                registry.add(second, Note("local:test", "the same again"))
            assert loading.wait(PATIENCE)
            command(tmp_path, "keys", "revoke", made["key_id"])
            until_as_promised(lambda: predicted() == 401, "the key is refused")
        finally:
            go_on.set()
