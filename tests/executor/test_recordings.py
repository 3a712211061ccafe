"""Recordings: calls are recorded to a file and replayed without a network."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import barbule as bb
from barbule.errors import DataError, DiskError, MediaError, ReplayError

CALLED: list = []


@bb.udf(cache=True)
def upper(text: str) -> str:
    CALLED.append(text)
    return text.upper()


@bb.udf
def plain(text: str) -> str:
    return text + "!"


@bb.udf(cache=True, on_error="null")
def picky(text: str) -> str:
    CALLED.append(text)
    if text == "b":
        raise ValueError("no b")
    return text


@pytest.fixture(autouse=True)
def reset_called():
    CALLED.clear()


@pytest.fixture
def openai(models, session):
    from barbule.functions import openai

    return openai


def words(*texts):
    return bb.create_table("words", [{"w": text} for text in texts], if_exists="replace")


def chat(openai, column):
    messages = [{"role": "user", "content": column}]
    return openai.chat_completions(model="gpt-4o-mini", messages=messages).choices[0].message


def test_recorded_calls_are_replayed_without_a_network(openai, models, session):
    table = words("a", "b", "a")
    embed = openai.embeddings.using(model="text-embedding-3-small", dimensions=8)
    with bb.record("calls.parquet") as tape:
        first = table.select("w", a=chat(openai, table.w).content, v=embed(table.w)).collect()
    assert len(tape) == 4
    session.close()
    models.reset()
    with bb.connect("duckdb://", vectors="exact:"), bb.replay("calls.parquet"):
        table = words("a", "b", "a")
        table.add_computed_column(a=chat(openai, table.w).content, v=embed(table.w))
        assert table.collect() == first
        assert bb.calls().count().to_pyarrow().as_py() == 0
    assert models.count == 0


def test_replay_of_an_unrecorded_call_raises(openai, models, session):
    table = words("a")
    with bb.record("calls.parquet"):
        table.select(chat(openai, table.w).content).collect()
    table.insert(w="new")
    models.reset()
    with (
        bb.replay("calls.parquet"),
        pytest.raises(ReplayError, match=r"chat_completions.*'calls.parquet'.*'new'.*bb.record"),
    ):
        table.add_computed_column(a=chat(openai, table.w).content)
    assert models.count == 0
    assert table.columns == ("w",)


def test_ledger_answers_are_recorded(session):
    table = words("a", "b")
    table.select(upper(table.w)).collect()
    with bb.record("calls.parquet") as tape:
        table.select(upper(table.w)).collect()
    assert len(tape) == 2
    assert CALLED == ["a", "b"]
    assert sorted(pq.read_table("calls.parquet")["answer"].to_pylist()) == [b'"A"', b'"B"']


def test_replay_ignores_the_ledger(session):
    table = words("a")
    with bb.record("calls.parquet"):
        pass
    table.select(upper(table.w)).collect()
    with bb.replay("calls.parquet"), pytest.raises(ReplayError, match="upper"):
        table.select(upper(table.w)).collect()


def test_recording_is_extended_and_kept_after_a_failure(session):
    table = words("a")
    with bb.record("calls.parquet"):
        table.select(upper(table.w)).collect()
    table.insert(w="b")

    def fail():
        with bb.record("calls.parquet"):
            table.select(upper(table.w)).collect()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    CALLED.clear()
    with bb.replay("calls.parquet") as tape:
        assert table.select(x=upper(table.w)).collect()["x"] == ["A", "B"]
    assert len(tape) == 2
    assert CALLED == []
    assert [path.name for path in Path.cwd().iterdir() if "parquet" in path.name] == [
        "calls.parquet"
    ]


def test_uncached_functions_run_during_replay(session):
    table = words("a")
    with bb.record("calls.parquet"):
        table.select(plain(table.w)).collect()
    with bb.replay("calls.parquet"):
        assert table.select(x=plain(table.w)).collect()["x"] == ["a!"]


def test_uncached_model_calls_are_recorded(openai, models, session):
    table = words("a", "b")
    messages = [{"role": "user", "content": table.w}]
    function = openai.chat_completions
    fresh = function.call(function._bind((), {"model": "echo", "messages": messages}), cached=False)
    asked = fresh.choices[0].message.content
    with bb.record("calls.parquet"):
        first = table.select(x=asked).collect()
        assert table.select(x=asked).collect() == first
    assert models.count == 4
    assert bb.calls().count().to_pyarrow().as_py() == 0
    with bb.replay("calls.parquet"):
        assert table.select(x=asked).collect() == first
    assert models.count == 4


def test_failed_calls_are_not_recorded(session):
    table = words("a", "b")
    with bb.record("calls.parquet") as tape:
        table.add_computed_column(x=picky(table.w))
    assert len(tape) == 1


def test_replay_spends_no_budget(session):
    table = words("a")
    with bb.record("calls.parquet"):
        table.select(upper(table.w)).collect()
    with bb.replay("calls.parquet"), bb.budget(calls=0) as spent:
        assert table.add_computed_column(x=upper(table.w)).deferred == 0
    assert spent.calls == 0


def test_invalid_recording_file_is_rejected(session):
    with (
        pytest.raises(ReplayError, match=r"no recording 'absent.parquet'"),
        bb.replay("absent.parquet"),
    ):
        pass
    Path("text.parquet").write_text("no")
    with (
        pytest.raises(ReplayError, match=r"'text.parquet' is not a recording"),
        bb.replay("text.parquet"),
    ):
        pass


def test_unwritable_recording_path_fails_before_any_call(session, tmp_path):
    (tmp_path / "file").write_text("former")
    table = bb.create_table("words_of_none", [{"word": "a"}])
    for recording_path in (
        tmp_path / "file" / "calls.parquet",
        tmp_path / "file" / "x" / "calls.parquet",
    ):
        with pytest.raises(DataError, match="is a file, so"), bb.record(recording_path):
            table.select(x=upper(table.word)).collect()
    with pytest.raises(MediaError, match="~nosuchuser"):
        bb.record("~nosuchuser/calls.parquet")
    assert CALLED == []
    assert (tmp_path / "file").read_text() == "former"


@pytest.mark.skipif(sys.platform == "win32", reason="the platform bounds no files")
def test_recording_on_a_full_disk_keeps_the_previous_file(session, tmp_path):
    import resource

    table = bb.create_table("words_of_many", [{"word": "a"}])
    path = tmp_path / "calls.parquet"
    with bb.record(path):
        table.select(x=upper(table.word)).collect()
    former = path.read_bytes()
    table.insert(word="b" * 100_000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    tape = bb.record(path)
    tape.__enter__()
    table.select(x=upper(table.word)).collect()
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(DiskError, match=r"the recording .*calls\.parquet' cannot be written"):
            tape.__exit__(None, None, None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == former
    assert [file.name for file in tmp_path.glob("*calls*")] == ["calls.parquet"]
