"""Data types from Arrow types.

Knows which encodings hold the same values (views, run-end encoding, dictionaries), and what
extension types mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis.expr.datatypes as dt

from barbule.types.data_types import Json
from barbule.types.json_marks import is_marked_json

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["of_arrow", "of_arrow_field"]


def of_arrow(kind: pa.DataType) -> dt.DataType:
    """Return the data type of an Arrow type.

    Raises
    ------
    Exception
        As Ibis raises it for an unknown type.

    Examples
    --------
    >>> import pyarrow as pa
    >>> str(of_arrow(pa.list_view(pa.string_view()))), str(of_arrow(pa.uuid()))
    ('array<string>', 'uuid')
    """
    import pyarrow.types as pat

    if hasattr(kind, "extension_name"):
        return _of_extension(kind)
    if pat.is_string_view(kind):
        return dt.string
    if pat.is_binary_view(kind) or pat.is_fixed_size_binary(kind):
        return dt.binary
    if pat.is_run_end_encoded(kind) or pat.is_dictionary(kind):
        return of_arrow(kind.value_type)
    if pat.is_fixed_size_list(kind):
        return dt.Array(of_arrow_field(kind.value_field), length=kind.list_size)
    if _is_list(kind):
        return dt.Array(of_arrow_field(kind.value_field))
    if pat.is_struct(kind):
        fields = [kind.field(index) for index in range(kind.num_fields)]
        return dt.Struct({field.name: of_arrow_field(field) for field in fields})
    if pat.is_map(kind):
        return dt.Map(of_arrow_field(kind.key_field), of_arrow_field(kind.item_field))
    return dt.dtype(kind)


def _is_list(kind: pa.DataType) -> bool:
    import pyarrow.types as pat

    tests = (pat.is_list, pat.is_large_list, pat.is_list_view, pat.is_large_list_view)
    return any(test(kind) for test in tests)


def of_arrow_field(field: pa.Field) -> dt.DataType:
    """Return the data type of an Arrow field, Json where its metadata say so.

    Raises
    ------
    Exception
        As Ibis raises it for an unknown type.
    """
    kind = of_arrow(field.type)
    if isinstance(kind, dt.String) and is_marked_json(field):
        kind = Json()
    return kind.copy(nullable=field.nullable)


def _of_extension(kind: pa.ExtensionType) -> dt.DataType:
    """Return the data type of an extension type; that of its storage for unknown ones."""
    if kind.extension_name == "arrow.json":
        return Json()
    if kind.extension_name == "arrow.uuid":
        return dt.uuid
    if kind.extension_name == "arrow.bool8":
        return dt.boolean
    if kind.extension_name == "arrow.fixed_shape_tensor" and len(kind.shape) == 1:
        return dt.Array(of_arrow(kind.value_type), length=kind.shape[0])
    return of_arrow(kind.storage_type)
