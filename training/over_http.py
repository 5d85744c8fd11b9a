"""Check both bundled models through a running server: `python training/over_http.py --target http://127.0.0.1:8000`.

Sends all MNIST test images and 500 random points of the climate runs, most of them held out, to POST /predict/batch,
and compares the answers with the labels and with the runs. The exit code is 1 if either model is worse over HTTP
than it has to be.
"""

import argparse
import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from training import common
from training.digits.data import load_mnist
from training.geoclimate.data import SCENARIOS, Runs, load_runs

BATCH = 500
SEED = 2100
LEAST_ACCURACY = 0.994
MOST_RMSE = {"held-out years": 0.80, "held-out cells": 0.95}


def predict(target: str, model_id: str, data: list[Any]) -> list[float]:
    """Send one batch and return the answer's predictions."""
    body = json.dumps({"data": data, "model_id": model_id}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{target.rstrip('/')}/predict/batch", body, headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        predictions: list[float] = json.load(response)["predictions"]
    if len(predictions) != len(data):
        raise SystemExit(f"{model_id}: sent {len(data)}, got {len(predictions)} predictions")
    return predictions


def check_digits(target: str) -> bool:
    """Print the accuracy on all test images, and tell whether it is good enough."""
    images, labels = load_mnist("test")
    answers: list[float] = []
    for start in range(0, len(images), BATCH):
        answers += predict(target, "digits:1", images[start : start + BATCH].tolist())
    accuracy = float(np.mean(np.array(answers) == labels))
    print(f"digits: {accuracy:.2%} of {len(labels)} test images (at least {LEAST_ACCURACY:.1%})")
    return accuracy >= LEAST_ACCURACY


def draw_points(runs: Runs) -> tuple[common.IntArray, common.IntArray]:
    """Draw rows and cells of the runs' table: 200 in held-out years, 200 in held-out cells, 100 anywhere."""
    random = np.random.default_rng(SEED)
    years, cells = (np.flatnonzero(mask) for mask in (runs.year_held_out, runs.cell_held_out))
    all_years, all_cells = np.arange(len(runs.year)), np.arange(len(runs.latitude))
    draws = [(years, all_cells, 200), (all_years, cells, 200), (all_years, all_cells, 100)]
    rows = [random.choice(pool, count) for pool, _, count in draws]
    columns = [random.choice(pool, count) for _, pool, count in draws]
    return np.concatenate(rows), np.concatenate(columns)


def check_climate(target: str) -> bool:
    """Print the errors on random points, held out and all, and tell whether they are small enough."""
    runs = load_runs()
    rows, cells = draw_points(runs)
    data = [
        {
            "latitude": float(runs.latitude[cell]),
            "longitude": float(runs.longitude[cell]),
            "year": int(runs.year[row]),
            "scenario": SCENARIOS[runs.scenario[row]],
        }
        for row, cell in zip(rows, cells, strict=True)
    ]
    squares = (np.array(predict(target, "geoclimate:1", data)) - runs.celsius[rows, cells]) ** 2
    years, held_cells = runs.year_held_out[rows], runs.cell_held_out[cells]
    parts = {"held-out years": years, "held-out cells": held_cells, "all": np.ones(len(rows), dtype=bool)}
    good = True
    for part, mask in parts.items():
        rmse, most = float(np.sqrt(squares[mask].mean())), MOST_RMSE.get(part)
        limit = f" (at most {most:.2f} K)" if most else ""
        print(f"geoclimate: RMSE {rmse:.2f} K on {mask.sum()} points, {part}{limit}")
        good = good and (most is None or rmse <= most)
    return good


def main() -> int:
    """Check both models and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="http://127.0.0.1:8000", help="the server's address")
    target = parser.parse_args().target
    results = [check_digits(target), check_climate(target)]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
