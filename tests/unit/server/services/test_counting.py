"""What a worker counts under trials."""

import pytest
from tests.fakes.clock import ManualClock
from tests.fakes.evidence import TRIAL, MemoryEvidence

from seatrial.grading.histogram import decode
from seatrial.server.core.errors import StorageUnavailable
from seatrial.server.registry.evidence import Tally
from seatrial.server.services.counting import MOST_NOTED, MOST_PLACES, UNKNOWN_SECONDS, Counter

PREDICT = "POST /predict"


def counted(store: MemoryEvidence) -> dict[tuple[str, str, str], Tally]:
    return {(tally.phase, tally.endpoint, tally.model_id): tally for tally in store.tallies(TRIAL)}


def test_requests_are_counted_by_phase_endpoint_and_model() -> None:
    """With errors, latency, and when the first and the last came; each flush says all so far."""
    clock, store = ManualClock(), MemoryEvidence()
    counter = Counter("worker", clock)
    for seconds, status in ((0.002, 200), (0.004, 200), (0.003, 422)):
        counter.note(TRIAL, PREDICT, "a:2", status, seconds)
        clock.advance(1)
    counter.note(f"{TRIAL}/pairs", PREDICT, "a:1", 200, 0.001)
    counter.flush(store, {TRIAL})
    counter.note(TRIAL, "GET /health", "", 503, 0.001)
    counter.flush(store, {TRIAL})
    found = counted(store)
    own = found["", PREDICT, "a:2"]

    assert set(found) == {("", PREDICT, "a:2"), ("pairs", PREDICT, "a:1"), ("", "GET /health", "")}
    assert (own.requests, own.errors, own.first, own.last) == (3, 1, 1000.0, 1002.0)
    assert decode(own.histogram).percentiles(50, 100) == (3.001, 4.001)
    assert found["", "GET /health", ""].errors == 1


def test_only_open_trials_are_written_down() -> None:
    """What was counted before a worker knew of a trial counts once it does; what is no id never."""
    store = MemoryEvidence()
    counter = Counter("worker", ManualClock())
    counter.note("no such thing", PREDICT, "a:2", 200, 0.001)
    counter.note(TRIAL, PREDICT, "a:2", 200, 0.001)
    counter.flush(store, ())
    assert counted(store) == {}
    counter.flush(store, {TRIAL})

    assert [tally.requests for tally in counted(store).values()] == [1]


class LostOnce(MemoryEvidence):
    """A store that fails the first time."""

    lost = False

    def count(self, worker: str, trial_id: str, counted: object) -> None:
        """Fail once."""
        if not self.lost:
            self.lost = True
            raise StorageUnavailable("gone")
        super().count(worker, trial_id, counted)  # type: ignore[arg-type]


def test_what_could_not_be_written_is_written_the_next_time() -> None:
    """Nothing that was counted is lost with a database."""
    store, counter = LostOnce(), Counter("worker", ManualClock())
    counter.note(TRIAL, PREDICT, "a:2", 200, 0.001)
    with pytest.raises(StorageUnavailable):
        counter.flush(store, {TRIAL})
    counter.flush(store, {TRIAL})

    assert [tally.requests for tally in counted(store).values()] == [1]


def test_who_makes_up_ids_fills_no_memory() -> None:
    """Nothing is counted under an id that is of no trial, and after some seconds nothing is kept of it."""
    clock, store = ManualClock(), MemoryEvidence()
    counter = Counter("worker", clock)
    for number in range(1000):
        counter.note(f"{number:032x}", PREDICT, "a:2", 200, 0.001)
    clock.advance(UNKNOWN_SECONDS)
    counter.flush(store, {TRIAL})
    counter.flush(store, {f"{number:032x}" for number in range(1000)})

    assert [len(store.tallies(f"{number:032x}")) for number in (0, 999)] == [0, 0]
    for _ in range(MOST_NOTED + 1):
        counter.note(TRIAL, PREDICT, "a:2", 200, 0.001)
    counter.flush(store, {TRIAL})
    assert [tally.requests for tally in counted(store).values()] == [MOST_NOTED]


def test_a_trial_has_so_many_places_and_no_phase_but_one() -> None:
    """Whatever is asked under it, and whatever is written behind the id."""
    store, counter = MemoryEvidence(), Counter("worker", ManualClock())
    for number in range(MOST_PLACES + 10):
        counter.note(TRIAL, f"GET /{number}", "", 404, 0.001)
    counter.note(f"{TRIAL}/anything", PREDICT, "a:2", 200, 0.001)
    counter.flush(store, {TRIAL})

    assert len(counted(store)) == MOST_PLACES
    assert {phase for phase, _, _ in counted(store)} == {""}


def test_a_trial_that_ended_is_forgotten() -> None:
    """Its counts are in the database, or were never to be there."""
    store, counter = MemoryEvidence(), Counter("worker", ManualClock())
    counter.note(TRIAL, PREDICT, "a:2", 200, 0.001)
    counter.flush(store, {TRIAL})
    counter.flush(store, ())
    counter.note(TRIAL, PREDICT, "a:2", 200, 0.001)
    counter.flush(store, {TRIAL})

    assert [tally.requests for tally in counted(store).values()] == [1]
