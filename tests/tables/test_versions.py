"""Old versions, labels, diffs and the history."""

from __future__ import annotations

import datetime
import re
import time
import types

import pytest

import barbule as bb
from barbule.errors import (
    BarbuleError,
    ConfigurationError,
    DataError,
    FunctionError,
    SchemaError,
    TableExistsError,
    VersionError,
)
from barbule.versions import Checkpoint


@bb.udf
def halved(value: float) -> float:
    return value / 2


@pytest.fixture
def runs(session):
    table = session.create_table("runs", {"config": bb.String, "result": bb.Float})
    table.insert([{"config": "a", "result": 0.5}, {"config": "b", "result": None}])
    return table


def _rows(table) -> list[dict[str, object]]:
    return sorted(table.collect(), key=lambda row: row["config"])


def test_each_version_can_be_read(runs):
    runs.update({"result": 0.7}, where=runs.config == "a")
    runs.delete(where=runs.config == "b")
    runs.insert(config="c", result=1.0)
    a, b, c = ({"config": k, "result": r} for k, r in (("a", 0.5), ("b", None), ("c", 1.0)))
    assert _rows(runs.at(0)) == []
    assert _rows(runs.at(1)) == [a, b]
    assert _rows(runs.at(2)) == [{**a, "result": 0.7}, b]
    assert _rows(runs.at(3)) == [{**a, "result": 0.7}]
    assert _rows(runs.at(4)) == _rows(runs) == [{**a, "result": 0.7}, c]


def test_version_is_selected_by_number_label_checkpoint_or_time(runs):
    first = runs.checkpoint("baseline")
    moment = datetime.datetime.now(datetime.UTC)
    time.sleep(0.002)
    runs.update({"result": 1.0})
    assert (first, first.label) == (1, "baseline")
    assert isinstance(first, Checkpoint)
    old = [{"config": "a", "result": 0.5}, {"config": "b", "result": None}]
    local = moment.astimezone().replace(tzinfo=None)
    for version in (1, "baseline", first, moment, local):
        assert _rows(runs.at(version)) == old


def test_timestamp_before_creation_of_table_raises(runs):
    long_ago = datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC)
    with pytest.raises(VersionError, match="table 'runs': the table had no version at 2001-01-01"):
        runs.at(long_ago)
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    assert _rows(runs.at(later)) == _rows(runs)


@pytest.mark.parametrize("version", [7, -1, "nope", "1", 1.5, None, True, [1]])
def test_unknown_version_error_lists_versions_and_labels(runs, version):
    runs.checkpoint("baseline")
    with pytest.raises(VersionError, match=r"Versions are 0 to 1; labels are: 'baseline'"):
        runs.at(version)


def test_label_moves_only_with_if_exists_replace(runs):
    assert runs.checkpoint("best") == runs.checkpoint("best") == 1
    runs.update({"result": 9.0})
    message = (
        r"table 'runs': the label 'best' already names version 1.*version is 2.*"
        r"if_exists=\"replace\""
    )
    with pytest.raises(TableExistsError, match=message):
        runs.checkpoint("best")
    assert runs.checkpoint("best", if_exists="ignore") == 1
    assert runs.checkpoint("new", if_exists="ignore") == 2
    runs.drop_checkpoint("new")
    with pytest.raises(
        ConfigurationError, match="if_exists must be one of 'error', 'ignore', 'repl"
    ):
        runs.checkpoint("best", if_exists="move")
    assert runs.checkpoint("best", if_exists="replace") == 2
    runs.update({"result": 0.0})
    assert set(runs.at("best").collect()["result"]) == {9.0}
    assert [row["labels"] for row in runs.history()] == [[], ["best"], [], []]


def test_invalid_label_is_refused(runs):
    for wrong in ("", "  ", 3, None):
        with pytest.raises(SchemaError, match="a label must be a non-empty string"):
            runs.checkpoint(wrong)


def test_labels_belong_to_one_table(session, runs):
    other = session.create_table("other", {"n": bb.Int})
    runs.checkpoint("baseline")
    with pytest.raises(VersionError, match="table 'other': there is no version 'baseline'"):
        other.at("baseline")


