"""What the training scripts share: fetching data, running and timing a model, and writing a bundled model's folder."""

import hashlib
import json
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

FloatArray: TypeAlias = npt.NDArray[np.float32]
IntArray: TypeAlias = npt.NDArray[np.int64]
Feed: TypeAlias = Mapping[str, npt.NDArray[Any]]

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".train"
ZOO = ROOT / "src" / "seatrial" / "zoo"


def npm_package(name: str, version: str) -> Path:
    """Fetch one npm package into the cache, unless it is there, and return the folder of its files."""
    folder = CACHE / f"{name}-{version}"
    if not folder.is_dir():
        npm = shutil.which("npm")
        if npm is None:
            msg = "npm is needed to fetch the data: install Node.js"
            raise SystemExit(msg)
        CACHE.mkdir(exist_ok=True)
        command = [npm, "pack", "--silent", "--pack-destination", str(CACHE), f"{name}@{version}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with tarfile.open(CACHE / f"{name}-{version}.tgz") as archive:
            archive.extractall(folder, filter="data")
    return folder / "package"


def shortest(values: npt.ArrayLike) -> Any:  # noqa: ANN401 - a float or a list of floats
    """Turn float32 values into the shortest decimals that read back as the same float32."""
    array = np.asarray(values, dtype=np.float32)
    return float(str(array)) if array.ndim == 0 else [shortest(value) for value in array]


def open_model(model: bytes | Path) -> ort.InferenceSession:
    """Open a model on one thread of the CPU."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    source = model if isinstance(model, bytes) else str(model)
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def run_in_batches(session: ort.InferenceSession, feed: Feed, size: int = 1000) -> FloatArray:
    """Run a model over many examples, some at a time."""
    total = len(next(iter(feed.values())))
    slices = [slice(start, start + size) for start in range(0, total, size)]
    return np.concatenate([session.run(None, {k: v[part] for k, v in feed.items()})[0] for part in slices])


def interleaved_times(
    calls: Mapping[str, Callable[[], object]], rounds: int = 3000
) -> dict[str, npt.NDArray[np.int64]]:
    """Time some calls in turn, round after round, so that what slows the machine slows them all; in nanoseconds."""
    taken: dict[str, list[int]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter_ns()
            call()
            taken[name].append(time.perf_counter_ns() - start)
    return {name: np.array(values) for name, values in taken.items()}


def write_model(
    name: str,
    model: bytes,
    manifest: Mapping[str, Any],
    cases: Iterable[Mapping[str, Any]],
    tolerance: float,
    card: str,
) -> None:
    """Write model.onnx, manifest.json, golden.json and card.md into the model's folder."""
    folder = ZOO / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model)
    digest = "sha256:" + hashlib.sha256(model).hexdigest()
    full = {"schema": "seatrial/manifest/v1", "name": name, **manifest, "golden": "golden.json", "digest": digest}
    (folder / "manifest.json").write_text(json.dumps(full, indent=2) + "\n")
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    head = f'{{"schema":"seatrial/golden/v1","tolerance":{tolerance:g},"cases":[\n'
    (folder / "golden.json").write_text(head + lines + "\n]}\n")
    (folder / "card.md").write_text(card.strip() + "\n")
    print(f"{name}: wrote {len(model):,} bytes, {digest}")
