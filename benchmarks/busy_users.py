"""Users who ask for a known digit without a pause, for `generators.py`; any answer is right to them."""

from locust import constant, task

from seatrial.trials.core.models import bundled
from seatrial.trials.core.questions import Question, expect_ok, predictions
from seatrial.trials.load.swarm.users import SeatrialUser

_digit = predictions(bundled("digits"))[0]
QUESTION = Question("POST /", "POST", "/", expect_ok, _digit.body, "", _digit.headers)


class BusyUser(SeatrialUser):
    """Asks again as soon as the answer is there."""

    wait_time = constant(0)

    @task
    def ask_a_digit(self) -> None:
        """The same one each time."""
        self.ask(QUESTION)
