"""The two climate runs, and which of their years and grid cells are held out."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import iris_sample_data
import netCDF4
import numpy as np
import numpy.typing as npt

SCENARIOS = ("A1B", "E1")
FIRST_YEAR, LAST_YEAR = 1860, 2099
SPLIT_YEAR = 2000
"""The runs are the same numbers before this year, and part from it on."""

SEED = 1860
HELD_OUT_YEARS = 24
HELD_OUT_CELLS = 181

Mask: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Runs:
    """Both runs as one table: a row for each year of a scenario, a column for each grid cell."""

    year: npt.NDArray[np.int64]
    scenario: npt.NDArray[np.int64]
    latitude: npt.NDArray[np.float64]
    longitude: npt.NDArray[np.float64]
    celsius: npt.NDArray[np.float64]
    year_held_out: Mask
    cell_held_out: Mask


def _read(scenario: str) -> tuple[npt.NDArray[np.float64], ...]:
    path = Path(iris_sample_data.path) / f"{scenario}_north_america.nc"
    with netCDF4.Dataset(path) as data:
        names = ("latitude", "longitude", "air_temperature")
        return tuple(np.asarray(data[name][:], dtype=np.float64) for name in names)


def load_runs() -> Runs:
    """Read both runs; the years before the scenarios part count once, as A1B."""
    latitude, longitude, first = _read(SCENARIOS[0])
    second = _read(SCENARIOS[1])[2]
    years = np.arange(FIRST_YEAR, LAST_YEAR + 1)
    apart = years >= SPLIT_YEAR
    if not np.array_equal(first[~apart], second[~apart]):
        msg = "the runs differ before they should"
        raise ValueError(msg)
    grid_latitude, grid_longitude = np.meshgrid(latitude, longitude - 360, indexing="ij")
    celsius = np.concatenate([first, second[apart]]).reshape(-1, grid_latitude.size) - 273.15
    year = np.concatenate([years, years[apart]])
    random = np.random.default_rng(SEED)
    held_years = random.choice(years, HELD_OUT_YEARS, replace=False)
    held_cells = random.choice(grid_latitude.size, HELD_OUT_CELLS, replace=False)
    return Runs(
        year=year,
        scenario=np.repeat([0, 1], [years.size, int(apart.sum())]),
        latitude=grid_latitude.ravel(),
        longitude=grid_longitude.ravel(),
        celsius=celsius,
        year_held_out=np.isin(year, held_years),
        cell_held_out=np.isin(np.arange(grid_latitude.size), held_cells),
    )
