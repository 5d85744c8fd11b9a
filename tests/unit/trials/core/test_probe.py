"""The few questions about a target that are no part of the load."""

import pytest
from tests.fakes.planted import DIGEST, planted_server
from tests.live import free_port

from seatrial.contracts.record import Subject
from seatrial.trials.core import probe
from seatrial.trials.core.errors import CouldNotRun
from seatrial.trials.core.noop import noop_server
from seatrial.trials.core.target import Target


def nobody() -> Target:
    """A port that nobody listens on."""
    return Target(f"http://127.0.0.1:{free_port()}")


def test_a_seatrial_server_tells_its_models_and_its_memory() -> None:
    """Those in production with the digests of their files; bytes."""
    with planted_server() as url:
        target = Target(url)

        assert probe.accepts(target)
        assert probe.models(target) == tuple(
            Subject(model_id=f"{name}:1", digest=DIGEST) for name in ("digits", "geoclimate")
        )
        assert probe.memory(target) == 100_000_000.0


def test_another_server_tells_neither() -> None:
    """It accepts connections, and answers something else."""
    with noop_server() as url:
        target = Target(url)

        assert probe.accepts(target)
        assert (probe.models(target), probe.memory(target)) == ((), None)


def test_no_server_is_told_with_the_reason() -> None:
    """It does not accept, has no answers, and the fault says what to look at."""
    target = nobody()

    assert not probe.accepts(target)
    assert (probe.models(target), probe.memory(target)) == ((), None)
    with pytest.raises(CouldNotRun, match=r"does not accept connections: .*Is the server running there\?"):
        probe.require(target)


def test_memory_is_read_as_often_as_it_is_due() -> None:
    """Once at first, again only after a while; never again where the first answer had none."""
    with planted_server() as url:
        watch = probe.MemoryWatch(Target(url))
        watch.read_if_due()
        watch.read_if_due()
        assert ([reading.bytes for reading in watch.readings], watch.served, watch.due) == (
            [100_000_000.0],
            True,
            False,
        )
    with noop_server() as url:
        without = probe.MemoryWatch(Target(url))
        without.read_if_due()
        assert (without.readings, without.served, without.due) == ([], False, False)
