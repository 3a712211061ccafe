"""How a query becomes a vector for the search of an embedding index.

Owns the planner's view of an index, and which queries it accepts.
"""

from __future__ import annotations

from dataclasses import dataclass

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

from barbule.errors import ExpressionError, with_article
from barbule.functions.registry import lookup
from barbule.nodes import FunctionCall, VectorLiteral
from barbule.planner.stages import SearchedIndex
from barbule.types import declaration

__all__ = ["IndexedColumn", "vector_of"]


@dataclass(frozen=True)
class IndexedColumn:
    """The planner's view of an embedding index.

    Attributes
    ----------
    vector
        The name of the hidden column that holds the vectors.
    embeddings
        The types of values that it accepts in addition to vectors, and the calls that embed them;
        that of the column comes first.
    ready
        Whether the latest rows are read, which may be in memory or in an index.
    in_memory
        Whether the vectors of the live rows may be cached in memory.
    scan_reason
        The reason why the database has to compare the rows if it is not ready.
    """

    table_id: int
    table: str
    name: str
    vector: str
    kind: dt.DataType
    metric: str
    embeddings: tuple[tuple[dt.DataType, FunctionCall], ...]
    ready: bool
    in_memory: bool = False
    scan_reason: str = ""

    @property
    def searched_index(self) -> SearchedIndex:
        """The index as errors name it if a query does not fit its vectors."""
        return SearchedIndex(self.table, self.name, self.metric)


def vector_of(index: IndexedColumn, query: ops.Value) -> ops.Value:
    """Return the vector of a query: itself, or the embedding of its string or file.

    Raises
    ------
    ExpressionError
        If the index does not accept such a query.
    """
    if isinstance(query.dtype, dt.Array):
        return _checked_vector(index, query)
    calls = (call for kind, call in index.embeddings if _same_modality(kind, query.dtype))
    call = next(calls, None)
    if call is None and index.embeddings and _takes_any_type(index.embeddings[0][1]):
        call = index.embeddings[0][1]
    if call is None:
        raise _type_error(index, query.dtype)
    return call.copy(values=(query,), dtype=index.kind)


def _same_modality(kind: dt.DataType, other: dt.DataType) -> bool:
    return declaration(kind).modality == declaration(other).modality


def _takes_any_type(call: FunctionCall) -> bool:
    """Whether a user's function does not declare its parameter type, or takes several types."""
    function = lookup(call.function, call.version)
    parameters = [
        parameter
        for parameter in function.parameters
        if parameter.name not in function.fixed_arguments
    ]
    kind = parameters[0].dtype if parameters else dt.string
    return function.kind != "model" and (kind is None or kind.is_json())


def _type_error(index: IndexedColumn, kind: dt.DataType) -> ExpressionError:
    modality = _modality(kind)
    if not index.embeddings:
        return ExpressionError(
            f"the index {index.name!r} is on vectors and cannot embed {modality}.",
            hint="Search with a vector, or create the index with string_embed= or image_embed=.",
        )
    nouns = (_modality(embedded).split(" ", 1)[1] for embedded, _ in index.embeddings)
    accepted = " and ".join(f"{noun}s" for noun in nouns)
    parameter = {"a string": "string_embed=", "an image": "image_embed="}.get(modality)
    hint = f"Search with a value that it takes, or with a vector{'.' if parameter is None else ''}"
    if parameter is not None:
        hint += (
            f"; or create the index with {parameter} as well, a function that returns "
            "vectors of the same space."
        )
    return ExpressionError(f"the index {index.name!r} takes {accepted}, not {modality}.", hint=hint)


def _modality(kind: dt.DataType) -> str:
    declared = declaration(kind)
    if declared.modality == "text":
        return "a string"
    return declared.noun or with_article(str(kind))


def _checked_vector(index: IndexedColumn, query: ops.Value) -> ops.Value:
    if not isinstance(query, VectorLiteral):
        return ops.Cast(query, index.kind)
    length = getattr(index.kind, "length", None)
    if length and query.length != length:
        raise ExpressionError(
            f"the query vector has {query.length} numbers, the index {index.name!r} has {length}.",
            hint="Use the embedding function of the index.",
        )
    if index.metric == "cosine" and not query.numbers().any():
        raise ExpressionError(
            "the query vector is zero and has no cosine distance.",
            hint="Search with another vector, or use an index with the metric 'l2' or 'ip'.",
        )
    return query
