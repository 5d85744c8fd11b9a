"""The program of the process in which a file is inspected: an order comes in, a report goes out, and nothing else.

Its argument is the file descriptor of the file. Libraries that print do so to standard error.
"""

import os
import sys

from seatrial.server.runtimes.inspection.examine import examine
from seatrial.server.runtimes.inspection.limits import confine
from seatrial.server.runtimes.inspection.messages import orders, reports


def main() -> None:
    """Inspect one file."""
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    order = orders.validate_json(sys.stdin.buffer.read())
    confine(order.limits, order.size)
    with os.fdopen(int(sys.argv[1]), "rb") as file:
        file.seek(0)
        content = file.read()
    answer.write(reports.dump_json(examine(content, order.candidate)))
    answer.close()


if __name__ == "__main__":
    main()
