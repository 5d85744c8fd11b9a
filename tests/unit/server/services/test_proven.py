"""How fast a model was when it was proven: by its own predictions, in its newest proof of a load."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from tests.fakes.evidence import MemoryEvidence

from seatrial.grading.histogram import Histogram
from seatrial.server.core.errors import StorageUnavailable
from seatrial.server.registry.evidence import Submitted, Tally, Trial
from seatrial.server.services.proven import Proven


class Store(MemoryEvidence):
    """A store that can be away, and counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.asked = 0

    def latest_proofs(self, model_id: str) -> Sequence[Submitted]:
        """See `EvidenceStore.latest_proofs`."""
        self.asked += 1
        if self.away:
            raise StorageUnavailable("gone")
        return super().latest_proofs(model_id)

    def take(self, need: str, *counted: Tally, submitted: float = 1000.0) -> None:
        """Take a proof of a:2 that was counted so."""
        number = len(self._proofs) + 1
        trial = Trial(f"{number:032x}", "a", 2, 0.0, 10_000.0, "local:test")
        self.open_trial(trial)
        self.submit(Submitted(f"sha256:{number:064x}", "a", 2, need, trial.trial_id, submitted, "local:test", counted))


def tally(*milliseconds: float, model_id: str = "a:2") -> Tally:
    histogram = Histogram(np.array(milliseconds)).encoded()
    return Tally("", "POST /predict", model_id, len(milliseconds), 0, histogram, 0.0, 1.0)


def seconds(proven: Proven, *model_ids: str) -> dict[str, float]:
    """What is known, to a millionth, since histograms keep three digits."""
    return {model_id: round(value, 6) for model_id, value in proven.seconds(model_ids).items()}


def test_the_p95_is_of_the_predictions_of_this_model() -> None:
    """Over all places and workers; what was asked beside, and what others answered, is left out."""
    store = Store()
    others = tally(900.0, 900.0, model_id=""), tally(800.0, model_id="a:1")
    store.take("load.high", tally(*[1.0] * 94), tally(*[2.0] * 2, *[9.0] * 4), *others)

    assert seconds(Proven(store), "a:2") == {"a:2": 0.002}


def test_the_newest_proof_of_a_load_counts() -> None:
    """Whatever its plan was; other kinds of proofs say nothing of it."""
    store = Store()
    store.take("load.high", tally(4.0), submitted=2000.0)
    store.take("load.medium", tally(5.0), submitted=3000.0)
    store.take("load.smoke", tally(6.0), submitted=1000.0)
    store.take("bench", tally(7.0), submitted=4000.0)
    store.take("golden", tally(8.0), submitted=5000.0)
    proven = Proven(store)
    assert seconds(proven, "a:2") == {"a:2": pytest.approx(0.005, rel=0.001)}
    store.take("load.high", tally(3.0), submitted=6000.0)

    assert seconds(proven, "a:2") == {"a:2": pytest.approx(0.003, rel=0.001)}


def test_a_model_that_was_not_proven_has_none() -> None:
    """Nor one whose proof counted none of its predictions, or whose counts cannot be read."""
    store = Store()
    proven = Proven(store)
    assert seconds(proven, "a:2", "b:1") == {}
    store.take("load.high", tally(900.0, model_id=""), submitted=1000.0)
    assert seconds(proven, "a:2") == {}
    store.take("load.high", replace(tally(1.0), histogram="no histogram"), submitted=2000.0)

    assert (seconds(proven, "a:2"), proven.complete) == ({}, True)


def test_what_was_known_stays_while_the_store_is_away() -> None:
    """It says that it is not complete, so that it is asked again; what is served no more is forgotten then."""
    store = Store()
    store.take("load.high", tally(2.0))
    proven = Proven(store)
    before = seconds(proven, "a:2")
    store.away = True
    assert (seconds(proven, "a:3"), proven.complete) == (before, False)
    store.away = False

    assert (seconds(proven, "a:3"), proven.complete) == ({}, True)


def test_the_store_is_asked_for_each_model_that_is_named_and_for_no_other() -> None:
    """Of a hundred versions a few are in production."""
    store = Store()
    Proven(store).seconds(["a:2", "b:1"])

    assert store.asked == 2
