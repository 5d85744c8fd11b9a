"""What `seatrial trial load` gives to Locust."""

import os
import signal
import sys

import gevent
from gevent.socket import wait_read
from locust import events

from seatrial.trials.load.swarm.recorder import record
from seatrial.trials.load.swarm.users import (
    APIStressUser,
    GeoClimateUser,
    MNISTAPIUser,
    RealisticUser,
    StressTestUser,
)

__all__ = ["APIStressUser", "GeoClimateUser", "MNISTAPIUser", "RealisticUser", "StressTestUser"]

if os.environ.get("SEATRIAL_TARGET_FILE"):
    from seatrial.trials.load.swarm.users import TargetUser

    __all__ += ["TargetUser"]

events.init.add_listener(record)


def end_with_parent() -> None:
    """Standard input is a pipe that the parent holds: once it closes, nobody is there who would end this process."""
    wait_read(sys.stdin.fileno())
    os.kill(os.getpid(), signal.SIGTERM)


@events.init.add_listener
def watch_parent(**_: object) -> None:
    """In each process, so that a load never outlives who asked for it."""
    gevent.spawn(end_with_parent)
