"""Columns of the ledger table: cell, usage and error of each call; upgrade and eviction."""

from __future__ import annotations

import datetime
import subprocess
import sys
import textwrap
from pathlib import Path

import ibis.expr.schema as sch
import pytest
from ibis import _

import barbule as bb
import programs
from barbule.errors import FunctionError, ModelError
from barbule.executor.ledger.answers import CALLS_SCHEMA, CALLS_TABLE
from patience import PATIENCE

CALLED: list = []


@bb.udf(cache=True)
def upper(text: str) -> str:
    CALLED.append(text)
    return text.upper()


@bb.udf(cache=True)
def twice(text: str) -> str:
    return text * 2


@bb.udf(cache=True, on_error="null", retries=1)
def picky(text: str) -> str:
    CALLED.append(text)
    if text == "b":
        raise ValueError("no b")
    return text


@bb.udf(cache=True, on_error="null", batch_size=3)
def picky_batch(texts: list[str]) -> list[str]:
    raise ValueError("no")


@bb.udf(cache=True, on_error="null")
async def picky_async(text: str) -> str:
    raise ValueError("no")


@bb.udf(cache=True, version="1")
def wrong(text: str) -> int:
    return "text"  # type: ignore[return-value]


@pytest.fixture(autouse=True)
def reset_called():
    CALLED.clear()


@pytest.fixture
def words(session):
    table = bb.create_table("words", {"w": bb.String})
    table.insert([{"w": text} for text in ("a", "b", "c")])
    return table


def calls(*columns):
    return bb.calls().order_by("row", "column").select(*columns).collect()


def test_call_records_its_table_column_and_row(words):
    words.add_computed_column(loud=upper(words.w))
    words.insert(w="d")
    rids = bb.get_table("words").op().copy(hidden=True).to_expr().order_by("w").collect()["_rid"]
    assert calls("table", "column", "row") == [
        {"table": "words", "column": "loud", "row": rid} for rid in rids
    ]


def test_nested_calls_record_their_column(words):
    words.add_computed_column(x=upper(twice(words.w)), y=twice(words.w + "!"))
    found = (
        bb.calls().group_by("function", "column").agg(n=_.count()).order_by("column", "function")
    )
    rows = [(row["function"].rsplit(".")[-1], row["column"], row["n"]) for row in found.collect()]
    assert rows == [("twice", "x", 3), ("upper", "x", 3), ("twice", "y", 3)]


def test_query_call_records_its_column_and_filter_call_none(words):
    words.select(loud=upper(words.w)).collect()
    words.filter(twice(words.w) == "aa").collect()
    found = bb.calls().distinct().select("table", "column", "row").distinct().order_by("column")
    assert found.collect() == [
        {"table": "words", "column": "loud", "row": None},
        {"table": "words", "column": None, "row": None},
    ]


def test_failed_call_is_recorded_and_called_again(words):
    found = words.add_computed_column(x=picky(words.w))
    assert (found.errors, found.calls) == (1, 3)
    failed = bb.calls().filter(_.error.notnull()).select("error", "attempts", "column").collect()
    assert failed == [{"error": "ValueError: no b", "attempts": 2, "column": "x"}]
    CALLED.clear()
    assert words.select(x=picky(words.w)).collect()["x"] == ["a", None, "c"]
    assert CALLED == ["b", "b"]
    assert bb.calls().count().to_pyarrow().as_py() == 4


@pytest.mark.parametrize("function", [picky_batch, picky_async], ids=["batch", "async"])
def test_failed_batch_and_async_calls_are_recorded(words, function):
    assert words.add_computed_column(x=function(words.w)).errors == 3
    found = bb.calls().select("error", "row").order_by("row").collect()
    assert len(found["row"]) == 3
    assert len(set(found["row"])) == 3
    assert all("no" in error for error in found["error"])


def test_result_of_wrong_type_is_recorded_as_failed(words):
    with pytest.raises((FunctionError, bb.BarbuleError)):
        words.add_computed_column(x=wrong(words.w))
    assert bb.calls().filter(_.error.notnull()).count().to_pyarrow().as_py() == 3


def test_failed_model_call_records_the_model(models, session):
    from barbule.functions import openai

    table = bb.create_table("qa", [{"q": "one"}])
    ask = openai.chat_completions(model="policy", messages=[{"role": "user", "content": table.q}])
    assert table.add_computed_column(a=ask).errors == 1
    with pytest.raises(ModelError, match="rejected"):
        table.select(a=ask).collect()
    row, again = bb.calls().select("model", "error", "column", "tokens_in").collect()
    assert row["model"] == "openai/policy"
    assert "rejected" in row["error"]
    assert (row["column"], row["tokens_in"]) == ("a", None)
    assert again["error"] == row["error"]


