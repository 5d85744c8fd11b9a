"""Databases, of both kinds."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from tests.fakes.postgres import Postgres, postgres_server

from seatrial.server.storage import schema
from seatrial.server.storage.database import open_database


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


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine | None]:
    """A database with our schema, of both kinds; none for the twin of what is kept there, which is in memory."""
    if request.param == "memory":
        yield None
        return
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'a.db'}" if sqlite else request.getfixturevalue("postgres").new_database()
    engine = open_database(url)
    schema.upgrade(engine)
    yield engine
    engine.dispose()
