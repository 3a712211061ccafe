"""Adds and drops embedding indexes of columns.

Owns the hidden columns that hold the vectors; the executor fills and searches the indexes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from barbule.catalog.records import INHERITED, Index, TableRecord
from barbule.errors import ColumnNotFoundError, TableExistsError
from barbule.executor.search.index_lookup import indexes_over
from barbule.suggestions import one_of
from barbule.tables.commit import run_transaction
from barbule.tables.compute.embedding_functions import resolve_embedding
from barbule.tables.transaction.isolation import isolated
from barbule.tables.transaction.names import IF_EXISTS, IF_NOT_EXISTS, check_policy, current_record
from barbule.tables.transaction.results import UpdateResult
from barbule.tables.verbs.columns.add_computed_columns import put_computed_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import ibis.expr.types as ir

    from barbule.executor.engine import Engine
    from barbule.functions.function import Function
    from barbule.tables.arguments import IfExists, IfNotExists
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["add_embedding_index", "drop_embedding_index"]

_METRICS = ("cosine", "ip", "l2")


@isolated
def add_embedding_index(
    table: ir.Table,
    column: str,
    functions: Mapping[str, Function],
    *,
    metric: str = "cosine",
    name: str | None = None,
    if_exists: IfExists = "error",
) -> UpdateResult:
    """Embed a column, store the vectors with the rows, and index them.

    A column of vectors is indexed directly if no function is passed for its own values.

    Parameters
    ----------
    functions
        By the names of their parameters: `embedding`, `string_embed`, `image_embed`.
    """
    leaf = table.op()
    engine: Engine = leaf.source
    check_policy(metric, _METRICS, "metric")
    check_policy(if_exists, IF_EXISTS[:3], "if_exists")
    since = engine.catalog.refresh()
    record = current_record(leaf)
    _check_exists(record, column, table.columns)
    embedding = resolve_embedding(table, column, functions)
    index_name = name or _default_name(column, embedding.function)
    if any(index.name == index_name for index in record.indexes):
        if if_exists == "ignore":
            return UpdateResult(0, 0, engine.catalog.latest(record.id).version)
        if if_exists == "error":
            raise TableExistsError(
                f"an embedding index {index_name!r} already exists.",
                table=record.name,
                column=column,
                hint='Give it another name=, or if_exists="replace".',
            )

    def prepare(transaction: Transaction) -> None:
        record = current_record(transaction.leaf(leaf))
        if any(index.name == index_name for index in record.indexes):
            record = _without_index(transaction, record, index_name)
        searched_column = record.column(column)
        column_id = INHERITED if searched_column is None else searched_column.id
        vectors = record.next_column
        if embedding.value is not None:
            hidden = {f"bb_embedding_{vectors}": embedding.value}
            record = put_computed_columns(transaction, record, hidden, stored=True, hidden=True)
        elif searched_column is not None and searched_column.kind != "virtual":
            vectors = column_id
        else:  # columns of a base, or virtual ones: they are stored here too
            hidden = {f"bb_embedding_{vectors}": table[column].op()}
            record = put_computed_columns(transaction, record, hidden, stored=True, hidden=True)
        index = Index(index_name, column_id, vectors, metric, embedding.queries)
        transaction.put_record(replace(record, indexes=(*record.indexes, index)))

    transaction, _ = run_transaction(engine, "add embedding index", prepare, since=since, slow=True)
    rows = transaction.row_count(record.id)
    return transaction.result(UpdateResult, record.id, rows)


def _check_exists(record: TableRecord, column: str, columns: Sequence[str]) -> None:
    if column not in columns:
        raise ColumnNotFoundError(
            "there is no such column to index.",
            table=record.name,
            column=column,
            hint=one_of(column, columns, "Its columns are"),
        )


@isolated
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
    since = engine.catalog.refresh()

    def prepare(transaction: Transaction) -> None:
        record = current_record(transaction.leaf(leaf))
        if column is not None:
            matching = indexes_over(
                record, column, name, lambda text: transaction.engine.expression(text, None)
            )
        else:
            matching = [index for index in record.indexes if name in {None, index.name}]
        if len(matching) != 1:
            names = ", ".join(repr(index.name) for index in matching or record.indexes) or "none"
            raise ColumnNotFoundError(
                "there is no such embedding index." if not matching else "several indexes match.",
                table=record.name,
                column=column,
                hint=f"Name one of: {names}.",
            )
        transaction.put_record(_without_index(transaction, record, matching[0].name))

    try:
        transaction, _ = run_transaction(engine, "drop embedding index", prepare, since=since)
    except ColumnNotFoundError:
        if if_not_exists == "error":
            raise
        return UpdateResult(0, 0, engine.catalog.latest(leaf.table_id).version)
    return transaction.result(UpdateResult, leaf.table_id, 0)


def _without_index(transaction: Transaction, record: TableRecord, name: str) -> TableRecord:
    index = next(index for index in record.indexes if index.name == name)
    transaction.drop_index(record, index)
    vector = record.column_by_id(index.embedding)
    is_separate = index.embedding != index.column
    return replace(
        record.with_columns(without=(vector.name,)) if is_separate else record,
        indexes=tuple(index for index in record.indexes if index.name != name),
    )


def _default_name(column: str, function: Function | None) -> str:
    if function is None:
        return f"{column}_vectors"
    return f"{column}_{getattr(function, 'name', 'embedding').rsplit('.', 1)[-1]}"
