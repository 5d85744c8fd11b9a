"""What `seatrial trial load` gives to Locust."""

import os

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
