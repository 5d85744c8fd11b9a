"""Fit the `geoclimate` model and write its folder: `python -m training.geoclimate.train`.

The model is a smoothing spline over latitude and longitude whose every coefficient is a smooth curve over the years.
Its scenario enters through max(0, year - 2000) alone, so both scenarios give the very same answers up to then.
"""

import time
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from training import common
from training.geoclimate.card import draw_map, write_card
from training.geoclimate.data import FIRST_YEAR, LAST_YEAR, SCENARIOS, SEED, SPLIT_YEAR, Runs, load_runs
from training.graph import Graph

Array: TypeAlias = npt.NDArray[np.floating[Any]]

GOLDEN_CASES = 100
TOLERANCE = 1e-3
# The strengths of the three roughness penalties, and the number of time knots, were picked by cross-validation on the
# training years and cells; no held-out value was looked at.
MEAN_PENALTY, CHANGE_PENALTY, TIME_PENALTY = 0.01, 0.02, 0.3
ASPECT = 0.75  # about (latitude step / longitude step in km at 37.5 degrees north) squared
CENTURY = 100.0
DRIFT_POWERS = 3  # E1 parts from A1B as a cubic in max(0, year - 2000)


@dataclass(frozen=True)
class Axis:
    """Evenly spaced knots of cubic B-splines that cover `low`..`high`; places count from `origin`."""

    low: float
    high: float
    pieces: int
    origin: float

    @property
    def step(self) -> float:
        """Distance between knots."""
        return (self.high - self.low) / self.pieces

    @property
    def size(self) -> int:
        """Number of splines."""
        return self.pieces + 3

    @property
    def peaks(self) -> Array:
        """Where each spline has its peak, in steps from the origin."""
        return np.arange(-1, self.pieces + 2) + (self.low - self.origin) / self.step

    def basis(self, at: npt.NDArray[Any]) -> Array:
        """Evaluate every spline (times 6) at some points: a row for each point."""
        distance = np.abs((at[:, None] - self.origin) / self.step - self.peaks)
        splines: Array = np.maximum(2 - distance, 0) ** 3 - 4 * np.maximum(1 - distance, 0) ** 3
        return splines


LATITUDE, LONGITUDE = Axis(15, 60, 36, origin=37.5), Axis(-135, -45, 48, origin=-90)
YEAR = Axis(FIRST_YEAR, LAST_YEAR, 9, origin=SPLIT_YEAR)
AXES = (LATITUDE, LONGITUDE, YEAR)
INPUTS = {
    "latitude": TensorProto.FLOAT,
    "longitude": TensorProto.FLOAT,
    "year": TensorProto.INT64,
    "scenario": TensorProto.INT64,
}


def time_basis(year: npt.NDArray[np.int64], scenario: npt.NDArray[np.int64]) -> Array:
    """Evaluate the curves over time: splines that both scenarios share, then E1's own drift."""
    after = np.maximum(year - SPLIT_YEAR, 0) / CENTURY
    drift = [scenario * after**power for power in range(1, DRIFT_POWERS + 1)]
    return np.hstack([YEAR.basis(year), np.stack(drift, axis=1)])


def bend(size: int, order: int) -> Array:
    """Return the quadratic form that sums the squared differences of some order."""
    difference = np.diff(np.eye(size), order, axis=0)
    return difference.T @ difference


def surface_penalty() -> Array:
    """Return the bending energy of a surface, the penalty of thin-plate splines."""
    lat, lon = LATITUDE.size, LONGITUDE.size
    along: Array = np.kron(bend(lat, 2), np.eye(lon)) + ASPECT**2 * np.kron(np.eye(lat), bend(lon, 2))
    return along + 2 * ASPECT * np.kron(bend(lat, 1), bend(lon, 1))


def fit_time(runs: Runs) -> Array:
    """Fit a curve over the training years to each training cell: a column of weights for each."""
    rows = ~runs.year_held_out
    basis = time_basis(runs.year[rows], runs.scenario[rows])
    penalty = 1e-6 * np.eye(basis.shape[1])
    penalty[: YEAR.size, : YEAR.size] += 36 * TIME_PENALTY * bend(YEAR.size, 2)
    values = runs.celsius[np.ix_(rows, ~runs.cell_held_out)]
    return np.linalg.solve(basis.T @ basis + penalty, basis.T @ values)


