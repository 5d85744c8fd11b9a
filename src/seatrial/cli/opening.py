"""Opens the place where `seatrial models` acts: this machine's, or a server's."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seatrial.cli.place import Place
from seatrial.cli.terminal import USAGE_ERROR, stop


@contextmanager
def open_place(data_dir: Path | None, database_url: str | None, server: str | None, api_key: str) -> Iterator[Place]:
    """The place that the options name; what stands in the way there ends the command with a text."""
    if server is None:
        from seatrial.cli.local import local_place

        with local_place(data_dir, database_url) as place:
            yield place
        return
    require_one_place(data_dir, database_url)
    from seatrial.cli.remote import remote_place

    with remote_place(server, api_key) as place:
        yield place


def require_one_place(data_dir: Path | None, database_url: str | None) -> None:
    """End the command where a server is to be asked, and another place is named too."""
    if data_dir is not None or database_url is not None:
        stop("--server asks a server, and takes neither --data-dir nor --database-url", USAGE_ERROR)
