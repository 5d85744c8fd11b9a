"""Lines of a table that a proof is held against, when it is taken and whenever the gate is asked."""

from collections.abc import Iterator

from seatrial.contracts.gate import GateCheck
from seatrial.contracts.proof import Proof
from seatrial.server.registry.model import ModelVersion

MOST_TEXT = 600
"""Characters of a proof's own text that a line repeats."""


def check(need: str, step: str, holds: bool, expected: str, received: str) -> GateCheck:  # noqa: FBT001 - the answer
    """One line, with no more of a proof's own text than is good."""
    return GateCheck(need=need, step=step, holds=holds, expected=expected, received=received[:MOST_TEXT])


def digest_checks(need: str, proof: Proof, version: ModelVersion, serving: str | None, slo: str) -> Iterator[GateCheck]:
    """Whether a proof is of this file, served this way, graded by this SLO file.

    Args:
        need: what the proof is evidence for.
        proof: it.
        version: that it should be of.
        serving: the digest of how the version is served here; empty where it should be loaded and is not, none where
            that is not asked.
        slo: the digest of the SLO file that decides.
    """
    subject = next((one for one in proof.run.subjects if one.model_id == version.model_id), None)
    digest = subject.digest if subject else "no such subject"
    yield check(need, "model digest", digest == version.manifest.digest, version.manifest.digest, digest)
    if serving is not None:
        config = subject.serving_config_digest if subject else ""
        holds = bool(serving) and config == serving
        yield check(need, "serving config digest", holds, serving or "a version that is loaded", config or "none")
    yield check(need, "SLO digest", proof.slo.digest == slo, slo, proof.slo.digest)
