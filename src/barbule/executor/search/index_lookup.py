"""The embedding index of a column, and the types of queries that it accepts.

Owns how an index is found by its column, also if a view inherits that column from its base. Reads
only records and stored expressions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

from barbule.catalog.records import INHERITED, Index, TableRecord
from barbule.errors import ColumnNotFoundError, ExpressionError
from barbule.nodes import FunctionCall

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["embedding_calls", "index_over", "indexes_over", "searched_column"]


def searched_column(record: TableRecord, index: Index, read: Callable[[str], Any]) -> str:
    """Return the name of the column that an index searches.

    Parameters
    ----------
    read
        Reads a stored expression.
    """
    if index.column != INHERITED:
        return record.column_by_id(index.column).name
    vectors = record.column_by_id(index.embedding)
    return next(iter(read(str(vectors.expression)).find(ops.Field))).name


def indexes_over(
    record: TableRecord, column: str, name: str | None, read: Callable[[str], Any]
) -> list[Index]:
    """Return the indexes of a column, of this name if one is given."""
    named = [index for index in record.indexes if name in {None, index.name}]
    return [index for index in named if searched_column(record, index, read) == column]


def index_over(
    record: TableRecord, column: str, name: str | None, read: Callable[[str], Any]
) -> Index:
    """Return the one index of a column, or the one of this name.

    Raises
    ------
    ExpressionError, ColumnNotFoundError
        If there is none, or there are several and none is named.
    """
    indexes = indexes_over(record, column, name, read)
    if len(indexes) == 1:
        return indexes[0]
    if indexes:
        raise ExpressionError(
            "the column has several embedding indexes: "
            f"{', '.join(index.name for index in indexes)}.",
            table=record.name,
            column=column,
            hint="Name one: similarity(query, index=...).",
        )
    if name is not None:
        existing = [index.name for index in indexes_over(record, column, None, read)]
        raise ColumnNotFoundError(
            f"the column has no embedding index {name!r}.",
            table=record.name,
            column=column,
            hint=f"Its indexes: {', '.join(map(repr, existing)) or 'none'}.",
        )
    searched = record.column(column)
    is_vector = searched is not None and isinstance(searched.dtype, dt.Array)
    function = "" if is_vector else ", embedding=..."
    raise ExpressionError(
        "the column has no embedding index.",
        table=record.name,
        column=column,
        hint=f'Create one with add_embedding_index("{column}"{function}).',
    )


def embedding_calls(
    record: TableRecord, index: Index, read: Callable[[str], Any]
) -> tuple[tuple[dt.DataType, FunctionCall], ...]:
    """Return the types of queries that an index accepts besides vectors, with the embedding calls.

    The type of its column comes first.
    """
    calls = [read(text) for text in index.queries]
    vectors = record.column_by_id(index.embedding)
    if index.embedding != index.column:
        calls.insert(0, read(str(vectors.expression)))
    return tuple((call.values[0].dtype, call) for call in calls if isinstance(call, FunctionCall))
