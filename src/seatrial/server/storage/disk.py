"""What is written is on the disk only once it was brought there."""

import os
from pathlib import Path


def to_disk(path: Path) -> None:
    """Bring a file to disk, or the names in a folder; raises `OSError` where that cannot be done."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
