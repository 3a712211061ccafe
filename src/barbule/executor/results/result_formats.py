"""The formats of results, and the values that are set in a query before it runs.

Owns values of parameters, limits, polars, and the text files that Ibis does not write.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule.backends.text_files import write_text_file
from barbule.errors import DiskError
from barbule.io.output_files import is_json_lines
from barbule.io.text_cells import as_file_columns, file_columns
from barbule.locations import write_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from os import PathLike

    import pyarrow as pa

__all__ = [
    "MemoryRows",
    "bind_params",
    "explaining_disk_errors",
    "limited",
    "polars_result",
    "write_text",
]


E = TypeVar("E", bound=ir.Expr)


@contextlib.contextmanager
def explaining_disk_errors(path: object) -> Iterator[None]:
    """Raise barbule's errors if a file cannot be written, by any library.

    Raises
    ------
    DiskError
        If its disk is full, or refuses the write.
    """
    from barbule.backends.duckdb.errors import translate_disk_errors

    try:
        with write_errors(repr(str(path))), translate_disk_errors(None):
            yield
    except DiskError as error:  # DuckDB writes files for Postgres too, and does not name them
        raise DiskError.of(repr(str(path)), error) from error.__cause__


@dataclass(frozen=True, eq=False)
class MemoryRows:
    """Rows in memory, as a relation; leaves of them are equal if this is the same object."""

    rows: ops.InMemoryTable


def bind_params(expr: E, params: Mapping[ir.Scalar, Any] | None) -> E:
    """Replace the parameters of an expression with values; the planner refuses the others."""
    if params is None:
        return expr
    values = {param.op(): ops.Literal(value, param.type()) for param, value in params.items()}
    bound: E = expr.op().replace(values).to_expr()
    return bound


def limited(expr: ir.Expr, limit: int | str | None) -> ir.Table:
    """Keep the first rows of an expression."""
    table = expr.as_table()
    if limit == "default":
        limit = ibis.options.sql.default_limit
    return table if limit is None else table.limit(int(limit))


def polars_result(expr: ir.Expr, rows: pa.Table) -> Any:
    """Return rows in polars' form for a table, a column or a value."""
    import polars

    frame = polars.from_arrow(rows)
    if isinstance(expr, ir.Column):
        return frame.to_series(0)
    return frame.item() if isinstance(expr, ir.Scalar) else frame


_TEXT_FILES = {"to_csv": "csv", "to_json": "json"}


def write_text(
    verb: str,
    expr: ir.Expr,
    read: Callable[..., pa.RecordBatchReader],
    path: str | PathLike[str],
    options: dict[str, Any],
) -> bool:
    """Write a text file whose cells need a format that the database does not write.

    Parameters
    ----------
    read
        Executes an expression and returns its rows in batches.

    Returns
    -------
    bool
        Whether it has been written; False if the database can write it.
    """
    if verb not in _TEXT_FILES:
        return False
    schema = expr.as_table().schema()
    writers = file_columns(_TEXT_FILES[verb], schema)
    lines = verb == "to_json" and is_json_lines(path)
    if not writers and not lines:
        return False
    query_options = {name: options.pop(name, None) for name in ("params", "limit")}
    rows = as_file_columns(read(expr, **query_options), writers, schema)
    as_json = [name for name, write in writers.items() if write is None]
    write_text_file(verb, rows, path, options, as_json=as_json, lines=lines)
    return True
