"""Batches in JSON against ONNX Runtime alone with the same images, both on one core, in interleaved blocks.

Run it with `scripts/bench batch`. It needs Linux, two cores and wrk.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort
from benchmarks import harness
from benchmarks.ours import GENERATOR_CORE, SERVER_CORE, asking, images, server, write_batches

from seatrial import zoo

CONNECTIONS = 4
SIZES = (32, 64, 128)


def runtime_alone(seconds: float) -> float:
    """Images a second of ONNX Runtime with one thread, at the batch size that it likes best."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(zoo.ROOT / "digits" / "model.onnx", options, providers=["CPUExecutionProvider"])
    known = np.array(images(max(SIZES)), np.float32)
    best = 0.0
    for size in SIZES:
        batch, count, begin = {"image": known[:size]}, 0, time.perf_counter()
        while time.perf_counter() - begin < seconds / len(SIZES):
            session.run(["probabilities"], batch)
            count += size
        best = max(best, count / (time.perf_counter() - begin))
    return best


def main() -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a block")
    parser.add_argument("--rows", type=int, default=100, help="images in a batch")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        print(runtime_alone(options.seconds))
        return 0
    command = ["taskset", "-c", str(SERVER_CORE), sys.executable, "-m", "benchmarks.batch", "--alone"]
    command += ["--seconds", str(options.seconds)]
    with tempfile.TemporaryDirectory() as folder, server(Path(folder) / "data") as ours:
        env = asking(ours, write_batches(Path(folder) / "bodies", options.rows), "/predict/batch")

        def served() -> harness.Block:
            return harness.run_wrk(ours.url, ours.pid, GENERATOR_CORE, options.seconds, CONNECTIONS, env)

        def alone() -> harness.Block:
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            rate = float(done.stdout)
            return harness.Block(rate / options.rows, 1e6 * options.rows / rate, 0.0, 0)

        served()
        pairs = harness.interleave(served, alone, options.pairs)
    ratio = harness.interval([a.requests_per_second / b.requests_per_second for a, b in pairs])
    rates = [
        np.median([block.requests_per_second for block in blocks]) * options.rows for blocks in zip(*pairs, strict=True)
    ]
    errors = sum(a.errors for a, _ in pairs)
    print(f"batches of {options.rows}: {rates[0]:.0f} images/s, ONNX Runtime alone {rates[1]:.0f}")
    print(f"{ratio[0]:.3f} ({ratio[1]:.3f} to {ratio[2]:.3f}) of it, {len(pairs)} interleaved pairs; {errors} errors")
    harness.write("batch", {"rows": options.rows, "ratio": ratio, "errors": errors, "pairs": harness.as_rows(pairs)})
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
