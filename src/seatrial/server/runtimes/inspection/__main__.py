"""The program of the process in which a file is inspected: an order comes in, a report goes out, and nothing else.

Its argument is the file descriptor of the file. Libraries that print do so to standard error.
"""

import os
import sys

from seatrial.server.runtimes.inspection.examine import examine
from seatrial.server.runtimes.inspection.limits import confine
from seatrial.server.runtimes.inspection.messages import EXTREMES, READY, orders, reports


def main() -> None:
    """Inspect one file."""
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def tell(word: bytes) -> None:
        answer.write(word + b"\n")
        answer.flush()

    nowhere = os.open(os.devnull, os.O_WRONLY)
    order = orders.validate_json(sys.stdin.buffer.read())
    confine(order.limits, order.size, order.asker)
    tell(READY)
    for stream in (sys.stdout, sys.stderr):  # from here on it could be the file that speaks
        os.dup2(nowhere, stream.fileno())
    with os.fdopen(int(sys.argv[1]), "rb") as file:
        file.seek(0)
        content = file.read()
    answer.write(reports.dump_json(examine(content, order.candidate, lambda: tell(EXTREMES))))
    answer.close()


if __name__ == "__main__":
    main()
