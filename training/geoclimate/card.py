"""The model card of `geoclimate` and its picture."""

import json
import textwrap
from pathlib import Path
from typing import Any, TypeAlias

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.contour import ContourSet

from training import common
from training.geoclimate.data import SEED, Runs

mpl.use("Agg")

Array: TypeAlias = npt.NDArray[np.float32]
Line: TypeAlias = npt.NDArray[np.float64]
Style: TypeAlias = dict[str, Any]

ATLAS = ("world-atlas", "2.0.2")
LATITUDES = np.linspace(15, 60, 181, dtype=np.float32)
LONGITUDES = np.linspace(-135, -45, 361, dtype=np.float32)
INK = "#22303c"


def coastlines() -> list[Line]:
    """Read the world's coastlines as longitude and latitude pairs (TopoJSON: whole steps from point to point)."""
    topology = json.loads((common.npm_package(*ATLAS) / "land-50m.json").read_text())
    scale, origin = topology["transform"]["scale"], topology["transform"]["translate"]
    return [np.cumsum(np.array(arc), axis=0) * scale + origin for arc in topology["arcs"]]


def decade_map(session: ort.InferenceSession, first_year: int, scenario: int) -> Array:
    """Return the model's mean temperature over ten years on a fine grid."""
    latitude, longitude = (grid.ravel() for grid in np.meshgrid(LATITUDES, LONGITUDES, indexing="ij"))
    total = np.zeros(latitude.size, dtype=np.float64)
    for year in range(first_year, first_year + 10):
        whole = {"year": year, "scenario": scenario}
        feed = {name: np.full(latitude.size, value, dtype=np.int64) for name, value in whole.items()}
        total += common.run_in_batches(session, {"latitude": latitude, "longitude": longitude, **feed}, 4096)
    return (total / 10).reshape(LATITUDES.size, LONGITUDES.size).astype(np.float32)


def draw_panel(axes: Axes, field: Array, title: str, style: Style, coast: list[Line]) -> ContourSet:
    """Draw one map."""
    axes.set_title(title, loc="left", fontsize=10.5, color=INK, fontweight="bold")
    filled = axes.contourf(LONGITUDES, LATITUDES, field, **style)
    for line in coast:
        axes.plot(line[:, 0], line[:, 1], color=INK, linewidth=0.5)
    axes.set(xlim=(-135, -45), ylim=(15, 60), aspect=1 / np.cos(np.radians(37.5)))
    axes.set_xticks(range(-120, -45, 30), [f"{-tick}°W" for tick in range(-120, -45, 30)])
    axes.set_yticks(range(20, 61, 20), [f"{tick}°N" for tick in range(20, 61, 20)])
    axes.tick_params(labelsize=8, colors=INK, length=2)
    axes.spines[:].set_color("#9aa5ae")
    return filled


