"""Which embedding index a search goes by, and what that index takes.

Owns how an index is found by the column that is asked, also where a view shows that column of
its base. Reads records and stored expressions alone.
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

__all__ = ["embedded_by", "index_over", "indexes_over", "searched_column"]


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
    """Return the indexes of a column, of that name if there is one."""
    named = [each for each in record.indexes if name in {None, each.name}]
    return [each for each in named if searched_column(record, each, read) == column]


def index_over(
    record: TableRecord, column: str, name: str | None, read: Callable[[str], Any]
) -> Index:
    """Return the index of a column that is meant.

    Raises
    ------
    ExpressionError, ColumnNotFoundError
        When there is none, or there are several and none is named.
    """
    found = indexes_over(record, column, name, read)
    if len(found) == 1:
        return found[0]
    if found:
        raise ExpressionError(
            f"it has several embedding indexes: {', '.join(index.name for index in found)}.",
            table=record.name,
            column=column,
            hint="Name one: similarity(query, index=...).",
        )
    if name is not None:
        known = [index.name for index in indexes_over(record, column, None, read)]
        raise ColumnNotFoundError(
            f"it has no embedding index {name!r}.",
            table=record.name,
            column=column,
            hint=f"It has {', '.join(map(repr, known)) or 'none'}.",
        )
    searched = record.column(column)
    own = searched is not None and isinstance(searched.dtype, dt.Array)  # they need no function
    given = "" if own else ", embedding=..."
    raise ExpressionError(
        "it has no embedding index.",
        table=record.name,
        column=column,
        hint=f'Make one by add_embedding_index("{column}"{given}).',
    )


def embedded_by(
    record: TableRecord, index: Index, read: Callable[[str], Any]
) -> tuple[tuple[dt.DataType, FunctionCall], ...]:
    """Return the kinds of values that an index takes beside vectors, and the calls that embed them.

    That of its column comes first.
    """
    calls = [read(text) for text in index.queries]
    vectors = record.column_by_id(index.embedding)
    if index.embedding != index.column:
        calls.insert(0, read(str(vectors.expression)))
    return tuple((each.values[0].dtype, each) for each in calls if isinstance(each, FunctionCall))
