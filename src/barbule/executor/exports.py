"""Forms that results take on their way out, and what is set in a query before it runs.

Owns values for parameters, limits, polars and Excel; what Ibis writes itself is not here.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule.errors import ConfigurationError, DiskError
from barbule.media.places import storing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

__all__ = [
    "Held",
    "disk_errors",
    "limited",
    "polars_of",
    "with_values",
    "write_excel",
]


@contextlib.contextmanager
def disk_errors(path: Any) -> Iterator[None]:
    """Say in our words why a file cannot be written, whoever writes it.

    Raises
    ------
    DiskError
        When its disk is full, or does not take it.
    """
    from barbule.backends.duckdb.failures import disk_explained

    try:
        with storing(repr(str(path))), disk_explained(None):
            yield
    except DiskError as error:  # DuckDB writes files for Postgres too, and does not name them
        raise DiskError.of(repr(str(path)), error) from error.__cause__


@dataclass(frozen=True, eq=False)
class Held:
    """Rows in memory, as a relation; what shows them is known by which object this is."""

    rows: ops.InMemoryTable


def with_values(expr: Any, params: Mapping[Any, Any] | None) -> Any:
    """Put values in the place of the parameters of an expression; the planner misses the rest."""
    if params is None:
        return expr
    values = {param.op(): ops.Literal(value, param.type()) for param, value in params.items()}
    return expr.op().replace(values).to_expr()


def limited(expr: Any, limit: int | str | None) -> ir.Table:
    """Keep the first rows of an expression."""
    table = expr.as_table()
    if limit == "default":
        limit = ibis.options.sql.default_limit
    return table if limit is None else table.limit(int(limit))


def polars_of(expr: ir.Expr, rows: pa.Table) -> Any:
    """Give rows the form that polars has for a table, a column or a value."""
    import polars

    frame = polars.from_arrow(rows)
    if isinstance(expr, ir.Column):
        return frame.to_series(0)
    return frame.item() if isinstance(expr, ir.Scalar) else frame


def write_excel(
    batches: pa.RecordBatchReader, path: Any, *, sheet: str = "Sheet1", header: bool = True
) -> None:
    """Write rows as a sheet of an Excel file, a batch at a time.

    Raises
    ------
    ConfigurationError
        When openpyxl is not installed.
    """
    try:
        from openpyxl import Workbook
    except ImportError as error:
        raise ConfigurationError(
            "writing Excel files needs openpyxl.", hint="pip install 'barbule[excel]'."
        ) from error
    book = Workbook(write_only=True)
    page = book.create_sheet(sheet)
    with _errors_of_lxml():
        if header:
            page.append(batches.schema.names)
        for batch in batches:
            for row in batch.to_pylist():
                page.append([_cell(value) for value in row.values()])
        book.save(path)


@contextlib.contextmanager
def _errors_of_lxml() -> Iterator[None]:
    """Raise as Python does what lxml says of the disk: by the name of its number."""
    try:
        yield
    except Exception as error:
        name = str(error).removeprefix("IO_")
        number = getattr(errno, name, None) if type(error).__module__ == "lxml.etree" else None
        if number is None:
            raise
        raise OSError(number, os.strerror(number)) from error


def _cell(value: Any) -> Any:
    """Return what a cell of Excel can hold: it knows no zones, no bytes, and nothing nested."""
    if isinstance(value, dict | list):
        return json.dumps(value, default=str, ensure_ascii=False)
    if isinstance(value, bytes):
        return value.hex()
    if getattr(value, "tzinfo", None) is not None:
        return value.isoformat()
    if isinstance(value, float) and value - value != 0:  # NaN and the infinite
        return str(value)
    return value
