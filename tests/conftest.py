"""What all tests may use: the whole server in this process, with the bundled models."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient
from tests.inprocess import serving


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A loopback caller of a server with the bundled models. Ask it nothing that depends on what was asked before."""
    with serving(tmp_path_factory.mktemp("data")) as started:
        yield started
