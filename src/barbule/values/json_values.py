"""Plain values as Json.

Owns the conversion of values of other types to Json, with operations of Ibis that all databases
have: a cast of a string to Json would parse it.
"""

from __future__ import annotations

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

from barbule.errors import ExpressionError
from barbule.json_codec import check_keys, to_ascii

__all__ = ["as_json", "json_constant"]

_STRUCT_FIELD = "value"


def json_constant(value: object, kind: dt.DataType = dt.json) -> ops.Literal:
    """Return a literal of type Json for a Python value."""
    try:
        check_keys(value)
    except ValueError as error:
        raise ExpressionError(f"{error}.", value=value, hint="Use strings as keys.") from error
    return ops.Literal(to_ascii(value), kind)


def as_json(value: ops.Value, kind: dt.DataType = dt.json) -> ops.Value:
    """Convert a value to Json: a string becomes a JSON string, a missing one stays missing.

    Parameters
    ----------
    kind
        The type of Json: the storage form, or the column type.

    Examples
    --------
    >>> import ibis
    >>> as_json(ibis.literal("de").op()).value
    '"de"'
    """
    if value.dtype.is_json() or value.dtype.is_null():
        return value
    if isinstance(value, ops.Literal) and isinstance(value.value, str | bool | int | float):
        return json_constant(value.value, kind)
    # A struct is cast field by field; an item that is JSON null is missing.
    struct = ops.StructColumn(names=(_STRUCT_FIELD,), values=(value,))
    return ops.JSONGetItem(ops.Cast(struct, kind), _STRUCT_FIELD)
