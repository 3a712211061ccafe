"""The functions that embed the column of an index, and the queries over it.

Owns what each parameter of `add_embedding_index` means for a column of each type, and the checks
that a function fits the column. Writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.datatypes as dt

from barbule import types
from barbule.catalog import codec
from barbule.errors import ExpressionError
from barbule.functions.function import Function
from barbule.functions.parameters.stateful import Stateful
from barbule.nodes import FunctionCall
from barbule.types import declaration
from barbule.types.declarations import is_vector

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.operations as ops
    import ibis.expr.types as ir

__all__ = ["Embedding", "resolve_embedding"]

# The type of values that a parameter's function takes; `embedding` takes the column's.
_ROLES: dict[str, dt.DataType] = {"string_embed": dt.string, "image_embed": types.Image()}


@dataclass(frozen=True)
class Embedding:
    """The functions that return the vectors of an index.

    Attributes
    ----------
    value
        The stored value of each row; None if the column holds vectors.
    function
        The function that computes it.
    queries
        The stored form of the calls for queries of other types than the column's.
    """

    value: ops.Value | None
    function: Function | None
    queries: tuple[str, ...]


def resolve_embedding(table: ir.Table, column: str, functions: Mapping[str, Function]) -> Embedding:
    """Resolve the parameters of an index to calls for its column and its queries.

    Raises
    ------
    ExpressionError
        If the column cannot be embedded, or the functions do not fit it or each other.
    """
    dtype = table[column].type()
    location: dict[str, Any] = {"table": table.get_name(), "column": column}
    vectors = _is_vector(dtype) or _is_float64_vector(dtype)
    if not (declaration(dtype).modality or vectors):
        raise ExpressionError(
            f"a column of type {dtype} cannot be indexed.",
            **location,
            hint="Index strings, images, documents, audio, videos or vectors of a known length "
            "(bb.Vector(n)); convert other values to strings first, with a computed column.",
        )
    own_roles = [
        role for role in functions if role == "embedding" or _is_same_type(_ROLES[role], dtype)
    ]
    if len(own_roles) > 1:
        raise ExpressionError(
            f"{' and '.join(f'{role}=' for role in own_roles)} both embed the values of the "
            "column, but an index has one embedding function.",
            **location,
            hint="Pass one of them, or add two indexes.",
        )
    if not own_roles and not vectors:
        raise ExpressionError(
            f"a column of type {dtype} needs an embedding function for its values.",
            **location,
            hint=_hint(dtype),
        )
    calls = {
        role: _embedding_call(function, _argument(table, column, role, own_roles))
        for role, function in functions.items()
    }
    for role, call in calls.items():
        _check_returns_vectors(call, functions[role], **location)
    value = calls[own_roles[0]] if own_roles else None
    if value is None and _is_float64_vector(dtype):
        value = table[column].cast(dtype.copy(value_type=dt.float32)).op()  # as indexes have them
    vector_length = _vector_length(value.dtype if value is not None else dtype)
    for role, call in calls.items():
        if _vector_length(call.dtype) != vector_length:
            raise ExpressionError(
                f"{role}= returns vectors of length {_vector_length(call.dtype)}, but the index "
                f"has vectors of length {vector_length}.",
                **location,
                hint="Queries must be embedded into the same space as the values.",
            )
    query_calls = [codec.dump(call) for role, call in calls.items() if role not in own_roles]
    return Embedding(value, functions[own_roles[0]] if own_roles else None, tuple(query_calls))


def _argument(table: ir.Table, column: str, role: str, own: list[str]) -> ir.Value:
    return table[column] if role in own else ibis.literal(None, _ROLES[role])


def _is_same_type(dtype: dt.DataType, other: dt.DataType) -> bool:
    modality = declaration(dtype).modality
    return modality is not None and modality == declaration(other).modality


def _is_vector(dtype: dt.DataType) -> bool:
    return is_vector(dtype) and dtype.value_type.is_float32() and dtype.length > 0


def _is_float64_vector(dtype: dt.DataType) -> bool:
    """Whether values are vectors of float64, as NumPy creates them."""
    return is_vector(dtype) and dtype.value_type.is_float64() and dtype.length > 0


def _vector_length(dtype: dt.DataType) -> int | None:
    return getattr(dtype, "length", None)


def _hint(dtype: dt.DataType) -> str:
    declared = declaration(dtype)
    if declared.modality == "image":
        return "Pass embedding= or image_embed=; string_embed= embeds queries only."
    if declared.modality == "document":
        return (
            "Pass embedding= a function that takes a document; or split the documents into texts "
            "with bb.functions.DocumentSplitter and index those."
        )
    if declared.is_media:
        return "Pass embedding= a function that takes such a file."
    return "Pass embedding= or string_embed=; image_embed= embeds queries only."


def _embedding_call(function: object, value: ir.Value) -> FunctionCall:
    """Return the call that embeds a value; the ledger stores its answers."""
    if not isinstance(function, Function):
        hint = (
            "Decorate it with @bb.udf(batch_size=32) and annotate its result as list[bb.Vector(n)]."
        )
        if isinstance(function, Stateful):
            hint = (
                "Create an instance first: pass MyEmbedding(...) with the arguments of "
                "its __init__."
            )
        raise ExpressionError("an embedding must be a barbule function.", value=function, hint=hint)
    free_parameters = [
        parameter
        for parameter in function.parameters
        if parameter.name not in function.fixed_arguments
    ]
    parameter_dtype = free_parameters[0].dtype if free_parameters else None
    if parameter_dtype is not None and not _accepts(parameter_dtype, value.type()):
        raise ExpressionError(
            f"{function.name} takes {parameter_dtype}, not {value.type()}.",
            hint="Pass a function whose first parameter is annotated with that type.",
        )
    return function.of(value, cached=True).op()


def _accepts(parameter_dtype: dt.DataType, dtype: dt.DataType) -> bool:
    if parameter_dtype.is_json():  # annotated as Any
        return True
    if _is_same_type(parameter_dtype, dtype) or (
        type(parameter_dtype) is types.Media and declaration(dtype).is_media
    ):
        return True
    return isinstance(parameter_dtype, dt.Array) and isinstance(dtype, dt.Array)


def _check_returns_vectors(call: FunctionCall, function: Function, **location: Any) -> None:
    if isinstance(call, FunctionCall) and _is_vector(call.dtype):
        return
    raise ExpressionError(
        f"{function.name} returns {call.dtype}, not vectors of a known length.",
        **location,
        hint="Annotate its result as bb.Vector(n), in a batch function list[bb.Vector(n)].",
    )
