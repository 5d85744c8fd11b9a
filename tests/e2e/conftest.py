"""Server processes for the tests of this folder."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.e2e.helpers import Deployment, deployed
from tests.live import ServerProcess, server_process

StartServer = Callable[..., ServerProcess]


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Starts server processes, which end with the test; their logs are shown where it fails."""
    with ExitStack() as stack:

        def start(*arguments: str, workers: int = 1, **variables: str) -> ServerProcess:
            return stack.enter_context(server_process(tmp_path, *arguments, workers=workers, **variables))

        yield start


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server process for tests that only ask."""
    with server_process(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A whole stack, or the deployment at `SEATRIAL_TARGET`."""
    with deployed(tmp_path_factory.mktemp("stack")) as found:
        yield found
