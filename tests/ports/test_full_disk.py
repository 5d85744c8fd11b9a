"""A disk that is full, or cannot be written: told as such, nothing is half kept, and no restart is needed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.small_disk import on_small_disk

ROOT = Path(__file__).resolve().parents[2]
WELL = {"file": "done", "row": "done", "reading": "done"}
FULL = {"file": "StorageFull", "row": "StorageFull", "reading": "done"}
READ_ONLY = {"file": "StorageUnavailable", "row": "StorageUnavailable", "reading": "done"}


@pytest.mark.proves("R22")
@pytest.mark.proves("R23")
def test_one_process_goes_on_through_a_full_and_a_read_only_disk(tmp_path: Path) -> None:
    """A real file system of 16 MiB: what cannot be kept leaves nothing, reading goes on, with room so does writing."""
    folder = tmp_path / "disk"
    command = [*on_small_disk(folder, "16m"), sys.executable, "-m", "tests.fakes.small_disk", "go-through", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    told: dict[str, Any] = json.loads(done.stdout)

    assert told == {
        "with room": WELL,
        "full": FULL,
        "still full": FULL,
        "start when full": "done",
        "another schema when full": "StorageFull",
        "room again": WELL,
        "read-only": READ_ONLY,
        "start when read-only": "done",
        "writable again": WELL,
        "kept": {"versions": [1, 4, 6], "drafts": 0, "faults": []},
    }
