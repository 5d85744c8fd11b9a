"""What every store of evidence does (`registry.ports.EvidenceStore`), in memory and in both databases."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import pytest
from sqlalchemy import Engine
from tests.fakes.evidence import MemoryEvidence

from seatrial.server.core.errors import TrialConflict
from seatrial.server.registry.evidence import MOST_OPEN_TRIALS, Submitted, Tally, Trial
from seatrial.server.registry.ports import EvidenceStore
from seatrial.server.storage.evidence import SqlEvidence

ONE = Trial("1" * 32, "a", 2, 1000.25, 2000.5, "local:test")
TALLY = Tally("", "POST /predict", "a:2", 10, 1, "HIST", 1000.5, 1001.5)
PROOF = Submitted("sha256:" + "a" * 64, "a", 2, "load.high", ONE.trial_id, 1500.125, "key:ci", (TALLY,))


@pytest.fixture
def store(engine: Engine | None) -> EvidenceStore:
    """Each implementation, empty."""
    return SqlEvidence(engine) if engine else MemoryEvidence()


def another(number: int, **changes: object) -> Trial:
    return replace(ONE, trial_id=f"{number:032x}", **changes)  # type: ignore[arg-type]


def test_a_trial_is_kept_until_it_ends(store: EvidenceStore) -> None:
    """It counts to its last moment, and is known after that."""
    store.open_trial(ONE)

    assert store.trial(ONE.trial_id) == ONE
    assert [tuple(store.open_trials(now)) for now in (1000.25, 2000.25, 2000.5)] == [(ONE,), (ONE,), ()]
    assert store.trial("2" * 32) is None


def test_only_so_many_are_open_at_once(store: EvidenceStore) -> None:
    """Who has too many ends their own oldest; what has ended makes room."""
    for number in range(MOST_OPEN_TRIALS):
        store.open_trial(another(number))
    with pytest.raises(TrialConflict, match=f"{MOST_OPEN_TRIALS} trials of others are open"):
        store.open_trial(another(100, who="key:else"))
    store.open_trial(another(100))
    assert another(0).trial_id not in {trial.trial_id for trial in store.open_trials(1500.0)}
    store.submit(replace(PROOF, trial_id=another(3).trial_id))
    store.open_trial(another(101, who="key:else"))
    store.open_trial(another(102, opened=5000.0, expires=6000.0))

    assert [trial.trial_id for trial in store.open_trials(5500.0)] == [another(102).trial_id]


def test_a_worker_says_all_that_it_counted_each_time(store: EvidenceStore) -> None:
    """What it says takes the place of what it said; what others say stands beside it."""
    store.open_trial(ONE)
    more = [replace(TALLY, requests=20), replace(TALLY, phase="pairs", model_id="a:1")]
    store.count("x", ONE.trial_id, [TALLY])
    store.count("x", ONE.trial_id, more)
    store.count("y", ONE.trial_id, [TALLY])

    assert sorted(store.tallies(ONE.trial_id), key=str) == sorted([*more, TALLY], key=str)
    assert tuple(store.tallies("2" * 32)) == ()


def test_a_proof_closes_its_trial(store: EvidenceStore) -> None:
    """One a trial, and each proof once; of which version it is stays with it."""
    store.open_trial(ONE)
    store.open_trial(another(7))
    store.submit(PROOF)
    for again in (
        replace(PROOF, digest="sha256:" + "b" * 64),
        replace(PROOF, trial_id=another(7).trial_id),
        replace(PROOF, trial_id="9" * 32),
    ):
        with pytest.raises(TrialConflict):
            store.submit(again)

    assert store.trial(ONE.trial_id) == replace(ONE, closed=True)
    assert tuple(store.proofs("a:2", 9)) == (PROOF,)
    assert tuple(store.proofs("a:1", 9)) == ()
    assert [trial.trial_id for trial in store.open_trials(1500.0)] == [another(7).trial_id]


def test_proofs_are_told_in_the_order_in_which_they_came(store: EvidenceStore) -> None:
    """The oldest first; of many the last ones, and for each need the last."""
    moments = (1700.0, 1600.0, 1800.0, 1500.0)
    needs = ("load.smoke", "golden", "load.smoke", "load.smoke")
    for number, moment in enumerate(moments):
        store.open_trial(another(number))
        digest, trial_id = f"sha256:{number:064x}", another(number).trial_id
        store.submit(replace(PROOF, digest=digest, need=needs[number], trial_id=trial_id, submitted=moment))

    assert [proof.submitted for proof in store.proofs("a:2", 9)] == sorted(moments)
    assert [proof.submitted for proof in store.proofs("a:2", 2)] == [1700.0, 1800.0]
    latest = [(proof.need, proof.submitted) for proof in store.latest_proofs("a:2")]
    assert latest == [("golden", 1600.0), ("load.smoke", 1800.0)]
    assert tuple(store.latest_proofs("a:1")) == ()


def test_of_twenty_at_once_one_proof_is_taken(store: EvidenceStore) -> None:
    """A trial leads to one."""
    store.open_trial(ONE)

    def submit(number: int) -> None:
        with suppress(TrialConflict):
            store.submit(replace(PROOF, digest=f"sha256:{number:064x}"))

    with ThreadPoolExecutor(20) as threads:
        list(threads.map(submit, range(20)))

    assert len(store.proofs("a:2", 9)) == 1