def fit_surfaces(runs: Runs, weights: Array) -> Array:
    """Lay a smooth surface through each time weight; the mean and the change have penalties of their own."""
    cells = ~runs.cell_held_out
    lat, lon = LATITUDE.basis(runs.latitude[cells]), LONGITUDE.basis(runs.longitude[cells])
    basis = (lat[:, :, None] * lon[:, None, :]).reshape(len(lat), -1)
    normal, penalty = basis.T @ basis, surface_penalty() * 36**2
    change = weights.copy()
    mean = change[: YEAR.size].mean(axis=0)
    change[: YEAR.size] -= mean
    mean_surface = np.linalg.solve(normal + MEAN_PENALTY * penalty, basis.T @ mean)
    surfaces = np.linalg.solve(normal + CHANGE_PENALTY * penalty, basis.T @ change.T)
    surfaces[:, : YEAR.size] += mean_surface[:, None]
    return surfaces.reshape(LATITUDE.size, LONGITUDE.size, -1)


def add_splines(graph: Graph, point: str) -> list[str]:
    """Add Axis.basis for all three axes at once: from (batch, 1, 4) to (batch, 1, splines) for each axis."""
    sizes = [axis.size for axis in AXES]
    spread = np.vstack([np.repeat(np.diag([1 / axis.step for axis in AXES]), sizes, axis=1), np.zeros(sum(sizes))])
    peaks = np.concatenate([axis.peaks for axis in AXES])
    steps = graph.add("MatMul", point, graph.constant(spread))
    distance = graph.add("Abs", graph.add("Sub", steps, graph.constant(peaks)))
    near = graph.add("Relu", graph.add("Sub", graph.constant([[2], [1]]), distance))
    cubes = graph.add("Mul", graph.add("Mul", near, near), near)
    basis = graph.add("MatMul", graph.constant([[1, -4]]), cubes)
    return graph.split(basis, sizes)


def add_time(graph: Graph, since: str, scenario: str, year_basis: str) -> str:
    """Add time_basis, where `since` counts years from the one in which the scenarios part."""
    after = graph.add("Relu", since)
    powers = graph.add("Pow", after, graph.constant(range(DRIFT_POWERS)))
    drift = graph.add("Mul", graph.add("Mul", scenario, after), powers)
    return graph.add("Concat", year_basis, drift, axis=2)


def build_model(surfaces: Array) -> bytes:
    """Write the fitted model as one flat ONNX graph."""
    graph = Graph()
    floats = [
        graph.add("Cast", name, to=TensorProto.FLOAT) if kind == TensorProto.INT64 else name
        for name, kind in INPUTS.items()
    ]
    rows = graph.add("Reshape", graph.add("Concat", *floats, axis=0), graph.constant([4, 1, -1], np.int64))
    columns = graph.add("Transpose", rows, perm=[2, 1, 0])
    point = graph.add("Sub", columns, graph.constant([*(axis.origin for axis in AXES), 0]))
    lat_basis, lon_basis, year_basis = add_splines(graph, point)
    _, since, scenario = graph.split(point, [2, 1, 1])
    when = add_time(graph, since, scenario, year_basis)
    count = surfaces.shape[2]
    surfaces = surfaces / np.concatenate([np.ones(YEAR.size), CENTURY ** np.arange(1, DRIFT_POWERS + 1)])
    by_latitude = graph.add("MatMul", lat_basis, graph.constant(surfaces.reshape(LATITUDE.size, -1)))
    by_latitude = graph.add("Reshape", by_latitude, graph.constant([-1, LONGITUDE.size, count], np.int64))
    here = graph.add("MatMul", lon_basis, by_latitude)
    axes = graph.constant([1, 2], np.int64)
    graph.add("ReduceSum", graph.add("Mul", here, when), axes, name="temperature", keepdims=0)
    inputs = {name: (kind, ("batch",)) for name, kind in INPUTS.items()}
    return graph.finish("geoclimate", inputs, {"temperature": (TensorProto.FLOAT, ("batch",))})


