"""Plain values as SQL literals of DuckDB."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import sqlglot.expressions as sge

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

__all__ = ["literal", "string_literal", "values_literals"]

_MAX_STRING_LENGTH = 1000  # of a string that is written into a statement


def literal(value: object) -> str:
    """Write a plain value."""
    if isinstance(value, datetime.datetime):
        return sge.cast(sge.Literal.string(value.isoformat()), "timestamptz").sql("duckdb")
    return sge.convert(value).sql("duckdb")


def string_literal(value: str) -> str:
    """Write a string."""
    escaped = value.replace("'", "''")
    if "\0" in escaped:  # which ends a statement
        return "('" + escaped.replace("\0", "' || chr(0) || '") + "')"
    return f"'{escaped}'"


# How values of an Arrow type are written, exactly: DuckDB reads a bare 0.7 as a decimal.
_WRITERS: dict[str, Callable[..., str]] = {
    "bool": str,
    "double": lambda value: f"'{value!r}'::DOUBLE",
    "float": lambda value: f"'{value!r}'::FLOAT",
    "large_string": string_literal,
    "null": str,
    "string": string_literal,
    **{f"{sign}int{bits}": str for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


def values_literals(rows: pa.Table) -> str | None:
    """Write rows of plain values as the tuples of a VALUES clause; None if that is not exact."""
    types = [str(field.type) for field in rows.schema]
    if not all(type_name in _WRITERS for type_name in types):
        return None
    columns = [column.to_pylist() for column in rows.columns]
    strings = [value for column in columns for value in column if isinstance(value, str)]
    if any(len(string) > _MAX_STRING_LENGTH or "\0" in string for string in strings):
        return None
    written = [
        ["NULL" if value is None else write(value) for value in column]
        for write, column in zip((_WRITERS[name] for name in types), columns, strict=True)
    ]
    return ", ".join(f"({', '.join(row)})" for row in zip(*written, strict=True))
