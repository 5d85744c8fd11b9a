"""PostgreSQL is stopped, killed and started again while it is used: those who use it find back, and nothing is lost."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from tests.fakes.models import a_manifest, a_version
from tests.fakes.postgres import Postgres
from tests.fakes.proxy import FaultProxy
from tests.live import until

from seatrial.server.core.chain import faults
from seatrial.server.core.clock import monotonic
from seatrial.server.core.errors import StorageFull, StorageUnavailable
from seatrial.server.registry.ledger import Note
from seatrial.server.registry.mirror import LOST, WELL, Mirror
from seatrial.server.registry.model import Stage
from seatrial.server.storage import schema
from seatrial.server.storage.database import open_database, writing
from seatrial.server.storage.postgres import take_your_time
from seatrial.server.storage.registry import SqlRegistry

NOTE = Note("local:someone", "because")
WRITERS = 4
HEALED_S = 10.0
SESSIONS = "SELECT state FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


class Load:
    """Writers who try again until they succeed, and a follower; each acknowledged version is noted."""

    def __init__(self, registry: SqlRegistry) -> None:
        self.kept: list[list[int]] = [[] for _ in range(WRITERS)]
        self.refused = [0] * WRITERS
        self.mirror = Mirror(registry, monotonic)
        self._registry = registry
        self._stopped = threading.Event()
        self._threads: list[Future[None]] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """It goes on until the end of the block."""
        with ThreadPoolExecutor(WRITERS + 1) as threads:
            self._threads = [threads.submit(self._write, writer) for writer in range(WRITERS)]
            self._threads.append(threads.submit(self._follow))
            try:
                yield
            finally:
                self._stopped.set()

    def _until(self, fact: Callable[[], bool], what: str) -> None:
        """Wait for a fact; what went wrong in a thread is raised here."""

        def so() -> bool:
            for thread in self._threads:
                if thread.done():
                    thread.result()
            return fact()

        until(so, what, HEALED_S)

    def _write(self, writer: int) -> None:
        for turn in count(1):
            number = turn * WRITERS + writer
            try:
                self._registry.add(a_version(a_manifest(), number, Stage.DEV), NOTE)
                self.kept[writer].append(number)
            except StorageUnavailable:
                self.refused[writer] += 1
                self._stopped.wait(0.02)  # as those who are told to try again later do
            if self._stopped.is_set():
                return

    def _follow(self) -> None:
        while not self._stopped.wait(0.02):
            self.mirror.refresh(lambda _: None)

    def goes_on(self, more: int = 3) -> None:
        """Wait until each writer has written some more, and the follower has seen it."""
        goals = [len(kept) + more for kept in self.kept]
        self._until(
            lambda: all(len(kept) >= goal for kept, goal in zip(self.kept, goals, strict=True)), "all write again"
        )
        self._until(lambda: self.mirror.state == WELL, "the follower follows")

    def stands(self) -> None:
        """Wait until each writer was refused, and the follower knows."""
        goals = [refused + 1 for refused in self.refused]
        self._until(lambda: all(now >= goal for now, goal in zip(self.refused, goals, strict=True)), "all are refused")
        self._until(lambda: self.mirror.state == LOST, "the follower knows")


@pytest.mark.proves("R27")
@pytest.mark.parametrize("end", [Postgres.stop, Postgres.kill])
def test_a_database_that_comes_back_is_used_again(postgres: Postgres, end: Callable[[Postgres], None]) -> None:
    """Stopped or killed with everything that it was doing: what it acknowledged is there, and no session is left."""
    url = postgres.new_database()
    engine = open_database(url)
    schema.upgrade(engine)
    registry = SqlRegistry(engine)
    load = Load(registry)
    with load.running():
        for _ in range(2):
            load.goes_on()
            end(postgres)
            try:
                load.stands()
            finally:
                postgres.start()
            load.goes_on()
    with psycopg.connect(url, autocommit=True) as connection:
        states = [state for (state,) in connection.execute(SESSIONS)]
    there = {version.version for version in registry.versions()}
    entries, head, _ = registry.whole()

    assert set().union(*load.kept) <= there
    assert list(faults(entries, head)) == []
    assert set(states) == {"idle"}
    assert len(states) <= WRITERS + 1
    registry.close()


@pytest.mark.parametrize(("code", "kind"), [("53100", StorageFull), ("25006", StorageUnavailable)])
@pytest.mark.proves("R23")
def test_a_server_whose_disk_is_full_says_so(postgres: Postgres, code: str, kind: type[StorageUnavailable]) -> None:
    """By the code of its error; one that only reads is no full one. The connection is used again afterwards."""
    engine = open_database(postgres.new_database())
    schema.upgrade(engine)
    failing = text(f"DO $$ BEGIN RAISE EXCEPTION 'it cannot' USING ERRCODE = '{code}'; END $$")
    with pytest.raises(StorageUnavailable, match="The database cannot be used now: it cannot") as caught:  # noqa: SIM117 - the inner one raises
        with writing(engine) as connection:
            connection.execute(failing)

    assert type(caught.value) is kind
    SqlRegistry(engine).add(a_version(a_manifest()), NOTE)
    engine.dispose()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for PostgreSQL waits half a second."""
    monkeypatch.setattr("seatrial.server.storage.postgres.SILENCE_S", 0.5)