def draw_map(session: ort.InferenceSession, path: Path) -> None:
    """Draw the 1990s and the 2090s under A1B, then the warming between them under both scenarios."""
    past, high, low = (decade_map(session, year, scenario) for year, scenario in ((1990, 0), (2090, 0), (2090, 1)))
    warmth: Style = {"cmap": "RdYlBu_r", "levels": np.arange(-14, 32.1, 2), "extend": "both"}
    rise: Style = {"cmap": "YlOrRd", "levels": np.arange(0, 8.6, 0.5), "extend": "max"}
    rows = [
        (warmth, {"The 1990s": past, "The 2090s under A1B": high}, "Annual mean, °C"),
        (rise, {"Warming, 1990s to 2090s, under A1B": high - past, "The same under E1": low - past}, "Change, °C"),
    ]
    figure, grid = plt.subplots(2, 2, figsize=(9.6, 6.3), layout="constrained", sharex=True, sharey=True)
    coast = coastlines()
    for panels, (style, fields, label) in zip(grid, rows, strict=True):
        for axes, (title, field) in zip(panels, fields.items(), strict=True):
            filled = draw_panel(axes, field, title, style, coast)
        bar = figure.colorbar(filled, ax=list(panels), fraction=0.03, pad=0.015, aspect=26, shrink=0.86)
        bar.set_label(label, color=INK, fontsize=9)
        bar.ax.tick_params(labelsize=8, colors=INK, length=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def notes(runs: Runs, metrics: dict[str, float], microseconds: float, size: int) -> str:
    """Return the list that says how the errors were measured."""
    years = np.unique(runs.year[runs.year_held_out])
    cells, held_cells = runs.cell_held_out.size, runs.cell_held_out.sum()
    text = f"""
**Held out** are {years.size} of the {np.unique(runs.year).size} years and {held_cells} of the {cells} grid cells,
drawn at random (NumPy's default generator, seed {SEED}). The shipped model never saw them: it is the evaluated one,
not fitted again to everything.

The held-out years: {", ".join(map(str, years))}.

Every error is the root of the mean square over all points of a part, A1B and E1 together. Up to 1999 both runs are the
same numbers, and those years count once.

**Climatology** is the plain answer that knows no time: the cell's mean over the training years of the same scenario's
run (1860 to 2099). For a held-out cell it is that mean in the nearest training cell.

**The floor is about {metrics["natural_spread"]:.2f} K**, the year-to-year spread of the weather in the runs, which no
smooth curve foresees: how far the A1B run is, year by year, from the centred mean of 21 years in the same cell.

The file has {size / 1000:.0f} kB; one row takes about {microseconds:.0f} µs in ONNX Runtime on one thread.
"""
    bullets = textwrap.TextWrapper(118, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)
    return "\n".join(bullets.fill(part.strip()) for part in text.split("\n\n"))


def write_card(runs: Runs, metrics: dict[str, float], microseconds: float, size: int) -> str:
    """Return the text of the model card."""
    parts = {
        "held-out years (training cells)": ("rmse_held_out_years", "rmse_climatology_years"),
        "held-out cells (training years)": ("rmse_held_out_cells", "rmse_climatology_cells"),
        "held-out cells in held-out years": ("rmse_held_out_both", "rmse_climatology_both"),
        "what it was trained on": ("rmse_training", "rmse_climatology_training"),
    }
    rows = "\n".join(
        f"| {text} | **{metrics[model]:.3f} K** | {metrics[baseline]:.3f} K |"
        for text, (model, baseline) in parts.items()
    )
    return f"""
# geoclimate

Annual mean air temperature at 1.5 m over North America, by place, year and emissions scenario: a small, fast stand-in
for two climate runs of the Met Office. Ask it for any latitude from 15 to 60 °N, any longitude from 135 to 45 °W
(negative numbers), any year from 1860 to 2099 and a scenario, and it answers in degrees Celsius.

![The model's maps of the 1990s and the 2090s, and the warming between them](map.png)

## How good it is

Root mean square error against the runs' own values, from the shipped `model.onnx` in ONNX Runtime:

| on | this model | climatology |
|---|---|---|
{rows}

{notes(runs, metrics, microseconds, size)}

## How it works

A cubic smoothing spline over latitude and longitude (39 × 51 splines), whose every coefficient is a smooth curve over
the years: 12 splines in time that both scenarios share, and a cubic in max(0, year − 2000) that E1 adds. So both
scenarios give exactly the same answer for every year up to 2000. It is fitted in closed form by penalised least
squares. The number of time splines and the strength of the penalties were picked by cross-validation on the training
years and cells alone.

| input | type | range | |
|---|---|---|---|
| `latitude` | float32 | 15 to 60 | degrees north |
| `longitude` | float32 | -135 to -45 | degrees east, so west is negative |
| `year` | int64 | 1860 to 2099 | |
| `scenario` | int64 | 0 = A1B, 1 = E1 | callers send the name |

| output | type | |
|---|---|---|
| `temperature` | float32 | degrees Celsius |

## Meant for, and not meant for

It shows what serving a regression model looks like, on real data, and draws plausible maps between grid points. It
gives the forced climate of one climate model, not weather: a single year of the real world, or of the runs, differs
from it by about 0.7 K. The grid is coarse (1.25° by 1.875°), so mountains, lakes and coasts are smoothed, and
nothing outside the ranges was ever seen. Do not plan a dam, a crop or a policy with it.

A1B is a scenario of rapid growth with a balance of energy sources; E1 one of strong mitigation that aims to keep
global warming below 2 °C.

## Data and licence

The files `A1B_north_america.nc` and `E1_north_america.nc` (Met Office Unified Model 6.05) of the Python package
`iris-sample-data`. Contains public sector information licensed under the
[Open Government Licence](https://www.nationalarchives.gov.uk/doc/open-government-licence): British Crown copyright,
2018, the Met Office. The coastlines of the picture are Natural Earth's (public domain), from the npm
package `world-atlas`. The model itself is under this project's licence.

`golden.json` holds 100 random points of the runs, some of them held out: the model's answers, and the runs' own
values as labels.

## Make it again

`scripts/train geoclimate` fetches the data, fits the model, measures it and writes this folder, this card included.
It takes seconds.
"""
