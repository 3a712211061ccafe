"""Similarity becomes arithmetic over stored vectors, and a stored vector a column.

Owns what the planner knows of an embedding index, how a query becomes a vector, and the rewrite
of what is asked of an index where the nearest rows are not looked for first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

from barbule.errors import ExpressionError, UnsupportedError
from barbule.functions.registry import lookup
from barbule.nodes import FunctionCall, Similarity, StoredVector, VectorLiteral
from barbule.planner.lineage import (
    calls_in,
    each_relation,
    expose,
    hide,
    origin,
    own_values,
    rebuild,
    repoint,
)
from barbule.planner.plan import SCORE, Searched
from barbule.types import Media

if TYPE_CHECKING:
    from barbule.nodes import ManagedTable
    from barbule.planner.rules.rewrites import Scope

__all__ = ["IndexedColumn", "similarity_to_vectors", "vector_of"]


@dataclass(frozen=True)
class IndexedColumn:
    """What the planner knows of an embedding index.

    Attributes
    ----------
    vector
        The name of the hidden column that holds the vectors.
    embeddings
        The kinds of values that it takes beside vectors, and the calls that embed them; that of
        the column comes first.
    ready
        Whether there is a faster way to the nearest live rows than a scan by the database.
    in_memory
        Whether the vectors of the live rows may be kept in memory.
    scanned
        Why the database has to compare the rows where it is not ready, in words.
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
    scanned: str = ""

    @property
    def searched(self) -> Searched:
        """What is told of it when a query cannot be compared with its vectors."""
        return Searched(self.table, self.name, self.metric)


def similarity_to_vectors(root: ops.Relation, scope: Scope) -> ops.Relation:
    """Replace similarity by arithmetic over the stored vectors and the embedded query."""

    def change(node: ops.Relation) -> ops.Relation:
        found = [
            each
            for value in own_values(node)
            for each in calls_in(value, (Similarity, StoredVector))
        ]
        return _with_vectors(node, list(dict.fromkeys(found)), scope) if found else node

    return each_relation(root, change)


def _with_vectors(node: Any, found: list[Any], scope: Scope) -> ops.Relation:
    if not hasattr(node, "parent"):
        raise UnsupportedError(
            f"similarity cannot be used inside {type(node).__name__}.",
            hint="Compute it with mutate() first.",
        )
    parent = node.parent
    named: list[tuple[Any, IndexedColumn, str | None]] = []
    replaced: dict[ops.Node, ops.Node] = {}
    scores: dict[Any, str] = {}
    for asked in found:
        place = _place(asked)
        index = scope.index_of(place[0], place[1], asked.index)
        score = _score_found(asked, index, parent, scope)
        if score is not None:
            parent, scores[asked] = score
            continue
        above = expose(parent, place[0], index.vector, asked.arg)
        if above is not None:
            parent = above[0]
        named.append((asked, index, above and above[1]))
    replaced |= {asked: ops.Field(parent, name) for asked, name in scores.items()}
    for asked, index, column in named:
        # Single rows may not be handed on: the values are embedded again then, by the ledger.
        arg = repoint(asked.arg, node.parent, parent)
        left = ops.Field(parent, column) if column else vector_of(index, arg)
        replaced[asked] = left
        if isinstance(asked, Similarity):
            right = vector_of(index, repoint(asked.query, node.parent, parent))
            if not right.relations and not _calls_within(right):
                right = scope.constant(right, index)
            replaced[asked] = scope.similarity(left, right, index.metric)
            scope.note(_why_scanned(node, asked, index))
    rebuilt = rebuild(node, parent, lambda value: value.replace(replaced, filter=ops.Value))
    return hide(rebuilt, node.schema.names)


def _calls_within(value: ops.Value) -> bool:
    """Whether a value is made of what a function returns, beside being that itself."""
    return any(call != value for call in calls_in(value))


def _place(asked: Any) -> tuple[ManagedTable, str]:
    place = origin(asked.arg)
    if place is not None:
        return place
    what = "similarity is" if isinstance(asked, Similarity) else "a stored vector is"
    verb = "similarity" if isinstance(asked, Similarity) else "embedding"
    raise ExpressionError(
        f"{what} asked of a value that is no column of a table.",
        hint=f"Ask it of a column with an embedding index: t.text.{verb}(...).",
    )


