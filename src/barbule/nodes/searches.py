"""The nodes of searches: similarity, stored vectors, similarity joins and scores.

Owns the inputs of each node. The planner decides how they are computed.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any, Optional

import ibis.expr.datashape as ds
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.rules as rlz
import ibis.expr.schema as sch
from ibis.common.annotations import attribute

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "KeywordScore",
    "NearestRows",
    "RerankedScore",
    "RowRank",
    "ScoreRank",
    "Similarity",
    "StoredVector",
    "TableScore",
    "VectorLiteral",
]

_MAX_NAME_CHARACTERS = 80


class Similarity(ops.Value):
    """The similarity of the values of an indexed column to a query (larger is nearer).

    Parameters
    ----------
    arg
        The indexed column, or a value derived from it without change.
    query
        A string, an image reference or a vector: a literal or a column.
    index
        The name of the index; None if the column has only one.
    """

    arg: ops.Value
    query: ops.Value
    index: Optional[str] = None

    dtype = dt.float64

    @attribute
    def shape(self) -> ds.DataShape:
        """Columnar if the column or the query is columnar."""
        return rlz.highest_precedence_shape((self.arg, self.query))

    @attribute
    def name(self) -> str:
        """Name a column that has no explicit name, without the content of an image."""
        index = "" if self.index is None else f", {self.index!r}"
        return f"Similarity({self.arg.name}, {_query_name(self.query)}{index})"


def _query_name(query: ops.Value) -> str:
    if not isinstance(query, ops.Literal) or not isinstance(query.value, str):
        return str(query.name)
    if query.value.startswith("data:") and ";base64," in query.value:
        kind = query.value.removeprefix("data:").partition(";")[0]
        return f"{kind} {_digest(query.value)}"
    return _shortened(repr(query.value))


def _shortened(name: str) -> str:
    """Shorten a long name; a digest of the full name keeps it distinct."""
    if len(name) <= _MAX_NAME_CHARACTERS:
        return name
    return f"{name[:_MAX_NAME_CHARACTERS]}… {_digest(name)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


class StoredVector(ops.Value):
    """The vector of a value in an embedding index.

    Parameters
    ----------
    arg
        The indexed column, or a value derived from it without change.
    dtype
        The type of the vectors.
    index
        The name of the index; None if the column has only one.
    """

    arg: ops.Value
    dtype: dt.DataType
    index: Optional[str] = None

    shape = rlz.shape_like("arg")
    name = "embedding"


class NearestRows(ops.Relation):
    """For each row of one relation, the most similar rows of another.

    Parameters
    ----------
    left
        The rows with the queries.
    right
        The rows that are searched.
    arg
        The indexed column of `right`.
    query
        The query: a value over `left`.
    k
        The number of rows found for each query.
    score
        The name of the column with the similarity.
    """

    left: ops.Relation
    right: ops.Relation
    arg: ops.Value
    query: ops.Value
    k: int
    index: Optional[str] = None
    score: str = "score"

    @attribute
    def values(self) -> dict[str, ops.Value]:
        """Nothing: each column belongs to another relation."""
        return {}

    def names(self) -> tuple[str, ...]:
        """Return the names of `right`'s columns; those that `left` also has end with `_right`."""
        left_names = {*self.left.schema.names, self.score}
        return tuple(
            f"{name}_right" if name in left_names else name for name in self.right.schema.names
        )

    @attribute
    def schema(self) -> sch.Schema:
        """Return the columns of both sides and the score."""
        right = dict(zip(self.names(), self.right.schema.types, strict=True))
        return sch.Schema({**self.left.schema, **right, self.score: dt.float64})


class VectorLiteral(ops.Value):
    """A constant vector as a single node: a literal would have a node for each number.

    Parameters
    ----------
    data
        The numbers as float32, in base64.
    """

    data: str
    length: int

    shape = ds.scalar

    @property
    def dtype(self) -> dt.DataType:
        """A vector of this length."""
        return dt.Array(dt.float32, length=self.length)

    @attribute
    def name(self) -> str:
        """Return a name that is unique to this vector."""
        return f"vector {_digest(self.data)}"

    def numbers(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Return the numbers as a NumPy array."""
        import numpy as np

        return np.frombuffer(base64.b64decode(self.data), np.float32)


class KeywordScore(ops.Value):
    """The BM25 score of the texts of a column for the words of a query; 0 if no word occurs.

    Parameters
    ----------
    arg
        The column, or a value derived from it without change.
    query
        The query.
    """

    arg: ops.Value
    query: str

    dtype = dt.float64
    shape = rlz.shape_like("arg")

    @attribute
    def name(self) -> str:
        """Name a column that has no explicit name."""
        return f"KeywordScore({self.arg.name}, {_shortened(repr(self.query))})"


class _Rank(ops.Value):
    """The rank of a row, from 0, in the order of a score.

    Parameters
    ----------
    arg
        The score; larger is better.
    """

    arg: ops.Value

    dtype = dt.int64
    shape = rlz.shape_like("arg")


class ScoreRank(_Rank):
    """The rank of a row, from 0, in the order of a score; rows without a score share the last rank.

    It occurs inside a `TableScore` and becomes a window when it is planned: Ibis' `over` and
    `group_by` apply their own frame to all windows that they find.
    """


class RowRank(_Rank):
    """The rank of a row, from 0, among the rows of a query; no two rows share one.

    It occurs inside a `RerankedScore`. Rows with the same score are in the order of their row ids,
    and those without a score come last.
    """


class _ScoreOfRows(ops.Value):
    """A score that is computed over several rows at once.

    Parameters
    ----------
    arg
        The scored column, or a value derived from it without change.
    value
        The score, which reads no other column.
    """

    arg: ops.Value
    value: ops.Value

    dtype = dt.float64
    shape = rlz.shape_like("arg")

    @attribute
    def name(self) -> str:
        """Name a column that has no explicit name, with a short description of the score."""
        return _shortened(f"{type(self).__name__}({self.arg.name}, {self.value.name})")


class TableScore(_ScoreOfRows):
    """A score that is computed over all rows of a table, whichever query reads it."""


class RerankedScore(_ScoreOfRows):
    """A score of the best rows of the query that reads the score."""
