"""What is on trial is loaded beside everything else, and nobody waits for it."""

import threading
from dataclasses import replace

from tests.fakes.evidence import TRIAL, a_trial
from tests.fakes.models import a_manifest, a_model, a_version
from tests.live import until

from seatrial.server.core.errors import ModelUnusable
from seatrial.server.inference.model import LoadedModel
from seatrial.server.inference.pool import Pool, Snapshot
from seatrial.server.registry.mirror import View
from seatrial.server.registry.model import ModelVersion, Stage
from seatrial.server.services.candidates import Candidates

MANIFEST = a_manifest(name="digits")
SECOND = a_version(MANIFEST, 2, Stage.DEV)
ON_TRIAL = View([SECOND], [a_trial(SECOND)])
LOADED = a_model(MANIFEST, version=2)


class Loading:
    """A load that takes until it may end, and what became of it."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.may_end = threading.Event()
        self.loads = 0
        self.told: list[tuple[str, str, str]] = []
        self.pool = Pool()
        self.fault = fault
        self.candidates = Candidates(self.pool, self.load, lambda *told: self.told.append(told))

    def load(self, _: ModelVersion) -> LoadedModel:
        """Load it."""
        self.loads += 1
        assert self.may_end.wait(30)
        if self.fault:
            raise self.fault
        return LOADED

    def end(self) -> None:
        """Let what is being loaded come to its end, and wait for it."""
        self.may_end.set()
        until(lambda: bool(self.told), "it is loaded, or failed")
        self.candidates.close()


def test_nobody_waits_for_a_candidate() -> None:
    """What serves is swapped while it is being loaded; then it answers under its trial, and under no other."""
    loading = Loading()
    loading.candidates.follow(ON_TRIAL)
    loading.pool.swap(Snapshot(by_id={"a:1": a_model(a_manifest(name="a"))}))
    assert (loading.pool.snapshot.find("digits:2", TRIAL), loading.told) == (None, [])
    loading.end()
    until(lambda: loading.pool.snapshot.find("digits:2", TRIAL) is LOADED, "it answers")
    snapshot = loading.pool.snapshot

    assert set(snapshot.by_id) == {"a:1"}
    assert snapshot.find("digits:2", f"{TRIAL}/pairs") is LOADED
    assert [snapshot.find("digits:2", trial) for trial in (None, "0" * 32)] == [None, None]


def test_a_later_swap_leaves_it_on_trial() -> None:
    """Until the trial is over."""
    loading = Loading()
    loading.candidates.follow(ON_TRIAL)
    loading.may_end.set()
    until(lambda: loading.pool.snapshot.loaded("digits:2") is LOADED, "it is loaded")
    loading.pool.swap(Snapshot())
    assert loading.pool.snapshot.loaded("digits:2") is LOADED

    loading.candidates.follow(View([SECOND]))
    until(lambda: loading.pool.snapshot.loaded("digits:2") is None, "it is let go of")
    loading.candidates.close()


def test_one_that_cannot_be_loaded_says_why_and_is_not_tried_again() -> None:
    """As long as its trial is the same."""
    loading = Loading(ModelUnusable("it is broken"))
    for _ in range(3):
        loading.candidates.follow(ON_TRIAL)
    loading.end()
    until(lambda: bool(loading.pool.snapshot.failed_on_trial), "it is told")

    assert loading.pool.snapshot.failed_on_trial == {"digits:2": "it is broken"}
    assert (loading.loads, loading.told) == (1, [("model_failed", "digits:2", "it is broken")])


def test_whatever_goes_wrong_is_told() -> None:
    """A load that ends in an error of another kind is a failure of its version as well."""
    loading = Loading(MemoryError("no room"))
    loading.candidates.follow(ON_TRIAL)
    loading.end()
    until(lambda: bool(loading.pool.snapshot.failed_on_trial), "it is told")

    told = "It cannot be loaded, by MemoryError; the log says more."
    assert loading.pool.snapshot.failed_on_trial == {"digits:2": told}
    assert loading.told == [("model_failed", "digits:2", "MemoryError: no room")]


def test_what_is_archived_is_not_loaded() -> None:
    """Though a trial of it is open: so an operator puts aside a version whose load brings the server down."""
    loading = Loading()
    loading.may_end.set()
    archived = replace(SECOND, stage=Stage.ARCHIVED)
    loading.candidates.follow(View([archived], [a_trial(archived)]))
    until(lambda: bool(loading.pool.snapshot.failed_on_trial), "it is told")
    loading.candidates.close()

    assert loading.pool.snapshot.failed_on_trial == {"digits:2": "It is archived, and not loaded."}
    assert (loading.loads, loading.told) == (0, [])


def test_what_is_archived_under_its_trial_is_let_go_of() -> None:
    """At once; its trial may be open for long."""
    loading = Loading()
    loading.may_end.set()
    loading.candidates.follow(ON_TRIAL)
    until(lambda: loading.pool.snapshot.loaded("digits:2") is LOADED, "it is loaded")
    archived = replace(SECOND, stage=Stage.ARCHIVED)
    loading.candidates.follow(View([archived], [a_trial(SECOND)]))
    until(lambda: loading.pool.snapshot.loaded("digits:2") is None, "it is let go of")
    loading.candidates.close()

    assert loading.loads == 1