def feed_of(runs: Runs, rows: npt.NDArray[np.int64], cells: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
    """Return the model's inputs for some rows and cells of the table."""
    return {
        "latitude": runs.latitude[cells].astype(np.float32),
        "longitude": runs.longitude[cells].astype(np.float32),
        "year": runs.year[rows],
        "scenario": runs.scenario[rows],
    }


def predict_all(model: bytes, runs: Runs) -> Array:
    """Return the model's answers for the whole table, from the ONNX file itself."""
    rows, cells = np.divmod(np.arange(runs.celsius.size), runs.celsius.shape[1])
    answers = common.run_in_batches(common.open_model(model), feed_of(runs, rows, cells), 4096)
    return answers.reshape(runs.celsius.shape).astype(np.float64)


def climatology(runs: Runs) -> Array:
    """Return the baseline: a cell's mean over its run's training years; for a held-out cell, the nearest other's."""
    training = np.flatnonzero(~runs.cell_held_out)
    north = runs.latitude[:, None] - runs.latitude[training]
    east = (runs.longitude[:, None] - runs.longitude[training]) * np.cos(np.radians(runs.latitude))[:, None]
    nearest = training[np.hypot(north, east).argmin(axis=1)]
    kept = ~runs.year_held_out
    means = [
        runs.celsius[kept & ((runs.scenario == index) | (runs.year < SPLIT_YEAR))].mean(axis=0) for index in (0, 1)
    ]
    return np.stack(means)[runs.scenario][:, nearest]


def rmse_by_part(runs: Runs, answers: Array) -> dict[str, float]:
    """Return the root mean square error on each part of the table."""
    years, cells = runs.year_held_out, runs.cell_held_out
    rows = {"held_out_years": years, "held_out_cells": ~years, "held_out_both": years, "training": ~years}
    columns = {"held_out_years": ~cells, "held_out_cells": cells, "held_out_both": cells, "training": ~cells}
    squares = (answers - runs.celsius) ** 2
    return {part: round(float(np.sqrt(squares[np.ix_(rows[part], columns[part])].mean())), 4) for part in rows}


def natural_spread(runs: Runs) -> float:
    """Return the year-to-year spread in A1B: the distance from the centred mean of 21 years in the same cell."""
    window = 21
    values = runs.celsius[runs.scenario == 0]
    sums = np.cumsum(np.vstack([np.zeros_like(values[:1]), values]), axis=0)
    means = (sums[window:] - sums[:-window]) / window
    middle = values[window // 2 : -(window // 2)]
    return round(float(np.sqrt(((middle - means) ** 2).mean() * window / (window - 1))), 4)


def golden_cases(model: bytes, runs: Runs) -> list[dict[str, Any]]:
    """Draw the golden cases: random points of the runs, with the model's answers and the runs' own values."""
    chosen = np.random.default_rng(SEED + 1).choice(runs.celsius.size, GOLDEN_CASES, replace=False)
    rows, cells = np.divmod(chosen, runs.celsius.shape[1])
    feed = feed_of(runs, rows, cells)
    answers = common.run_in_batches(common.open_model(model), feed)
    cases = []
    for index, (row, cell) in enumerate(zip(rows, cells, strict=True)):
        given = {key: common.shortest(feed[key][index]) for key in ("latitude", "longitude")}
        given |= {"year": int(runs.year[row]), "scenario": SCENARIOS[runs.scenario[row]]}
        label = round(float(runs.celsius[row, cell]), 4)
        cases.append({"input": given, "output": [common.shortest(answers[index])], "label": label})
    return cases


def microseconds(model: bytes) -> float:
    """Time one row on one thread."""
    session = common.open_model(model)
    place = {"latitude": np.array([45], np.float32), "longitude": np.array([-100], np.float32)}
    feed = {**place, "year": np.array([2050]), "scenario": np.array([1])}
    times = common.interleaved_times({"one": lambda: session.run(None, feed)})
    return round(float(np.median(times["one"])) / 1000, 1)


def manifest(metrics: dict[str, float]) -> dict[str, Any]:
    """Return what the manifest says of the model."""

    def number(name: str, dtype: str, low: int, high: int, units: str, text: str) -> dict[str, Any]:
        bounds = {"min": low, "max": high}
        return {"name": name, "dtype": dtype, "shape": [], "units": units, "description": text, **bounds}

    categories = {"categories": list(SCENARIOS)}
    scenario = {"name": "scenario", "dtype": "int64", "shape": [], "units": ""}
    return {
        "task": "regression",
        "description": "Annual mean air temperature at 1.5 m over North America, from two Met Office climate runs",
        "licence": "MIT (model); Open Government Licence (data: British Crown copyright, 2018, Met Office)",
        "inputs": [
            number("latitude", "float32", 15, 60, "degrees north", "Latitude"),
            number("longitude", "float32", -135, -45, "degrees east", "Longitude; west is negative"),
            number("year", "int64", FIRST_YEAR, LAST_YEAR, "year", "Calendar year"),
            {**scenario, "description": "Emissions scenario; both are the same up to 2000", **categories},
        ],
        "output": {"name": "temperature", "units": "degrees Celsius"},
        "metrics": metrics,
    }


def main() -> None:
    """Fit, evaluate and write the model."""
    start = time.monotonic()
    runs = load_runs()
    model = build_model(fit_surfaces(runs, fit_time(runs)))
    errors, baseline = rmse_by_part(runs, predict_all(model, runs)), rmse_by_part(runs, climatology(runs))
    metrics = {f"rmse_{part}": value for part, value in errors.items()}
    metrics |= {f"rmse_climatology_{part.removeprefix('held_out_')}": value for part, value in baseline.items()}
    metrics["natural_spread"] = natural_spread(runs)
    draw_map(common.open_model(model), common.ZOO / "geoclimate" / "map.png")
    card = write_card(runs, metrics, microseconds(model), len(model))
    common.write_model("geoclimate", model, manifest(metrics), golden_cases(model, runs), TOLERANCE, card)
    print("\n".join(f"  {key} {value}" for key, value in metrics.items()))
    print(f"  took {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
