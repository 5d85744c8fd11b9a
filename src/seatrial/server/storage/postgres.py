"""Connections to PostgreSQL that do not wait for ever: a server that says nothing any more is as good as gone."""

import threading
from concurrent.futures import Future
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, event, text

if TYPE_CHECKING:
    import psycopg

CONNECT_S = 3
"""How long a connection to one address may take, to learn the addresses, and who waits for a free one."""
STATEMENT_S = 5
"""After which the server itself ends a statement, or the wait for a lock."""
SILENCE_S = 6
"""After which an answer is not waited for any more: the server is stopped, or the wire is cut."""
PARAMETERS = {
    "client_encoding": "utf8",  # whatever that of the database is
    "connect_timeout": CONNECT_S,
    "tcp_user_timeout": 5000,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "options": f"-c statement_timeout={STATEMENT_S}s -c lock_timeout={STATEMENT_S}s "
    "-c idle_in_transaction_session_timeout=10s",
}
"""A server that has gone without a word is noticed in seconds: nothing here takes longer."""


def lose_patience(engine: Engine) -> None:
    """Let no call of an engine wait longer than `SILENCE_S` for its answer; then its connection is closed."""
    event.listen(engine, "do_connect", _connect)
    event.listen(engine, "checkout", _be_impatient)


def take_your_time(connection: Connection) -> None:
    """Let the statements of this transaction take as long as they do."""
    if connection.dialect.name == "sqlite":
        return
    _driver(connection).patience = None
    for setting in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        connection.execute(text(f"SET LOCAL {setting} = 0"))


def _connect(dialect: Any, _: object, arguments: list[Any], parameters: dict[str, Any]) -> Any:  # noqa: ANN401 - the driver's own
    """Connect, in a thread of its own: a name server that says nothing keeps the system's resolver for long, deafly."""
    hosts = str(parameters.get("host", "")).count(",") + 1
    opened: Future[psycopg.Connection[Any]] = Future()

    def work() -> None:
        try:
            opened.set_result(_connection_class().connect(*arguments, **parameters))
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            opened.set_exception(error)

    threading.Thread(target=work, name="connect", daemon=True).start()
    patience = CONNECT_S * (1 + hosts)
    try:
        return opened.result(patience)
    except TimeoutError:
        opened.add_done_callback(_hang_up)
        raise dialect.loaded_dbapi.OperationalError(f"no connection within {patience:g} s") from None


def _hang_up(late: "Future[psycopg.Connection[Any]]") -> None:
    if not late.exception():
        late.result().close()


def _be_impatient(connection: Any, *_: object) -> None:  # noqa: ANN401 - the same
    connection.patience = SILENCE_S


def _driver(connection: Connection) -> Any:  # noqa: ANN401 - the same
    return connection.connection.driver_connection


@cache
def _connection_class() -> "type[psycopg.Connection[Any]]":
    """Made where one is needed: who uses SQLite does not load the driver."""
    import psycopg  # noqa: PLC0415 - see above

    class Impatient(psycopg.Connection[Any]):
        """Waits `patience` seconds for each answer, any time where that is `None`."""

        patience: float | None = SILENCE_S

        def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:  # noqa: ANN401 - as the library's own
            """Consume what a call to the server yields."""
            try:
                return super().wait(gen, interval, self.patience if timeout is None else timeout)
            except psycopg.OperationalError as error:
                if timeout is None and type(error).__name__ == "_WaitTimeout":
                    self.pgconn.finish()  # nobody knows what it still says
                    raise psycopg.OperationalError(f"no answer within {self.patience:g} s") from error
                raise

    return Impatient