@pytest.mark.proves("R28")
@pytest.mark.proves("S56")
@pytest.mark.usefixtures("impatient")
def test_a_server_that_says_nothing_any_more_is_not_waited_for(postgres: Postgres) -> None:
    """Its connections are open and its system takes what is sent: who asks hears soon, and is well once it answers."""
    place, _, folder = postgres.new_database().rpartition("?host=")
    with FaultProxy(Path(folder) / ".s.PGSQL.5432") as proxy:
        engine = open_database(f"postgresql://postgres@127.0.0.1:{proxy.port}/{place.rpartition('/')[2]}")
        schema.upgrade(engine)
        registry = SqlRegistry(engine)
        registry.add(a_version(a_manifest()), NOTE)
        with proxy.still():
            begin = monotonic()
            with pytest.raises(StorageUnavailable, match="The database cannot be used now"):
                registry.versions()
            assert monotonic() - begin < HEALED_S
        until(lambda: attempt(registry.versions), "it is used again", HEALED_S)

        assert [version.model_id for version in registry.versions()] == ["echo:1"]
        registry.close()


def test_a_connection_that_comes_late_is_not_waited_for(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a name server says nothing, and the system's resolver waits for it: it is closed when it comes."""
    monkeypatch.setattr("seatrial.server.storage.postgres.CONNECT_S", 0.2)
    url = postgres.new_database()
    place, _, folder = url.rpartition("?host=")
    with FaultProxy(Path(folder) / ".s.PGSQL.5432") as proxy, psycopg.connect(url, autocommit=True) as watching:

        def sessions() -> tuple[int, int]:
            """How many there have been, and how many there are beside ours."""
            there = len(watching.execute(SESSIONS).fetchall())
            counted = watching.execute("SELECT sessions FROM pg_stat_database WHERE datname = current_database()")
            return *(counted.fetchone() or (0,)), there

        until(lambda: sessions() == (1, 0), "ours is counted", HEALED_S)
        engine = open_database(f"postgresql://postgres@127.0.0.1:{proxy.port}/{place.rpartition('/')[2]}")
        with proxy.slow(0.3), pytest.raises(StorageUnavailable, match=r"no connection within 0\.4 s"):
            SqlRegistry(engine).versions()
        until(lambda: sessions() == (2, 0), "it has come, and is closed", HEALED_S)
        engine.dispose()


def attempt(work: Callable[[], object]) -> bool:
    """Whether it could be done."""
    try:
        work()
    except StorageUnavailable:
        return False
    return True


@pytest.mark.usefixtures("impatient")
def test_who_takes_their_time_is_waited_for(postgres: Postgres) -> None:
    """A migration or a backup may take long; the next one who gets the connection may not."""
    engine = open_database(postgres.new_database())
    slow = text("SELECT pg_sleep(1)")
    with writing(engine) as connection:
        take_your_time(connection)
        connection.execute(slow)
    with pytest.raises(StorageUnavailable, match=r"no answer within 0\.5 s"), writing(engine) as connection:
        connection.execute(slow)
    engine.dispose()