def give_old_shape(session):
    """Restore the ledger schema of an older version and keep its answers."""
    call_ledger = session._engine.ledger
    call_ledger.flush()  # answers are written behind
    added = {"error", "table", "column", "row"}
    old = {name: kind for name, kind in CALLS_SCHEMA.items() if name not in added}
    rows = call_ledger._backend.arrow(call_ledger._calls().select(*old), {})
    call_ledger._backend.create_table(CALLS_TABLE, sch.Schema(old))
    call_ledger._backend.append(CALLS_TABLE, rows)
    assert call_ledger._backend.columns(CALLS_TABLE) == set(old)


def test_older_ledger_is_upgraded_and_keeps_its_answers(words, session):
    words.select(upper(words.w)).collect()
    give_old_shape(session)
    session.close()
    CALLED.clear()
    words = bb.connect(session.settings.backend, vectors="exact:").get_table("words")
    words.insert(w="d")
    words.add_computed_column(loud=upper(words.w))
    assert CALLED == ["d"]
    found = bb.calls().order_by("column").select("column", "error").collect()
    assert sorted(map(str, found["column"])) == ["None", "None", "None", "loud"]
    assert found["error"] == [None] * 4


def test_eviction_by_age_drops_answers(words):
    words.select(upper(words.w)).collect()
    assert bb.evict_calls(older_than=datetime.timedelta(hours=1)) == 0
    assert bb.evict_calls(older_than=datetime.timedelta(0)) == 3
    assert bb.calls().count().to_pyarrow().as_py() == 0
    CALLED.clear()
    words.select(upper(words.w)).collect()
    assert CALLED == ["a", "b", "c"]


def test_eviction_by_size_drops_the_oldest_answers(words):
    words.filter(words.w == "a").select(upper(words.w)).collect()
    words.filter(words.w != "a").select(upper(words.w)).collect()
    size = len(b'"B"')
    assert bb.evict_calls(max_bytes=3 * size) == 0
    assert bb.evict_calls(max_bytes=2 * size) == 1
    CALLED.clear()
    words.select(upper(words.w)).collect()
    assert CALLED == ["a"]
    assert bb.evict_calls(max_bytes=0) == 3


def test_session_settings_limit_the_ledger_size(tmp_path):
    Path("barbule.toml").write_text("[ledger]\nmax_bytes = 6\n")
    bb.connect(vectors="exact:")
    table = bb.create_table("t", [{"w": "a"}, {"w": "b"}, {"w": "c"}])
    table.select(upper(table.w)).collect()
    assert bb.calls().count().to_pyarrow().as_py() == 2


_SCRIPT = """
import sys
import barbule as bb

@bb.udf(cache=True, version="1", name="shared.slow")
def slow(n: int) -> int:
    with open("asked.txt", "a") as log:
        log.write(f"{n}\\n")
    return n * 2

bb.connect(vectors="exact:")
t = bb.get_table("t")
for start in range(0, 60, 10):
    part = t.filter(t.n >= start, t.n < start + 10)
    found = part.select(x=slow(t.n)).collect()["x"]
    assert sorted(found) == [2 * n for n in range(start, start + 10)]
    if start == 0:
        print("ready", flush=True)
        sys.stdin.readline()
"""


def test_processes_share_the_ledger(tmp_path):
    with bb.connect(vectors="exact:"):
        bb.create_table("t", [{"n": n} for n in range(60)])
    script = Path("job.py")
    script.write_text(textwrap.dedent(_SCRIPT))
    command = [sys.executable, str(script.absolute())]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    first = programs.Popen(command, **pipes)
    try:
        assert first.stdout.readline() == "ready\n"
        second = programs.Popen(command, **pipes)
        try:
            assert second.stdout.readline() == "ready\n"  # both processes run from here
            assert len(Path("asked.txt").read_text().split()) == 10
            first.communicate("go\n", timeout=PATIENCE)
            second.communicate("go\n", timeout=PATIENCE)
            assert (first.returncode, second.returncode) == (0, 0)
        finally:
            second.kill()
            second.wait()
    finally:
        first.kill()
        first.wait()
    asked = [int(line) for line in Path("asked.txt").read_text().split()]
    assert sorted(asked) == list(range(60))
