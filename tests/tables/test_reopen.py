"""Another process opens the same home and finds the same state."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest

import barbule as bb
import programs
from barbule.errors import UnknownFunctionError
from patience import PATIENCE

SEES = """
import json
import barbule as bb
from barbule.errors import BarbuleError

session = bb.connect(vectors="exact:")
found = {"tables": session.list_tables()}
films = session.get_table("my.films")
view = session.get_table("good")
found["columns"] = list(films.columns)
found["types"] = {name: str(kind) for name, kind in films.schema().items()}
found["rows"] = films.order_by("n").select("n", "name", "loud", "plain", "deep").collect()[:]
found["rows"] = list(found["rows"])
found["view"] = sorted(view.collect()["title"])
found["old"] = sorted(films.at("first").collect()["n"])
found["old columns"] = list(films.at("first").columns)
found["history"] = [films.history()["operation"], films.history()["labels"]]
found["diff"] = films.diff("first", len(films.history()) - 1).counts()
found["meta"] = films.filter(films.n == 1).collect()[0, "meta"]
"""

UNKNOWN = """
try:
    films.insert(n=9, name="nine")
except BarbuleError as error:
    found["error"] = [type(error).__name__, str(error)]
try:
    films.update({"name": "x"})
except BarbuleError as error:
    found["update error"] = type(error).__name__
found["untouched"] = films.update({"meta": [2]}, where=films.n == 2).rows
found["deleted"] = films.delete(where=films.n == 3).rows
found["count"] = len(films.collect())
"""

DEFINED = """
@bb.udf(name="reopen.shout", version="1")
def shout(text: str) -> str:
    return text.upper() + "!"

found["inserted"] = films.insert(n=9, name="nine").rows
found["nine"] = films.filter(films.n == 9).select("loud", "deep").collect()[0]
found["view now"] = sorted(view.collect()["title"])
"""


def _run(code: str) -> dict[str, object]:
    done = programs.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code) + "\nprint(json.dumps(found))"],
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def saved_tables():
    """Write tables into a file and close the session, in this process."""

    @bb.udf(name="reopen.shout", version="1")
    def shout(text: str) -> str:
        return text.upper() + "!"

    with bb.connect(vectors="exact:") as session:
        films = session.create_table(
            "my.films",
            {"n": bb.Int(nullable=False), "name": bb.String, "meta": bb.Json, "v": bb.Vector(2)},
        )
        films.insert([{"n": 1, "name": "up", "meta": {"a": [1]}, "v": [1, 2]}, {"n": 2}])
        films.checkpoint("first")
        films.add_computed_column(loud=shout(films.name))
        films.add_computed_column(plain=films.n * 10)
        films.add_computed_column(deep=shout(films.loud + films.plain.cast(str)))
        films.insert(n=3, name="coco")
        films.update({"name": "luca"}, where=films.n == 2)
        remaining = films.where(films.n > 1).select("n", title=films.loud)
        session.create_view("good", remaining)


def test_reopened_database_needs_functions_only_for_new_rows(saved_tables):
    actual = _run("import json\n" + SEES + UNKNOWN)
    assert actual["tables"] == ["good", "my.films"]
    assert actual["columns"] == ["n", "name", "meta", "v", "loud", "plain", "deep"]
    assert actual["types"]["n"] == "!int64"
    assert actual["types"]["v"] == "array<float32, 2>"
    assert actual["rows"] == [
        {"n": 1, "name": "up", "loud": "UP!", "plain": 10, "deep": "UP!10!"},
        {"n": 2, "name": "luca", "loud": "LUCA!", "plain": 20, "deep": "LUCA!20!"},
        {"n": 3, "name": "coco", "loud": "COCO!", "plain": 30, "deep": "COCO!30!"},
    ]
    assert actual["meta"] == {"a": [1]}
    assert actual["view"] == ["COCO!", "LUCA!"]
    assert actual["old"] == [1, 2]
    assert actual["old columns"] == ["n", "name", "meta", "v"]
    assert actual["history"][0][-2:] == ["insert", "create table"]
    assert actual["history"][1][-2:] == [["first"], []]
    assert actual["diff"] == {"added": 1, "removed": 0, "changed": 1}
    kind, message = actual["error"]
    assert kind == actual["update error"] == UnknownFunctionError.__name__
    assert "table 'my.films'" in message
    assert "the function 'reopen.shout' is not defined in this process" in message
    assert "Import the module 'reopen'" in message
    assert "can still be read" in message
    assert (actual["untouched"], actual["deleted"], actual["count"]) == (1, 1, 2)
    again = _run("import json\n" + SEES + DEFINED)
    assert again["inserted"] == 1
    assert again["nine"] == {"loud": "NINE!", "deep": "NINE!90!"}
    assert again["view now"] == ["LUCA!", "NINE!"]


def test_reopened_session_continues_versions_and_ids(saved_tables):
    with bb.connect(vectors="exact:") as session:
        films = session.get_table("my.films")
        version = films.history()[0, "version"]
        other = session.create_table("other", {"n": bb.Int})
        assert films.insert(n=4, name="soul").version == version + 1
        session.drop_table("other")
    with bb.connect(vectors="exact:") as session:
        third = session.create_table("third", {"n": bb.Int})
        third.insert(n=1)
        assert session.list_tables() == ["good", "my.films", "third"]
        assert third.op().table_id != other.op().table_id
        assert sorted(session.get_table("my.films").collect()["n"]) == [1, 2, 3, 4]


def test_database_file_locked_by_other_program_raises(session, tmp_path):
    import duckdb

    held = tmp_path / "held.duckdb"
    code = f"""
        import json
        import barbule as bb
        from barbule.errors import LockedError
        try:
            bb.connect("duckdb://{held}", vectors="exact:", lock_timeout=0.2)
        except LockedError as error:
            found = {{"message": str(error)}}
    """
    with duckdb.connect(str(held)):
        message = _run(code)["message"]
    assert str(held) in message
    assert f"PID {os.getpid()}" in message
    assert "raise lock_timeout" in message


def test_killed_process_leaves_only_committed_state(tmp_path):
    code = """
        import json, os
        import barbule as bb
        session = bb.connect(vectors="exact:")
        table = session.create_table("t", {"n": bb.Int})
        table.insert([{"n": 1}, {"n": 2}])

        @bb.udf(name="reopen.dies")
        def dies(n: int) -> int:
            os._exit(9)

        try:
            table.add_computed_column(c=dies(table.n))
        finally:
            os._exit(1)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], check=False, timeout=PATIENCE
    )
    assert done.returncode == 9
    with bb.connect(vectors="exact:") as session:
        table = session.get_table("t")
        assert table.columns == ("n",)
        assert len(table.history()) == 2
        assert table.insert(n=3).version == 2
        table.add_computed_column(c=table.n + 1, stored=True)
        assert table.collect() == [{"n": 1, "c": 2}, {"n": 2, "c": 3}, {"n": 3, "c": 4}]
