"""How fast a model in production was when it was proven under load, as this server counted it then."""

from collections.abc import Collection, Mapping

from seatrial.server.core.errors import StorageUnavailable
from seatrial.server.registry.evidence import Submitted, latencies
from seatrial.server.registry.ports import EvidenceStore

OF_LOAD = "load."
PERCENTILE = 95


class Proven:
    """What is known of the models that are served; lives as long as the worker.

    `complete` is false where the last `seconds` could not ask the store: it has what was known before then.

    Args:
        evidence: where proofs are kept.
    """

    def __init__(self, evidence: EvidenceStore) -> None:
        self._evidence = evidence
        self._found: dict[str, tuple[str, float | None]] = {}
        self.complete = True

    def seconds(self, model_ids: Collection[str]) -> Mapping[str, float]:
        """The p95 of each model in the newest proof of a load that was taken of it; of others nothing.

        Of the answers with predictions of this very model alone. Called in a thread, when it changes what is served.
        """
        try:
            self._found = {model_id: self._newest(model_id) for model_id in model_ids}
            self.complete = True
        except StorageUnavailable:
            self.complete = False
        return {model_id: value for model_id, (_, value) in self._found.items() if value is not None}

    def _newest(self, model_id: str) -> tuple[str, float | None]:
        """The digest of the proof, by which it is not read twice, and what it says."""
        proofs = [item for item in self._evidence.latest_proofs(model_id) if item.need.startswith(OF_LOAD)]
        if not proofs:
            return "", None
        newest = max(proofs, key=lambda item: (item.submitted, item.digest))
        known = self._found.get(model_id)
        return known if known and known[0] == newest.digest else (newest.digest, _p95(newest, model_id))


def _p95(proof: Submitted, model_id: str) -> float | None:
    """In seconds; none where nothing was counted, or what was cannot be read."""
    try:
        measured = latencies(tuple(tally for tally in proof.counted if tally.model_id == model_id))
    except ValueError:
        return None
    return measured.percentile(PERCENTILE) / 1000 if measured.count else None
