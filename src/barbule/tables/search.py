"""Embedding indexes of columns: made and dropped.

Owns the hidden columns that hold the vectors; how they are indexed and searched is known below.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import ibis.expr.datatypes as dt

from barbule.catalog.records import Index, TableRecord
from barbule.errors import ColumnNotFoundError, ExpressionError, TableExistsError
from barbule.functions.registry import Function
from barbule.nodes import FunctionCall
from barbule.tables.alter import put_computed
from barbule.tables.change import Change, UpdateResult, mutate
from barbule.tables.naming import IF_EXISTS, IF_NOT_EXISTS, check_policy, current

if TYPE_CHECKING:
    import ibis.expr.operations as ops
    import ibis.expr.types as ir

    from barbule.catalog.records import Column
    from barbule.executor.engine import Engine
    from barbule.tables.naming import IfExists, IfNotExists

__all__ = ["add_embedding_index", "drop_embedding_index"]

_METRICS = ("cosine", "ip", "l2")


def add_embedding_index(
    table: ir.Table,
    column: str,
    embedding: Function | None,
    *,
    metric: str = "cosine",
    name: str | None = None,
    if_exists: IfExists = "error",
) -> UpdateResult:
    """Embed a column, keep the vectors with the rows, and index them.

    A column of vectors is indexed as it is where there is no embedding.
    """
    leaf = table.op()
    engine: Engine = leaf.source
    check_policy(metric, _METRICS, "metric")
    check_policy(if_exists, IF_EXISTS[:3], "if_exists")
    engine.catalog.refresh()
    record = current(leaf)
    searched = record.column(column)
    if searched is None:
        raise ColumnNotFoundError(
            "there is no such column to index.",
            table=record.name,
            column=column,
            hint=f"Columns of its own are {', '.join(c.name for c in record.columns)}.",
        )
    title = name or _title(column, embedding)
    if any(index.name == title for index in record.indexes):
        if if_exists == "ignore":
            return UpdateResult(0, 0, engine.catalog.latest(record.id).version)
        if if_exists == "error":
            raise TableExistsError(
                f"there is an embedding index {title!r} already.",
                table=record.name,
                column=column,
                hint='Give it another name=, or if_exists="replace".',
            )
    value = None if _is_vectors(searched, embedding) else _embedded(table, column, embedding)

    def work(change: Change) -> int:
        record = current(leaf)
        if any(index.name == title for index in record.indexes):
            record = _without_index(change, record, title)
        before, count = record.next_column, 0
        if value is None:
            before = searched.id
        else:
            hidden = {f"bb_embedding_{before}": value}
            record, count = put_computed(change, record, hidden, stored=True, hidden=True)
        index = Index(title, searched.id, before, metric)
        change.put(replace(record, indexes=(*record.indexes, index)))
        return count

    change, count = mutate(engine, "add embedding index", work, slow=True)
    return change.result(UpdateResult, record.id, count)  # type: ignore[return-value]


def drop_embedding_index(
    table: ir.Table,
    column: str | None,
    *,
    name: str | None = None,
    if_not_exists: IfNotExists = "error",
) -> UpdateResult:
    """Drop an embedding index with its vectors; old versions keep theirs."""
    leaf = table.op()
    engine: Engine = leaf.source
    check_policy(if_not_exists, IF_NOT_EXISTS, "if_not_exists")
    engine.catalog.refresh()

    def work(change: Change) -> None:
        record = current(leaf)
        known = record.column(column) if column else None
        found = [
            index
            for index in record.indexes
            if name in {None, index.name}
            and (column is None or (known and index.column == known.id))
        ]
        if len(found) != 1:
            names = ", ".join(repr(index.name) for index in found or record.indexes) or "none"
            raise ColumnNotFoundError(
                "there is no such embedding index." if not found else "several indexes fit.",
                table=record.name,
                column=column,
                hint=f"Name one of: {names}.",
            )
        change.put(_without_index(change, record, found[0].name))

    try:
        change, _ = mutate(engine, "drop embedding index", work)
    except ColumnNotFoundError:
        if if_not_exists == "error":
            raise
        return UpdateResult(0, 0, engine.catalog.latest(leaf.table_id).version)
    return change.result(UpdateResult, leaf.table_id, 0)  # type: ignore[return-value]


def _without_index(change: Change, record: TableRecord, name: str) -> TableRecord:
    index = next(each for each in record.indexes if each.name == name)
    change.afterwards(partial(change.engine.indexing.drop, record, index))
    vector = record.column_by_id(index.embedding)
    own = index.embedding != index.column
    return replace(
        record.with_columns(without=(vector.name,)) if own else record,
        indexes=tuple(each for each in record.indexes if each.name != name),
    )


def _title(column: str, embedding: Function | None) -> str:
    if embedding is None:
        return f"{column}_vectors"
    return f"{column}_{getattr(embedding, 'name', 'embedding').rsplit('.', 1)[-1]}"


def _is_vectors(column: Column, embedding: Function | None) -> bool:
    kind = column.dtype
    fits = isinstance(kind, dt.Array) and isinstance(kind.value_type, dt.Float32) and kind.length
    return embedding is None and bool(fits) and column.kind != "virtual"


def _embedded(table: ir.Table, column: str, embedding: Function | None) -> ops.Value:
    """Make the call that embeds a column; its answers are kept in the ledger."""
    if embedding is None:
        raise ExpressionError(
            f"a column of {table[column].type()} needs an embedding.",
            table=table.get_name(),
            column=column,
            hint="Give one of embedding=, string_embed= and image_embed=; only stored columns of "
            "bb.Vector(n) are searched as they are.",
        )
    if not isinstance(embedding, Function):
        raise ExpressionError(
            "an embedding is a function of barbule.",
            table=table.get_name(),
            column=column,
            value=embedding,
            hint="Decorate it with @bb.udf(batch_size=32) and annotate its result as "
            "list[bb.Vector(n)].",
        )
    value = embedding.of(table[column], cached=True).op()
    kind = value.dtype
    fits = isinstance(kind, dt.Array) and isinstance(kind.value_type, dt.Float32) and kind.length
    if not fits or not isinstance(value, FunctionCall):
        raise ExpressionError(
            f"{embedding.name} gives {kind}, not vectors of a known length.",
            table=table.get_name(),
            column=column,
            hint="Annotate its result as bb.Vector(n), in a batch function list[bb.Vector(n)].",
        )
    return value
