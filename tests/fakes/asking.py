"""One user of Locust, in a process of its own: Locust patches whoever imports it.

`python -m tests.fakes.asking classes` prints what each class does; `... ask URL METHOD PATH` what is recorded of one
request.
"""

import json
import sys
from collections import Counter
from typing import Any

import locust.env
from locust import events

from seatrial.grading.plans import WAITS
from seatrial.trials.core.questions import Question, expect_ok
from seatrial.trials.load.swarm import recorder, users


def classes() -> dict[str, Any]:
    """The tasks of each class, by name with their weights, and its waits, as drawn a thousand times."""
    found: dict[str, Any] = {}
    for name in WAITS:
        user_class = getattr(users, name)
        user_class.host = "http://127.0.0.1:1"
        user = user_class(locust.env.Environment(events=events))
        waits = [user.wait_time() for _ in range(1000)]
        tasks = Counter(task.__name__ for task in user_class.tasks)
        found[name] = {"tasks": tasks, "shortest": min(waits), "longest": max(waits), "insecure": user.insecure}
    return found


def ask(url: str, method: str, path: str) -> list[dict[str, Any]]:
    """The requests that Locust tells of when a user asks once."""
    told: list[dict[str, Any]] = []

    def keep(response: Any, exception: BaseException | None, response_time: float, **_: object) -> None:  # noqa: ANN401 - of any client
        fault = recorder.fault_of(exception)
        told.append({"status": response.status_code, "fault": fault, "ms": response_time})

    users.StressTestUser.host = url
    environment = locust.env.Environment(events=events)
    environment.events.request.add_listener(keep)  # type: ignore[no-untyped-call]
    users.StressTestUser(environment).ask(Question("it", method, path, expect_ok))
    return told


if __name__ == "__main__":
    print(json.dumps(classes() if sys.argv[1] == "classes" else ask(*sys.argv[2:])))  # noqa: T201 - tells its parent