def test_an_old_version_keeps_its_columns(runs):
    runs.add_computed_column(half=halved(runs.result))
    runs.add_computed_column(plus=runs.result + 1)
    assert runs.at(1).columns == ("config", "result")
    assert runs.at(2).columns == ("config", "result", "half")
    assert runs.at(3).columns == runs.columns == ("config", "result", "half", "plus")
    assert _rows(runs.at(2))[0] == {"config": "a", "result": 0.5, "half": 0.25}
    with pytest.raises(AttributeError, match="plus"):
        _ = runs.at(2).plus


def test_an_old_version_keeps_the_old_expression(runs):
    runs.add_computed_column(c=runs.result + 1)
    runs.add_computed_column(d=halved(runs.result))
    runs.add_computed_column(c=runs.result + 2, if_exists="replace")
    runs.add_computed_column(d=halved(runs.result + 1), if_exists="replace")
    assert [_rows(runs.at(v))[0]["c"] for v in (2, 3, 4, 5)] == [1.5, 1.5, 2.5, 2.5]
    assert _rows(runs.at(4))[0]["d"] == 0.25
    assert _rows(runs.at(5))[0]["d"] == 0.75


def test_two_versions_can_be_joined(runs):
    runs.update({"result": 0.9}, where=runs.config == "a")
    old, new = runs.at(1), runs.at(2)
    joined = new.join(old, "config").select(new.config, new=new.result, old=old.result)
    assert _rows(joined) == [
        {"config": "a", "new": 0.9, "old": 0.5},
        {"config": "b", "new": None, "old": None},
    ]


def test_diff_counts_and_shows_changes(runs):
    runs.insert([{"config": "c", "result": 3.0}, {"config": "d", "result": None}])
    base = runs.checkpoint("base")
    runs.update({"result": 0.6}, where=runs.config == "a")
    runs.update({"result": 0.0}, where=runs.config == "b")
    runs.update({"result": None}, where=runs.config == "c")
    runs.delete(where=runs.config == "d")
    runs.insert(config="e", result=5.0)
    diff = runs.diff("base", 7)
    assert (diff.table, diff.old, diff.new) == ("runs", int(base), 7)
    assert diff.counts() == {"added": 1, "removed": 1, "changed": 3}
    assert _rows(diff.added) == [{"config": "e", "result": 5.0}]
    assert _rows(diff.removed) == [{"config": "d", "result": None}]
    changed = {
        row["config_new"]: (row["result_old"], row["result_new"]) for row in diff.changed.collect()
    }
    assert changed == {"a": (0.5, 0.6), "b": (None, 0.0), "c": (3.0, None)}
    assert not diff.schema
    heading, *lines = repr(diff).splitlines()
    assert heading == "Diff of 'runs', version 2 to 7: 1 added, 1 removed, 3 changed"
    assert [line for line in lines if ":" in line] == ["added: 1", "removed: 1", "changed: 3"]


def _printed_rows(diff) -> list[list[str]]:
    """Return the cells of the rows that a diff shows."""
    lines = (line for line in str(diff).splitlines() if line.startswith("│"))
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


def test_diff_repr_shows_changed_cells(session):
    t = session.create_table("t", {"name": bb.String, "a": bb.Float, "b": bb.Json, "c": bb.Int})
    t.insert([{"name": "x", "a": 1.5, "b": {"k": 1}, "c": 3}, {"name": "y", "a": 2.0, "c": 4}])
    t.update({"a": 7.0}, where=t.name == "x")
    t.update({"b": {"k": 2}}, where=t.name == "y")
    assert _printed_rows(t.diff(1, 3)) == [
        ["name", "a", "b"],
        ["string", "float64", "json"],
        ["x", "1.5 → 7", '{"k": 1}'],
        ["y", "2", 'NULL → {"k": 2}'],
    ]
    assert "→" not in str(t.diff(1, 1))
    assert str(t.diff(0, 1)).splitlines()[1] == "added: 2"


