"""JSON columns in Arrow schemas, marked by field metadata.

The metadata is that of Arrow's own JSON extension type; the values stay strings for readers that do
not know it. `types.arrow` reads the mark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis.expr.datatypes as dt

from barbule.types.declarations import holds_json

if TYPE_CHECKING:
    import ibis.expr.schema as sch
    import pyarrow as pa

__all__ = ["is_marked_json", "mark_json", "mark_json_field", "mark_json_schema"]

_NAME, _JSON = b"ARROW:extension:name", b"arrow.json"
_MARK = {_NAME: _JSON, b"ARROW:extension:metadata": b""}


def is_marked_json(field: pa.Field) -> bool:
    """Whether an Arrow field is marked as Json.

    Examples
    --------
    >>> import pyarrow as pa
    >>> is_marked_json(pa.field("j", pa.string(), metadata={"ARROW:extension:name": "arrow.json"}))
    True
    """
    named = getattr(field.type, "extension_name", None) == _JSON.decode()
    return named or bool((field.metadata or {}).get(_NAME) == _JSON)


def mark_json_schema(schema: pa.Schema, kinds: sch.Schema) -> pa.Schema:
    """Mark the Json fields of an Arrow schema, nested ones too.

    Parameters
    ----------
    kinds
        The schema of the columns as users see them, in the same order.
    """
    import pyarrow as pa

    fields = [mark_json_field(field, kind) for field, kind in zip(schema, kinds.types, strict=True)]
    return pa.schema(fields, schema.metadata)


def mark_json(rows: pa.Table, kinds: sch.Schema) -> pa.Table:
    """Mark the Json columns of a table without copying values."""
    if not any(map(holds_json, kinds.types)):
        return rows
    return rows.cast(mark_json_schema(rows.schema, kinds))


def mark_json_field(field: pa.Field, kind: dt.DataType) -> pa.Field:
    """Mark an Arrow field where it is Json, and the fields nested in it."""
    import pyarrow as pa
    import pyarrow.types as pat

    if not holds_json(kind):
        return field
    if isinstance(kind, dt.JSON):
        return (
            field.with_metadata({**(field.metadata or {}), **_MARK}) if _is_text(field) else field
        )
    arrow_type = field.type
    if isinstance(kind, dt.Array):
        inner = mark_json_field(arrow_type.value_field, kind.value_type)
        if pat.is_fixed_size_list(arrow_type):
            return field.with_type(pa.list_(inner, arrow_type.list_size))
        return field.with_type(
            pa.large_list(inner) if pat.is_large_list(arrow_type) else pa.list_(inner)
        )
    if isinstance(kind, dt.Struct):
        inner_fields = [arrow_type.field(index) for index in range(arrow_type.num_fields)]
        return field.with_type(
            pa.struct(
                [
                    mark_json_field(inner_field, part)
                    for inner_field, part in zip(inner_fields, kind.types, strict=True)
                ]
            )
        )
    return field.with_type(
        pa.map_(arrow_type.key_field, mark_json_field(arrow_type.item_field, kind.value_type))
    )


def _is_text(field: pa.Field) -> bool:
    import pyarrow.types as pat

    return bool(pat.is_string(field.type) or pat.is_large_string(field.type))