def _score_found(
    asked: Any, index: IndexedColumn, parent: ops.Relation, scope: Scope
) -> tuple[ops.Relation, str] | None:
    """Show the score that the search for the nearest rows gave already, if there was one."""
    if not isinstance(asked, Similarity):
        return None
    known = scope.scored.get((index.table_id, index.name, vector_of(index, asked.query)))
    place = _place(asked)
    return (known and expose(parent, place[0], SCORE, asked.arg, known)) or None


def _why_scanned(node: ops.Relation, asked: Similarity, index: IndexedColumn) -> str:
    """Say why every row is compared by the database."""
    if index.scanned:
        reason = index.scanned
    elif asked.query.relations:
        reason = "each row is compared with a value of its own"
    elif not isinstance(node, ops.Sort):
        reason = "all rows are asked for; order_by(..., asc=False).limit(k) looks for the nearest"
    else:
        reason = "the rows that are sorted, or their number, are not known beforehand"
    return f"Similarity by the index {index.name!r}: compared exactly by the database: {reason}"


def vector_of(index: IndexedColumn, query: ops.Value) -> ops.Value:
    """Make the vector of a query: itself, or the embedding of its text or file.

    Raises
    ------
    ExpressionError
        When the index takes no such query.
    """
    if isinstance(query.dtype, dt.Array):
        return _checked_vector(index, query)
    call = next((call for kind, call in index.embeddings if _alike(kind, query.dtype)), None)
    if call is None and index.embeddings and _takes_anything(index.embeddings[0][1]):
        call = index.embeddings[0][1]
    if call is None:
        raise _not_taken(index, query.dtype)
    return call.copy(values=(query,), dtype=index.kind)


def _alike(kind: dt.DataType, other: dt.DataType) -> bool:
    """Whether values of two types are of one modality."""
    if isinstance(kind, Media) or isinstance(other, Media):
        return type(kind) is type(other)
    return kind.is_string() == other.is_string()


def _takes_anything(call: FunctionCall) -> bool:
    """Whether a function of a user's leaves open what it takes, as one of texts and images does."""
    function = lookup(call.function, call.version)
    free = [each for each in function.parameters if each.name not in function.fixed]
    takes = free[0].kind if free else dt.string
    return function.kind != "model" and (takes is None or takes.is_json())


def _not_taken(index: IndexedColumn, kind: dt.DataType) -> ExpressionError:
    given = _modality(kind)
    if not index.embeddings:
        return ExpressionError(
            f"the index {index.name!r} is over vectors and cannot embed {given}.",
            hint="Search it with a vector, or add it with string_embed= or image_embed=.",
        )
    takes = " and ".join(f"{_modality(each).split(' ', 1)[1]}s" for each, _ in index.embeddings)
    more = {"a text": "string_embed=", "an image": "image_embed="}.get(given)
    hint = f"Search it with what it takes, or with a vector{'.' if more is None else ''}"
    if more is not None:
        hint += f"; or add it with {more} too, a function into the same vectors."
    return ExpressionError(f"the index {index.name!r} takes {takes}, not {given}.", hint=hint)


def _modality(kind: dt.DataType) -> str:
    words = {"Image": "an image", "Audio": "a sound", "Video": "a video", "Document": "a document"}
    if isinstance(kind, Media):
        return words.get(type(kind).__name__, "a file")
    return "a text" if kind.is_string() else f"a {kind}"


def _checked_vector(index: IndexedColumn, query: ops.Value) -> ops.Value:
    if not isinstance(query, VectorLiteral):
        return ops.Cast(query, index.kind)
    length = getattr(index.kind, "length", None)
    if length and query.length != length:
        raise ExpressionError(
            f"the query vector has {query.length} numbers, the index {index.name!r} has {length}.",
            hint="Use the embedding that the index uses.",
        )
    if index.metric == "cosine" and not query.numbers().any():
        raise ExpressionError(
            "the query vector is zero and has no cosine.",
            hint="Search with another vector, or by an index with the metric 'l2' or 'ip'.",
        )
    return query
