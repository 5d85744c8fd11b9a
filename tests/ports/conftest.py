"""Databases, of both kinds."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes.postgres import Postgres, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server of PostgreSQL."""
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'seatrial.db'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.new_database()
