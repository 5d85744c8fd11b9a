"""`seatrial serve` that writes down which classes pickles ask for, with small limits, so that a loop ends soon.

`python -m tests.fakes.watched_server --port 0`, in a process of its own: an audit hook stays until its process ends.
"""

import sys
from pathlib import Path

from tests.fakes.serve import serve

from seatrial.server.runtimes.inspection.limits import Limits
from seatrial.server.runtimes.inspector import ProcessInspector

LIMITS = Limits(cpu_seconds=2, wall_seconds=8.0)
UNPICKLED = "unpickled.txt"
"""In the folder of the process; a class in each line."""


def note(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook."""
    if event == "pickle.find_class":
        with Path(UNPICKLED).open("a", encoding="utf-8") as notes:
            notes.write(f"{arguments}\n")


if __name__ == "__main__":
    sys.addaudithook(note)
    serve(inspector=ProcessInspector(LIMITS))
