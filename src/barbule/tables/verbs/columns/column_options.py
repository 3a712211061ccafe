"""Options of data columns: defaults, and when their media are validated."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from barbule import types
from barbule.catalog import codec
from barbule.catalog.records import Column
from barbule.errors import (
    ConfigurationError,
    SchemaError,
    with_article,
)
from barbule.tables.sources import read_rows
from barbule.types import holds_media

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    import ibis.expr.datatypes as dt
    import ibis.expr.schema as sch

    from barbule.executor.engine import Engine

__all__ = ["check_validation", "data_column", "stored_defaults"]


def stored_defaults(
    engine: Engine,
    schema: sch.Schema,
    defaults: Mapping[str, Any] | None,
    table: str,
    class_defaults: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """Check the defaults of columns and return their stored form.

    Parameters
    ----------
    class_defaults
        Those of the class whose fields are the columns.
    """
    stored = {}
    for name, value in {
        **(class_defaults or {}),
        **_by_column(defaults, "defaults", table),
    }.items():
        if name not in schema:
            raise SchemaError(
                "there is a default for a column that does not exist.",
                table=table,
                column=name,
                hint=f"Columns are {', '.join(schema.names)}.",
            )
        single_schema = type(schema)({name: schema[name]})
        read_rows({name: value}, single_schema, table, engine.library)
        stored[name] = codec.dump_value(value.value if isinstance(value, enum.Enum) else value)
    return stored


def _by_column(options: object, argument: str, table: str) -> dict[str, Any]:
    if options is None or isinstance(options, Mapping):
        return dict(options or {})
    raise ConfigurationError(
        f"{argument} must be a mapping of columns to values, not "
        f"{with_article(type(options).__name__)}.",
        table=table,
        value=options,
        hint=f'For example {argument}={{"name": ...}}.',
    )


def data_column(
    column_id: int,
    name: str,
    dtype: dt.DataType,
    defaults: Mapping[str, str],
    validated: AbstractSet[str],
    choices: Mapping[str, tuple[Any, ...]],
) -> Column:
    """Return the record of a data column, with its options by name."""
    return Column(
        id=column_id,
        name=name,
        dtype=dtype,
        default=defaults.get(name),
        fallible=types.declaration(dtype).is_media,
        validated=name in validated,
        choices=choices.get(name, ()),
    )


def check_validation(
    engine: Engine, schema: sch.Schema, validation: str | Mapping[str, str] | None, table: str
) -> frozenset[str]:
    """Return the columns whose media are validated on write, including columns without media."""
    default = validation if isinstance(validation, str) else engine.library.validation
    by_column = (
        {} if isinstance(validation, str) else _by_column(validation, "media_validation", table)
    )
    for name, value in {"": default, **by_column}.items():
        if value not in {"on_write", "on_read"}:
            raise ConfigurationError(
                "media_validation must be 'on_write' or 'on_read'.", table=table, value=value
            )
        if name and (name not in schema or not holds_media(schema[name])):
            raise SchemaError(
                "media_validation applies only to media columns.",
                table=table,
                column=name,
                hint="Pass one value for all, or name media columns.",
            )
    return frozenset(
        name
        for name, dtype in schema.items()
        if not holds_media(dtype) or by_column.get(name, default) == "on_write"
    )
