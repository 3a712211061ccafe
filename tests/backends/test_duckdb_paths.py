"""DuckDB files that are deleted or replaced during a session, or from other programs."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import sys
import textwrap

import duckdb
import pytest

import barbule as bb
import programs
from barbule.errors import ConfigurationError, DiskError

windows = pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be removed")


@pytest.fixture
def file(tmp_path):
    return tmp_path / "app.duckdb"


def connected(file):
    return bb.connect(f"duckdb:///{file}", vectors="exact:")


def delete(file):
    file.unlink()


def move(file):
    file.rename(file.with_suffix(".moved"))


def replace(file):
    shutil.copy(file, file.with_suffix(".copy"))
    file.with_suffix(".copy").replace(file)


def remove_folder(file):
    file.parent.rename(file.parent.with_name("elsewhere"))


LOSSES = {
    "deleted": (delete, "was deleted"),
    "moved": (move, "was deleted"),
    "replaced": (replace, "was replaced by another"),
    "folder": (remove_folder, "was deleted"),
}
WRITES = {
    "insert": lambda t: t.insert(a=2),
    "many": lambda t: t.insert([{"a": n} for n in range(1000)]),
    "update": lambda t: t.update({"a": 5}),
    "delete": lambda t: t.delete(t.a == 1),
    "column": lambda t: t.add_columns({"b": bb.Int}),
    "computed": lambda t: t.add_computed_column(b=t.a + 1),
    "view": lambda t: bb.create_view("v", t.filter(t.a > 0)),
    "table": lambda _: bb.create_table("u", {"a": bb.Int}),
    "drop": lambda _: bb.drop_table("t"),
    "label": lambda t: t.checkpoint("x"),
    "snapshot": lambda _: bb.snapshot("x"),
    "revert": lambda t: t.revert(),
}


@windows
@pytest.mark.parametrize("loss", LOSSES)
def test_write_to_lost_file_raises(loss, file):
    change, message = LOSSES[loss]
    session = connected(file)
    table = session.create_table("t", {"a": bb.Int})
    table.insert(a=1)
    change(file)
    for write in WRITES.values():
        with pytest.raises(DiskError, match=f"{re.escape(str(file))}' {message}") as caught:
            write(table)
        assert "connect again" in caught.value.hint
    assert table.collect()["a"] == [1]  # its rows can still be read
    if file.parent.exists():
        with pytest.raises(DiskError, match=message):
            bb.Session(session.settings)
    session.close()


@windows
def test_restored_file_is_written_again(file):
    with connected(file) as session:
        table = session.create_table("t", [{"a": 1}])
        moved_file = file.with_suffix(".moved")
        file.rename(moved_file)
        with pytest.raises(DiskError, match="was deleted"):
            table.insert(a=2)
        moved_file.rename(file)
        table.insert(a=2)
    with connected(file) as session:
        assert session.get_table("t").collect()["a"] == [1, 2]


@windows
def test_new_session_creates_file_after_close(file):
    session = connected(file)
    session.create_table("t", [{"a": 1}])
    file.unlink()
    session.close()
    with connected(file) as session:
        assert session.list_tables() == []


@windows
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_lost_file_is_not_recreated_on_reopen(file):
    session = connected(file)
    table = session.create_table("t", [{"a": 1}])
    if (child := os.fork()) == 0:  # which closes the file first
        os._exit(0)
    os.waitpid(child, 0)
    moved_file = file.rename(file.with_suffix(".moved"))
    for use in (table.collect, lambda: table.insert(a=2)):
        with pytest.raises(DiskError, match="was deleted"):
            use()
    assert not file.exists()
    moved_file.rename(file)
    table.insert(a=2)
    assert table.collect()["a"] == [1, 2]
    session.close()


def test_a_database_of_sqlite_is_refused_without_the_network(file):
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE t (a INTEGER)")
    connection.commit()
    connection.close()
    before = file.read_bytes()
    with pytest.raises(ConfigurationError, match=r"app\.duckdb' is a SQLite database") as caught:
        connected(file)
    assert "Check the path" in caught.value.hint
    assert "extension" not in str(caught.value)
    assert file.read_bytes() == before


@pytest.mark.parametrize("content", [b"a,b\n1,2\n" * 1000, b"PAR1" + bytes(9000), b"x"])
def test_file_that_is_not_a_database_is_refused(content, file):
    file.write_bytes(content)
    with pytest.raises(DiskError, match=r"app\.duckdb' cannot be read") as caught:
        connected(file)
    assert "check the path" in caught.value.hint
    assert file.read_bytes() == content


def test_foreign_tables_of_database_are_kept(file):
    with duckdb.connect(str(file)) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS a")
    with connected(file) as session:
        assert session.get_table("t", if_not_exists="ignore") is None
        assert session.list_tables() == []
    with duckdb.connect(str(file)) as database:
        assert database.table("t").fetchall() == [(1,)]
        names = {
            name
            for (name,) in database.execute("SELECT table_name FROM duckdb_tables()").fetchall()
        }
    assert len(names) > 1
    assert all(name.startswith("bb_") for name in names - {"t"})


LOGGING = """
    import os, signal, sys
    import barbule as bb
    bb.connect(sys.argv[1], vectors="exact:")
    table = bb.create_table("t", {"a": bb.String})
    for n in range(20):
        table.insert(a=f"within entry {n}")
    os.kill(os.getpid(), signal.SIGKILL)
"""
READING = """
    import sys
    import barbule as bb
    try:
        bb.connect(sys.argv[1], vectors="exact:")
        table = bb.get_table("t", if_not_exists="ignore")
        print(None if table is None else table.count().execute())
    except bb.errors.DiskError as error:
        print(error)
"""


@windows
def test_damaged_log_is_refused_and_truncated_log_is_replayed(file):
    url = f"duckdb:///{file}"
    run(LOGGING, url, status=-9)
    log = file.with_name("app.duckdb.wal")
    written, logged = file.read_bytes(), log.read_bytes()

    def read(damaged):
        file.write_bytes(written)
        log.write_bytes(damaged)
        return run(READING, url)

    changed = logged.replace(b"within entry 7", b"WITHIN entry 7")
    message = read(changed)
    assert "app.duckdb' cannot be read: IO Error: Failure while replaying WAL" in message
    assert "damaged" in message
    assert log.read_bytes() == changed
    assert file.read_bytes() == written
    assert 0 < int(read(logged[: len(logged) // 2])) < 20
    assert int(read(logged)) == 20


def run(program, *arguments, status=0):
    done = programs.run(
        [sys.executable, "-c", textwrap.dedent(program), *arguments],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, done.stderr
    return done.stdout.strip()
