"""What a model costs, measured; and how it is run, which follows."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from tests.fakes.clock import ManualClock
from tests.fakes.runtime import EchoRuntime

from seatrial.contracts.manifest import Execution, Mode
from seatrial.server.inference.calibration import BUDGET_SECONDS, RUNS, Calibration, Cost, best_batch, calibrate
from seatrial.server.inference.runtime import Array, Stop

GOLDEN = {"x": np.array([1, 2, 3], np.float32), "y": np.zeros((3, 2), np.float32)}


class TimedRuntime(EchoRuntime):
    """An echo whose runs take as long as a test says, on a clock of its own; the first of each size takes longer."""

    def __init__(self, seconds: Callable[[int], float]) -> None:
        super().__init__()
        self.clock = ManualClock()
        self._seconds = seconds
        self.inputs: list[dict[str, Array]] = []

    def run(self, arrays: Mapping[str, Array], stop: Stop | None = None) -> Array:
        """Take the time, then echo."""
        rows = len(next(iter(arrays.values())))
        self.clock.advance(self._seconds(rows) * (1 if rows in self.runs else 3))
        self.inputs.append(dict(arrays))
        return super().run(arrays, stop)


def calibrated(seconds: Callable[[int], float], wish: Execution | None = None, *, steady: bool = True) -> Calibration:
    runtime = TimedRuntime(seconds)
    runtime.steady = steady
    return calibrate(runtime, GOLDEN, wish, runtime.clock)


def test_every_size_is_timed_at_its_best() -> None:
    """The first run, which warms, does not count against it."""
    found = calibrated(lambda rows: 0.0001 + rows * 0.00004)

    assert [cost.examples for cost in found.costs] == [1, 2, 4, 8, 16, 32, 64]
    assert [cost.seconds for cost in found.costs] == pytest.approx(
        [0.0001 + rows * 0.00004 for rows in (1, 2, 4, 8, 16, 32, 64)]
    )


def test_known_inputs_are_asked_again_and_again_to_fill_a_batch() -> None:
    """Whole examples, whatever their shape."""
    runtime = TimedRuntime(lambda _: 0.0001)
    calibrate(runtime, GOLDEN, None, runtime.clock)
    eight = next(arrays for arrays in runtime.inputs if len(arrays["x"]) == 8)

    assert eight["x"].tolist() == [1, 2, 3, 1, 2, 3, 1, 2]
    assert eight["y"].shape == (8, 2)


@pytest.mark.parametrize(
    ("seconds", "sizes"),
    [(0.1, [1]), (0.02, [1, 2]), (BUDGET_SECONDS, [1]), (10.0, [1])],
)
def test_a_dear_model_is_not_timed_for_long(seconds: float, sizes: list[int]) -> None:
    """One example is always timed; larger batches as far as the budget goes."""
    assert [cost.examples for cost in calibrated(lambda rows: rows * seconds).costs] == sizes


@pytest.mark.parametrize(
    ("alone", "mode"), [(0.0001, "inline"), (0.0019, "inline"), (0.0021, "threads"), (0.2, "threads")]
)
def test_a_cheap_model_runs_inline_and_a_dear_one_in_threads(alone: float, mode: str) -> None:
    """What an example takes decides, against 2 ms."""
    assert calibrated(lambda rows: rows * alone).mode == mode


def test_a_model_of_which_one_run_tells_nothing_never_runs_inline() -> None:
    """However cheap its known inputs are, and whatever its manifest wishes."""
    assert calibrated(lambda _: 0.0001, steady=False).mode == "threads"
    assert calibrated(lambda _: 0.0001, Execution(mode="inline"), steady=False).mode == "threads"


@pytest.mark.parametrize(
    ("wish", "mode", "batch"),
    [
        (Execution(), "inline", 64),
        (Execution(mode="threads"), "threads", 64),
        (Execution(mode="inline"), "inline", 64),
        (Execution(max_batch=5), "inline", 5),
        (Execution(mode="threads", max_batch=500), "threads", 500),
    ],
)
def test_a_manifest_decides_where_it_says_something(wish: Execution, mode: str, batch: int) -> None:
    """The rest follows from what was measured: here larger batches are always cheaper."""
    found = calibrated(lambda rows: 0.001 + rows * 0.00001, wish)

    assert (found.mode, found.batch) == (mode, batch)


@pytest.mark.parametrize(
    ("each_us", "mode", "batch"),
    [
        ({1: 51, 2: 46, 4: 43, 8: 41.5, 16: 40.9, 32: 40.6, 64: 40.2}, "inline", 64),
        ({1: 51, 2: 46, 4: 43, 8: 41.5, 16: 40.9, 32: 40.6, 64: 40.2}, "threads", 8),
        ({1: 50, 2: 50, 4: 50}, "inline", 4),
        ({1: 50, 2: 50, 4: 50}, "threads", 1),
        ({1: 50, 2: 49, 4: 60}, "inline", 2),
        ({1: 50, 2: 49, 4: 60}, "threads", 1),
        ({1: 1000, 2: 900, 4: 800, 8: 700}, "inline", 4),
        ({1: 1000, 2: 900, 4: 800, 8: 700}, "threads", 8),
        ({1: 90_000}, "threads", 1),
        ({1: 40_000, 2: 20_000, 4: 10_000, 8: 5_000, 16: 4_900}, "threads", 8),
    ],
)
def test_the_batch_that_pays(each_us: dict[int, float], mode: Mode, batch: int) -> None:
    """Five in a hundred more are as good, and no run may take longer than its place allows."""
    costs = [Cost(examples, examples * each / 1e6) for examples, each in each_us.items()]

    assert best_batch(costs, mode) == batch


def test_it_is_told_in_words() -> None:
    """For the log."""
    costs = (Cost(1, 51e-6), Cost(8, 8 * 41e-6))

    assert Calibration(costs, "inline", 8).told() == (
        "inline, at most 8 at once; an example takes 51 us alone, 41 us among 8"
    )
    assert Calibration(costs, "threads", 500).told().endswith("41 us among 8")


def test_runs_are_few() -> None:
    """Three of each size."""
    runtime = TimedRuntime(lambda _: 0.0001)
    calibrate(runtime, GOLDEN, None, runtime.clock)

    assert runtime.runs == [size for size in (1, 2, 4, 8, 16, 32, 64) for _ in range(RUNS)]
