"""A small database with views of each kind, operations on it, and its visible state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ibis import _

import barbule as bb
from stepping.stepper import point

if TYPE_CHECKING:
    from collections.abc import Callable

    from barbule.session import Session

Operation = "Callable[[Session], Any]"


@bb.udf(name="stepping.loud", version="1")
def loud(text: str) -> str:
    """Call out a text."""
    point("call")
    return f"{text}!"


@bb.udf(name="stepping.quiet", version="1")
def quiet(text: str) -> str:
    """Whisper a text."""
    point("call")
    return f"({text})"


@bb.udf(name="stepping.embed", version="1")
def embed(text: str) -> bb.Vector(2):
    """Embed a text by its length."""
    point("call")
    return [1.0, float(len(text))]


@bb.iterator(return_type={"word": str}, version="1")
def words(text: str):
    """Split a text at its spaces."""
    point("call")
    for word in text.split():
        yield {"word": word}


def make(session: Session) -> None:
    """Create tables with history, and views of each kind over them."""
    session.create_table("customers", [{"id": 1, "name": "ada"}, {"id": 2, "name": "bob"}])
    rows = [
        {"key": 1, "text": "a b", "size": 1, "customer": 1, "spare": "s"},
        {"key": 2, "text": "c", "size": 1, "customer": 2, "spare": "s"},
        {"key": 3, "text": "d e", "size": 2, "customer": 1, "spare": "s"},
    ]
    schema = {
        "key": bb.Int,
        "text": bb.String,
        "size": "int32",
        "customer": bb.Int,
        "spare": bb.String,
    }
    items = session.create_table("items", schema)
    items.insert(rows)
    items.add_computed_column(loud=loud(items.text))
    items.add_computed_column(double=items.size * 2)
    items.add_embedding_index("text", string_embed=embed, name="by_text")
    items.checkpoint("base")
    items.update({"text": "c c"}, where=items.key == 2)
    items.delete(where=items.key == 3)
    items.insert([{**rows[2], "key": 4}])
    customers = session.get_table("customers")
    session.create_view(
        "filtered", items.where(items.key > 0), computed_columns={"quiet": quiet(_.text)}
    )
    session.create_view("words", items, iterator=words(items.text))
    session.create_view(
        "by_size",
        items.group_by("size").agg(count=items.count(), first=items.text.min()),
        computed_columns={"quiet": quiet(_.first)},
    )
    session.create_view(
        "named",
        items.join(customers, items.customer == customers.id).select("key", "text", "name"),
        computed_columns={"loud": loud(_.name)},
    )
    filtered = session.get_table("filtered")
    session.create_view("nested", filtered.where(filtered.quiet != ""))


def _items(verb: Callable[[Any], Any]) -> Callable[[Session], Any]:
    return lambda session: verb(session.get_table("items"))


_NEW = {"text": "n n", "size": 2, "customer": 2, "spare": "s"}

# Operations by name, on a new session or one that was just used.
OPERATIONS: dict[str, Callable[[Session], Any]] = {
    "insert": _items(lambda t: t.insert(key=7, **_NEW)),
    "insert another": _items(lambda t: t.insert([{"key": 8, **_NEW, "size": 1}])),
    "update": _items(lambda t: t.update({"text": "u"}, where=t.key == 1)),
    "update by an expression": _items(lambda t: t.update({"size": t.size + 1})),
    "upsert": _items(lambda t: t.upsert([{"key": 1, "text": "p"}, {"key": 9, **_NEW}], on="key")),
    "upsert the same": _items(lambda t: t.upsert([{"key": 9, **_NEW, "text": "q"}], on="key")),
    "batch_update": _items(lambda t: t.batch_update([{"key": 1, "size": 5}], on="key")),
    "delete": _items(lambda t: t.delete(where=t.key == 1)),
    "recompute": _items(lambda t: t.recompute("loud")),
    "add column": _items(lambda t: t.add_columns({"extra": bb.Int}, defaults={"extra": 3})),
    "add computed column": _items(lambda t: t.add_computed_column(extra=quiet(t.text))),
    "add virtual column": _items(lambda t: t.add_computed_column(extra=t.size * 10)),
    "replace column": _items(
        lambda t: t.add_computed_column(loud=quiet(t.text), if_exists="replace")
    ),
    "drop column": _items(lambda t: t.drop_column("spare")),
    "rename column": _items(lambda t: t.rename_column("text", "words")),
    "change type": _items(lambda t: t.change_type("size", "int64")),
    "add index": _items(lambda t: t.add_embedding_index("spare", string_embed=embed)),
    "drop index": _items(lambda t: t.drop_embedding_index("text")),
    "revert": _items(lambda t: t.revert(to="base")),
    "revert by one": _items(lambda t: t.revert()),
    "branch": _items(lambda t: t.branch("other")),
    "compact": _items(lambda t: t.compact()),
    "purge": _items(lambda t: t.delete(where=t.key == 2, purge=True)),
    "checkpoint": _items(lambda t: t.checkpoint("base", if_exists="replace")),
    "snapshot": lambda session: session.snapshot("now"),
    "update customers": lambda session: session.get_table("customers").update({"name": "eve"}),
    "delete customers": lambda session: session.get_table("customers").delete(),
    "column of a view": lambda session: session.get_table("filtered").add_computed_column(
        more=loud(session.get_table("filtered").text)
    ),
    "index of a view": lambda session: session.get_table("filtered").add_embedding_index(
        "text", string_embed=embed
    ),
    "create view": lambda session: session.create_view(
        "new",
        session.get_table("items").where(_.size > 0),
        computed_columns={"quiet": quiet(_.text)},
    ),
    "create iterator view": lambda session: session.create_view(
        "new",
        session.get_table("items"),
        iterator=words(session.get_table("items").text),
    ),
    "create aggregate view": lambda session: session.create_view(
        "new", session.get_table("items").group_by("size").agg(last=_.text.max())
    ),
    "replace view": lambda session: session.create_view(
        "words",
        session.get_table("items"),
        computed_columns={"louder": loud(_.text)},
        if_exists="replace",
    ),
    "drop view": lambda session: session.drop_table("nested"),
    "drop table": lambda session: session.drop_table("items", cascade=True),
}


def shown(session: Session) -> dict[str, Any]:
    """Return the visible state of a database, in an order that is independent of its history."""
    state: dict[str, Any] = {}
    for name in session.list_tables():
        table = session.get_table(name)
        state[name] = _rows(table)
        if any("base" in labels for labels in table.history()["labels"]):
            state[f"{name} at base"] = _rows(table.at("base"))
    for name in session.list_snapshots():
        snapshot = session.at(name)
        state[f"snapshot {name}"] = {
            each: _rows_at(snapshot, each) for each in snapshot.list_tables()
        }
    items = "items" in state and session.get_table("items")
    if items is not False and "text" in items.columns:
        try:
            found = items.order_by(items.text.similarity("abc"), asc=False).limit(2)
            state["nearest"] = _rows(found.select("key"))
        except bb.errors.BarbuleError as error:
            state["nearest"] = type(error).__name__
    return state


def _rows_at(snapshot: Any, name: str) -> list[str] | str:
    """Return the rows of a table in a snapshot; a purge removes those of some views."""
    try:
        return _rows(snapshot.get_table(name))
    except bb.errors.VersionError as error:
        return type(error).__name__


def _rows(table: Any) -> list[str]:
    columns = sorted(table.columns)
    kinds = {name: str(kind) for name, kind in table.schema().items()}
    rows = sorted(str([row[name] for name in columns]) for row in table.collect())
    return [str([(name, kinds[name]) for name in columns]), *rows]


def stored(session: Session) -> tuple[str, ...]:
    """Return the stored rows of all tables, and the catalog in memory.

    The visible state follows from these, and reading them takes a tenth of the time. Timestamps are
    left out, and answers of functions, which are written in any order.
    """
    backend, catalog = session._engine.backend, session._engine.catalog
    catalog.refresh()
    read = {"bb_commits": "ROW(t.id, t.operation, t.changes)"}
    names = sorted(backend.tables() - {"bb_meta", "bb_calls"})
    query = " UNION ALL ".join(
        f"SELECT '{name}' || CAST({read.get(name, 't')} AS text) FROM {name} t" for name in names
    )
    if backend.name == "postgres":
        rows = backend.thread_connection.rows(query)
    else:
        with backend.use():
            rows = backend.cursor.execute(query).fetchall()
    loaded = catalog.metadata
    labels = sorted((table, sorted(labels.items())) for table, labels in loaded.labels.items())
    known = (sorted(loaded.records.items()), sorted(loaded.versions.items()), labels)
    return (*sorted(row for (row,) in rows), str(known))
