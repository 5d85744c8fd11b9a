"""What says cheaply that a database has changed."""

import sqlite3
from pathlib import Path

from seatrial.server.storage.database import ChangeStamp, open_database, writing


def test_a_stamp_differs_once_somebody_has_committed(tmp_path: Path) -> None:
    """This engine or another; not before, nor where nothing was kept."""
    url = f"sqlite:///{tmp_path / 'a.db'}"
    engine = open_database(url)
    stamp = ChangeStamp(engine)
    assert stamp() is None  # there is no file yet
    with writing(engine) as connection:
        connection.exec_driver_sql("CREATE TABLE t (x)")
    seen = [stamp(), stamp()]
    other = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO t VALUES (1)")
    seen.append(stamp())
    other.execute("ROLLBACK")
    seen.append(stamp())
    assert len(set(seen)) == 1
    assert None not in seen
    other.execute("INSERT INTO t VALUES (1)")
    changed = stamp()
    assert changed not in seen
    with writing(engine) as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (2)")
    assert stamp() not in {changed, *seen}
    other.close()
    stamp.close()
    engine.dispose()


def test_of_another_kind_of_database_nothing_is_known() -> None:
    """It is asked itself."""
    assert ChangeStamp(open_database("postgresql://nobody@127.0.0.1/none"))() is None
