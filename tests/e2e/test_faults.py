"""What callers notice of a fault under an open load: nothing. `scripts/bench faults` does the same for longer."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.faults import FAR, FAULTS, ROOT_ONLY, run
from tests.fakes.wire import possible
from tests.stack import HAPROXY, Stack, running_stack

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.load,
    pytest.mark.shared,
    pytest.mark.skipif(HAPROXY is None, reason="needs HAProxy: apt-get install haproxy"),
]
RATE = 50
SECONDS = 3.0
QUICK = ("rolling restart of both replicas",)
"""The others are for those who have the time."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One for all faults, one after the other."""
    with running_stack(tmp_path_factory.mktemp("stack"), disk=possible()) as started:
        yield started


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One whose PostgreSQL and Redis stand at the other end of a wire, under a name."""
    if not possible():
        pytest.skip("network namespaces take Linux and root")
    with running_stack(tmp_path_factory.mktemp("far"), wire=True) as started:
        yield started


@pytest.mark.proves("R3")
@pytest.mark.proves("R16")
@pytest.mark.parametrize(
    "fault", [name if name in QUICK else pytest.param(name, marks=pytest.mark.long) for name in FAULTS]
)
def test_no_prediction_is_lost_and_none_is_wrong(request: pytest.FixtureRequest, tmp_path: Path, fault: str) -> None:
    """Before, meanwhile and after; what writes is told to come again where it has to, and can afterwards."""
    if FAULTS[fault][0] in ROOT_ONLY and not possible():
        pytest.skip("takes Linux and root")
    stack: Stack = request.getfixturevalue("far" if FAULTS[fault][0] in FAR else "stack")
    stack.wait_until_whole()
    seen = run(fault, stack, tmp_path / "load", SECONDS, RATE)

    assert (seen.failed, seen.wrong) == (0, 0), seen.failures
    assert seen.asked_during > RATE