def test_diff_shows_the_first_twenty_rows(session):
    t = session.create_table("t", {"n": bb.Int, "m": bb.Int})
    t.insert([{"n": n, "m": n} for n in range(50)])
    t.update({"m": t.m + 1}, where=t.n < 45)
    text = str(t.diff(1, 2))
    assert text.count(" → ") == 20
    assert text.endswith("\nand 25 more")
    assert _printed_rows(t.diff(1, 2))[2] == ["0", "0 → 1"]
    assert str(t.diff(0, 2)).endswith("\nand 30 more")


def test_diff_repr_shortens_long_strings_around_difference(session):
    t = session.create_table("t", {"text": bb.String})
    t.insert(text="barbule " * 50 + "hooks" + " feather" * 50)
    t.update({"text": "barbule " * 50 + "zips" + " feather" * 50})
    ((cell,),) = _printed_rows(t.diff(1, 2))[2:]
    assert re.fullmatch(r"….*barbule hooks.*… → ….*barbule zips.*…", cell)


def test_diff_repr_shows_type_changes(session):
    t = session.create_table("t", {"a": bb.Int})
    t.insert(a=1)
    t.change_type("a", "float64")
    t.update({"a": 0.5})
    assert _printed_rows(t.diff(1, 3)) == [["a"], ["int64 → float64"], ["1 → 0.5"]]


def test_diff_html_for_notebook(session):
    t = session.create_table("t", {"a": bb.String, "n": bb.Int})
    t.insert([{"a": "<script>", "n": n} for n in range(30)])
    t.update({"n": t.n + 1})
    page = t.diff(1, 2)._repr_html_()
    assert "0 → 1" in page
    assert "and 10 more" in page
    assert "&lt;script&gt;" in page
    assert "<script" not in page


def test_diff_works_in_both_directions(runs):
    runs.insert(config="c")
    assert runs.diff(1, 2).counts() == {"added": 1, "removed": 0, "changed": 0}
    assert runs.diff(2, 1).counts() == {"added": 0, "removed": 1, "changed": 0}
    assert runs.diff(2, 2).counts() == {"added": 0, "removed": 0, "changed": 0}


def test_update_to_same_values_creates_no_version(runs):
    done = runs.update({"result": runs.result, "config": runs.config})
    assert (done.rows, done.version) == (0, 1)
    assert len(runs.history()) == 2


def test_diff_names_added_columns_and_compares_common_columns(runs):
    runs.add_computed_column(half=halved(runs.result))
    runs.update({"result": 1.0}, where=runs.config == "a")
    diff = runs.diff(1, 3)
    assert diff.schema.added == ("half",)
    assert diff.schema.removed == ()
    assert diff.counts() == {"added": 0, "removed": 0, "changed": 1}
    assert diff.changed.columns == ("config_old", "config_new", "result_old", "result_new")
    assert "added columns: half" in repr(diff)
    assert runs.diff(3, 1).schema.removed == ("half",)


def test_diff_of_nested_and_binary_cells(session):
    table = session.create_table(
        "cells", {"j": bb.Json, "v": bb.Vector(2), "w": bb.Array(bb.Int), "b": bb.Binary}
    )
    table.insert(j={"a": 1}, v=[1, 2], w=[1], b=b"x")
    table.update({"j": {"a": 2}})
    table.update({"v": [1, 3]})
    table.update({"w": [1, 2]})
    table.update({"b": b"y"})
    changed = [table.diff(v, v + 1).counts()["changed"] for v in range(1, 5)]
    assert changed == [1, 1, 1, 1]


def test_history_lists_operations(runs):
    runs.add_computed_column(half=halved(runs.result))
    runs.update({"result": 1.0}, where=runs.config == "a")
    runs.delete()
    history = runs.history()
    assert history["version"] == [4, 3, 2, 1, 0]
    assert history["operation"] == [
        "delete",
        "update",
        "add computed column",
        "insert",
        "create table",
    ]
    assert history["rows"] == [2, 1, 2, 2, 0]
    assert history["at"] == sorted(history["at"], reverse=True)
    assert all(moment.tzinfo is not None for moment in history["at"])


