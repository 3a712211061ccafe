"""Concurrent changes leave the state of a serial order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from ibis import _

import barbule as bb
from barbule.errors import ColumnNotFoundError, ConflictError, DataError, VersionError
from gates import Gate

if TYPE_CHECKING:
    from barbule.session import Session


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def loud(gate: Gate) -> Any:
    @bb.udf(name="loud", version="1")
    def loud(text: str) -> str:
        gate()
        return f"{text}!"

    return loud


def test_view_creation_includes_concurrent_insert(session: Session, gate: Gate):
    @bb.iterator(return_type={"word": str}, version="1")
    def words(text: str):
        gate()
        for word in text.split():
            yield {"word": word}

    texts = session.create_table("texts", [{"text": "a b"}])
    gate.during(
        lambda: session.create_view("words", texts, iterator=words(texts.text)),
        lambda: texts.insert(text="c d"),
    )
    texts.insert(text="e")
    assert sorted(session.get_table("words").collect()["word"]) == ["a", "b", "c", "d", "e"]


def test_concurrent_upserts_insert_key_once(session: Session, gate: Gate, loud: Any):
    table = session.create_table("t", {"key": bb.String, "text": bb.String})
    table.add_computed_column(loud=loud(table.text))
    done = gate.during(
        lambda: table.upsert([{"key": "same", "text": "first"}], on="key"),
        lambda: table.upsert([{"key": "same", "text": "second"}], on="key"),
    )
    assert (done.inserted, done.updated) == (0, 1)
    assert [dict(row) for row in table.collect()] == [
        {"key": "same", "text": "first", "loud": "first!"}
    ]


@pytest.mark.parametrize("kind", ["aggregate", "distinct"])
def test_full_refresh_view_counts_concurrent_inserts(
    session: Session, gate: Gate, loud: Any, kind: str
):
    table = session.create_table("t", {"group": bb.String})
    query = (
        table.group_by("group").agg(count=table.count())
        if kind == "aggregate"
        else table.select("group").distinct()
    )
    view = session.create_view("v", query, computed_columns={"loud": loud(_.group)})
    gate.during(lambda: table.insert(group="new"), lambda: table.insert(group="new"))
    assert view.collect()["loud"] == ["new!"]
    if kind == "aggregate":
        assert view.collect()["count"] == [2]


@pytest.mark.parametrize("change", ["update", "delete"])
def test_join_view_follows_concurrent_changes_of_both_tables(
    session: Session, gate: Gate, loud: Any, change: str
):
    customers = session.create_table("customers", [{"id": 1, "name": "old"}])
    orders = session.create_table("orders", {"customer": bb.Int})
    query = orders.join(customers, orders.customer == customers.id).select("customer", "name")
    view = session.create_view("named", query, computed_columns={"loud": loud(_.name)})
    gate.during(
        lambda: orders.insert(customer=1),
        lambda: customers.update({"name": "new"}) if change == "update" else customers.delete(),
    )
    assert view.collect()["loud"] == (["new!"] if change == "update" else [])


def test_column_added_to_view_reflects_concurrent_base_update(
    session: Session, gate: Gate, loud: Any
):
    table = session.create_table("t", [{"key": 1, "text": "old"}])
    view = session.create_view("v", table.where(table.key > 0))
    gate.during(
        lambda: view.add_computed_column(loud=loud(view.text)),
        lambda: table.update({"text": "new"}),
    )
    assert session.get_table("v").collect()["loud"] == ["new!"]


def test_index_added_to_view_reflects_concurrent_base_update(session: Session, gate: Gate):
    @bb.udf(version="1")
    def embed(text: str) -> bb.Vector(2):
        gate()
        return [1.0, float(len(text))]

    table = session.create_table("t", [{"key": 1, "text": "old"}])
    view = session.create_view("v", table.where(table.key > 0))
    gate.during(
        lambda: view.add_embedding_index("text", string_embed=embed),
        lambda: table.update({"text": "much longer"}),
    )
    view = session.get_table("v")
    assert list(view.select(vector=view.text.embedding()).collect()[0, "vector"]) == [1.0, 11.0]


def test_view_creation_reflects_concurrent_base_changes(session: Session, gate: Gate, loud: Any):
    table = session.create_table("t", [{"text": "a"}, {"text": "b"}])

    def change() -> None:
        table.delete(where=table.text == "a")
        table.update({"text": "c"})

    gate.during(
        lambda: session.create_view("v", table, computed_columns={"loud": loud(_.text)}), change
    )
    view = session.get_table("v")
    assert [dict(row) for row in view.collect()] == [{"text": "c", "loud": "c!"}]


MUTATIONS = {
    "insert": lambda table: table.insert(key=2, text="b"),
    "update": lambda table: table.update({"text": "b", "key": 5}),
    "update by an expression": lambda table: table.update({"text": table.text + "b", "key": 5}),
    "upsert": lambda table: table.upsert([{"key": 9, "text": "b"}], on="key"),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
@pytest.mark.parametrize("change", ["rename", "drop", "replace"])
def test_mutation_during_schema_change_succeeds_or_is_refused(
    session: Session, gate: Gate, mutation: str, change: str
):
    @bb.udf(version="1")
    def shown(key: int) -> str:
        gate()
        return f"{key}!"

    table = session.create_table("t", [{"key": 1, "text": "a", "other": "o"}])
    table.add_computed_column(shown=shown(table.key))

    def restructure() -> None:
        now = session.get_table("t")
        if change == "rename":
            now.rename_column("text", "renamed")
        elif change == "drop":
            now.drop_column("text")
        else:
            now.drop_column("text")
            session.get_table("t").add_columns({"text": bb.String})

    before = [dict(row) for row in table.collect()]
    done = gate.during(lambda: MUTATIONS[mutation](table), restructure)
    rows = session.get_table("t").order_by("key").collect()
    if change == "replace":
        written = None if mutation == "update by an expression" else "b"
        assert done.rows == 1
        assert rows[len(rows) - 1, "text"] == written
    else:
        assert isinstance(done, DataError | ColumnNotFoundError)
        name = "renamed" if change == "rename" else None
        assert rows["key"] == [1]
        assert name is None or rows[name] == [before[0]["text"]]


def test_generator_insert_conflicts_with_schema_change(session: Session, gate: Gate, loud: Any):
    table = session.create_table("t", {"text": bb.String})
    table.add_computed_column(loud=loud(table.text))
    done = gate.during(
        lambda: table.insert(row for row in [{"text": "a"}]),
        lambda: table.add_columns({"other": bb.Int}, defaults={"other": 1}),
    )
    assert isinstance(done, ConflictError)
    assert "Nothing was written" in str(done)
    assert done.retryable
    assert session.get_table("t").collect() == []


def test_insert_gets_default_of_concurrently_added_column(session: Session, gate: Gate, loud: Any):
    table = session.create_table("t", {"text": bb.String})
    table.add_computed_column(loud=loud(table.text))
    gate.during(
        lambda: table.insert([{"text": "a"}]),
        lambda: table.add_columns({"other": bb.Int}, defaults={"other": 7}),
    )
    assert session.get_table("t").collect()["other"] == [7]


@pytest.fixture
def counted(gate: Gate) -> tuple[Any, list[str]]:
    """Return a function without a cache, and the list of its calls."""
    calls: list[str] = []

    @bb.udf(cache=False, version="1")
    def once(text: str) -> str:
        calls.append(text)
        gate()
        return text

    return once, calls


def test_schema_change_of_other_table_causes_no_retry(session: Session, gate: Gate, counted: Any):
    once, calls = counted
    table = session.create_table("t", {"text": bb.String})
    table.add_computed_column(same=once(table.text))
    gate.during(
        lambda: table.insert(text="a"), lambda: session.create_table("other", {"n": bb.Int})
    )
    assert calls == ["a"]


def test_concurrent_inserts_cause_no_retry(session: Session, gate: Gate, counted: Any):
    once, calls = counted
    table = session.create_table("t", {"text": bb.String})
    table.add_computed_column(same=once(table.text))
    session.create_view("v", table.where(table.text != ""))
    gate.during(lambda: table.insert(text="a"), lambda: table.insert(text="b"))
    assert sorted(calls) == ["a", "b"]
    assert sorted(session.get_table("v").collect()["same"]) == ["a", "b"]


def test_snapshot_during_view_replacement_keeps_old_rows(session: Session, gate: Gate, loud: Any):
    table = session.create_table("t", [{"text": "a"}])
    session.create_view("v", table.where(table.text != ""))
    gate.during(
        lambda: session.create_view(
            "v", table, computed_columns={"loud": loud(_.text)}, if_exists="replace"
        ),
        lambda: session.snapshot("before"),
    )
    assert session.at("before").get_table("v").collect()["text"] == ["a"]
    assert session.get_table("v").collect()["loud"] == ["a!"]


def test_revert_uses_concurrently_moved_label(session: Session, gate: Gate, loud: Any):
    table = session.create_table("t", [{"text": "old"}])
    table.checkpoint("good")
    table.update({"text": "new"})
    view = session.create_view("v", table, computed_columns={"loud": loud(_.text)})
    gate.during(
        lambda: table.revert(to="good"),
        lambda: table.checkpoint("good", if_exists="replace"),
    )
    assert view.collect()["loud"] == ["new!"]
    assert table.at("good").collect()["text"] == ["new"]


def test_revert_to_concurrently_dropped_label_raises(session: Session, gate: Gate, loud: Any):
    table = session.create_table("t", [{"text": "old"}])
    table.checkpoint("good")
    table.update({"text": "new"})
    session.create_view("v", table, computed_columns={"loud": loud(_.text)})
    done = gate.during(lambda: table.revert(to="good"), lambda: table.drop_checkpoint("good"))
    assert isinstance(done, VersionError), done
    assert table.collect()["text"] == ["new"]


def test_columns_named_like_engine_attributes_work(session):
    table = session.create_table("t", {"backend": bb.Int, "source": bb.String, "size": bb.Int})
    table.insert(
        [{"backend": 1, "source": "a", "size": 1}, {"backend": 2, "source": "b", "size": 2}]
    )
    table.add_computed_column(twice=table.backend * 2)

    assert table.update({"source": "c"}, where=table.backend == 1).rows == 1
    assert table.upsert([{"backend": 2, "size": 5}], on="backend").rows == 1
    assert table.delete(where=table.source == "c").rows == 1
    assert list(table.collect()) == [{"backend": 2, "source": "b", "size": 5, "twice": 4}]
