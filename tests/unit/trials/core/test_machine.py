"""The fingerprint of the machine, and how busy it is."""

from seatrial.trials.core.machine import CpuTimes, cpu_times, fingerprint


def test_a_fingerprint_is_the_same_twice() -> None:
    """What does not change from run to run makes the digest."""
    machine = fingerprint()

    assert machine == fingerprint()
    assert machine.cores >= 1
    assert len(machine.digest) == len("sha256:") + 64


def test_steal_is_a_share() -> None:
    """Of the time that passed between two readings; no time passed is no steal."""
    assert CpuTimes(1.0, 100.0).steal_until(CpuTimes(2.0, 120.0)) == 0.05
    assert CpuTimes(1.0, 100.0).steal_until(CpuTimes(1.0, 100.0)) == 0.0


def test_cpu_times_are_read_where_the_system_tells_steal() -> None:
    """A reading grows; other systems give none."""
    first, second = cpu_times(), cpu_times()

    assert (first is None) == (second is None)
    assert first is None or second is None or second.total >= first.total