def test_tables_have_independent_versions(session, runs):
    other = session.create_table("other", {"n": bb.Int})
    runs.insert(config="c")
    other.insert(n=1)
    runs.insert(config="d")
    assert len(runs.history()) == 4
    assert len(other.history()) == 2
    assert len(other.at(1).collect()) == 1
    assert len(runs.at(2).collect()) == 3


def test_failed_mutation_changes_no_version_rows_or_views(session, runs):
    @bb.udf(name="versions.positive")
    def positive(value: float) -> float:
        if value < 0:
            raise ValueError("negative")
        return value

    runs.add_computed_column(checked=positive(runs.result))
    view = session.create_view(
        "seen",
        runs.where(runs.config != "z"),
        computed_columns={"again": positive(runs.result * -1 + 1)},
    )
    tables = (runs, view)
    before = [(t.collect().to_pyarrow(), len(t.history())) for t in tables]
    stored = _stored_counts(session)
    for attempt in (
        lambda: runs.insert([{"config": "ok", "result": 0.0}, {"config": "bad", "result": -1.0}]),
        lambda: runs.insert([{"config": "fails in the view", "result": 2.0}]),
        lambda: runs.update({"result": -1.0}),
        lambda: runs.update({"result": 2.0}),
        lambda: runs.add_computed_column(more=positive(runs.result - 1)),
    ):
        with pytest.raises(FunctionError, match="negative"):
            attempt()
        assert [(len(t.collect()), len(t.history())) for t in tables] == [(2, 3), (2, 1)]
    with pytest.raises(DataError, match="not a string"):
        runs.insert(config=1)
    assert [(t.collect().to_pyarrow(), len(t.history())) for t in tables] == before
    assert _stored_counts(session) == stored
    assert runs.insert(config="fine", result=0.5).version == 3
    assert len(view.collect()) == 3


def _stored_counts(session) -> dict[str, int]:
    backend = session._engine.backend
    return {
        name: backend.ibis.raw_sql(f'SELECT count(*) FROM "{name}"').fetchone()[0]
        for name in backend.tables()
        if name.startswith("bb_rows")
    }


def test_old_version_of_dropped_table_raises(session, runs):
    old = runs.at(1)
    session.drop_table("runs")
    with pytest.raises(BarbuleError, match="dropped"):
        runs.collect()
    with pytest.raises(BarbuleError, match="dropped"):
        old.collect()


def test_version_of_dropped_label_is_kept_until_compact(runs):
    version = runs.checkpoint("kept")
    runs.insert(config="later", result=1.0)
    runs.compact()
    assert len(runs.at("kept").collect()) < len(runs.collect())
    with pytest.raises(VersionError, match=r"there is no such label.*'kept'"):
        runs.drop_checkpoint("nope")
    runs.drop_checkpoint("nope", if_not_exists="ignore")
    runs.drop_checkpoint("kept")
    with pytest.raises(VersionError, match="no version 'kept'"):
        runs.at("kept")
    assert len(runs.at(version).collect()) < len(runs.collect())
    runs.compact()
    with pytest.raises(VersionError, match="removed by drop_table"):
        runs.at(version)


def test_clock_moved_back_does_not_change_version_at_timestamp(session, monkeypatch):
    from barbule.catalog import store

    class Earlier(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.datetime.now(tz) - datetime.timedelta(hours=1)

    clock = types.SimpleNamespace(datetime=Earlier, UTC=datetime.UTC, timedelta=datetime.timedelta)
    table = bb.create_table("t", {"a": bb.Int})
    table.insert(a=1)
    moment = session._engine.catalog.commit(session._engine.catalog.head).at
    monkeypatch.setattr(store, "datetime", clock)
    table.insert(a=2)
    table.checkpoint("second")
    monkeypatch.undo()
    assert table.at(moment).collect()["a"] == [1]
    table.insert(a=3)
    assert table.at(moment).collect()["a"] == [1]
    assert sorted(table.at(datetime.datetime.now(datetime.UTC)).collect()["a"]) == [1, 2, 3]
