"""Which functions make the vectors of an index, and those of what is searched for.

Owns what each parameter of `add_embedding_index` means for a column of each type, and the checks
that a function fits. Changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.datatypes as dt

from barbule import types
from barbule.catalog import codec
from barbule.errors import ExpressionError
from barbule.functions.parameters.stateful import Stateful
from barbule.functions.registry import Function
from barbule.nodes import FunctionCall

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.operations as ops
    import ibis.expr.types as ir

__all__ = ["Embedding", "embedded"]

# The kind of values for which a parameter gives the function; `embedding` is for the column's.
_ROLES: dict[str, dt.DataType] = {"string_embed": dt.string, "image_embed": types.Image()}


@dataclass(frozen=True)
class Embedding:
    """How an index gets its vectors.

    Attributes
    ----------
    value
        What is kept of each row; None where the column holds vectors.
    function
        The function that makes it.
    queries
        The stored form of the calls for queries of other kinds than the column's.
    """

    value: ops.Value | None
    function: Function | None
    queries: tuple[str, ...]


def embedded(table: ir.Table, column: str, functions: Mapping[str, Function]) -> Embedding:
    """Tell from the parameters how a column is embedded, and what is searched for.

    Raises
    ------
    ExpressionError
        When the column cannot be embedded, or the functions do not fit it or one another.
    """
    kind = table[column].type()
    place: dict[str, Any] = {"table": table.get_name(), "column": column}
    vectors = _is_vectors(kind) or _is_wide(kind)
    if not (kind.is_string() or vectors):
        raise ExpressionError(
            f"a column of {kind} cannot be indexed.",
            **place,
            hint="Index texts, images, documents, sounds, videos or vectors of a known length "
            "(bb.Vector(n)); of other values make a text first, by a computed column.",
        )
    own = [role for role in functions if role == "embedding" or _is_of(_ROLES[role], kind)]
    if len(own) > 1:
        raise ExpressionError(
            f"{' and '.join(f'{role}=' for role in own)} both embed the values of the column: an "
            "index has one embedding function for them.",
            **place,
            hint="Give one of them, or add two indexes.",
        )
    if not own and not vectors:
        raise ExpressionError(
            f"a column of {kind} needs an embedding of its values.", **place, hint=_hint(kind)
        )
    calls = {
        role: _call(each, _argument(table, column, role, own)) for role, each in functions.items()
    }
    for role, call in calls.items():
        _check(call, functions[role], **place)
    value = calls[own[0]] if own else None
    if value is None and _is_wide(kind):
        value = table[column].cast(kind.copy(value_type=dt.float32)).op()  # as indexes have them
    length = _length(value.dtype if value is not None else kind)
    for role, call in calls.items():
        if _length(call.dtype) != length:
            raise ExpressionError(
                f"{role}= gives vectors of {_length(call.dtype)} numbers, the index has {length}.",
                **place,
                hint="What is searched for has to be embedded into the same vectors as the values.",
            )
    others = [codec.dump(call) for role, call in calls.items() if role not in own]
    return Embedding(value, functions[own[0]] if own else None, tuple(others))


def _argument(table: ir.Table, column: str, role: str, own: list[str]) -> ir.Value:
    return table[column] if role in own else ibis.literal(None, _ROLES[role])


def _is_of(kind: dt.DataType, other: dt.DataType) -> bool:
    if isinstance(kind, types.Media) or isinstance(other, types.Media):
        return type(kind) is type(other)
    return kind.is_string() and other.is_string()


def _is_vectors(kind: dt.DataType) -> bool:
    return isinstance(kind, dt.Array) and kind.value_type.is_float32() and bool(_length(kind))


def _is_wide(kind: dt.DataType) -> bool:
    """Whether values are vectors of float64, as NumPy makes them."""
    return isinstance(kind, dt.Array) and kind.value_type.is_float64() and bool(_length(kind))


def _length(kind: dt.DataType) -> int | None:
    return getattr(kind, "length", None)


def _hint(kind: dt.DataType) -> str:
    if isinstance(kind, types.Image):
        return "Give embedding= or image_embed=; string_embed= is for what is searched for."
    if isinstance(kind, types.Document):
        return (
            "Give embedding= a function of a document; or split it into texts by "
            "bb.functions.DocumentSplitter and index those."
        )
    if isinstance(kind, types.Media):
        return "Give embedding= a function of such a file."
    return "Give embedding= or string_embed=; image_embed= is for what is searched for."


def _call(function: object, value: ir.Value) -> FunctionCall:
    """Make the call that embeds a value; its answers are kept in the ledger."""
    if not isinstance(function, Function):
        hint = (
            "Decorate it with @bb.udf(batch_size=32) and annotate its result as list[bb.Vector(n)]."
        )
        if isinstance(function, Stateful):
            hint = "Make it first: give MyEmbedding(...) with the arguments of its __init__."
        raise ExpressionError("an embedding is a function of barbule.", value=function, hint=hint)
    free = [each for each in function.parameters if each.name not in function.fixed]
    takes = free[0].kind if free else None
    if takes is not None and not _fits(takes, value.type()):
        raise ExpressionError(
            f"{function.name} takes {takes}, not {value.type()}.",
            hint="Give a function whose first parameter is annotated as that type.",
        )
    return function.of(value, cached=True).op()


def _fits(takes: dt.DataType, kind: dt.DataType) -> bool:
    if takes.is_json():  # annotated as Any
        return True
    if _is_of(takes, kind) or (type(takes) is types.Media and isinstance(kind, types.Media)):
        return True
    return isinstance(takes, dt.Array) and isinstance(kind, dt.Array)


def _check(call: FunctionCall, function: Function, **place: Any) -> None:
    if isinstance(call, FunctionCall) and _is_vectors(call.dtype):
        return
    raise ExpressionError(
        f"{function.name} gives {call.dtype}, not vectors of a known length.",
        **place,
        hint="Annotate its result as bb.Vector(n), in a batch function list[bb.Vector(n)].",
    )
