"""The methods of all columns of managed tables, in addition to those of their type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from barbule import nodes
from barbule.errors import ExpressionError
from barbule.relations.errors.checked_values import CheckedValue
from barbule.relations.errors.refused_arguments import refuse_formatted
from barbule.relations.methods import search_scores, similarity_join
from barbule.relations.methods.search_query import query_value
from barbule.relations.query_backend import sources
from barbule.relations.value_origins import origin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd

__all__ = ["ManagedColumn"]


class ManagedColumn(CheckedValue):
    """Methods of all columns of managed tables."""

    __slots__ = ()

    def to_pandas(
        self,
        *,
        params: Mapping[ir.Scalar, Any] | None = None,
        limit: int | str | None = None,
        **options: object,
    ) -> pd.Series:
        """Execute the column and return a pandas series.

        Integers with missing values become pandas' `Int64`; `execute()` converts them to floats, as
        Ibis does.
        """
        backend = self._find_backend(use_default=True)
        return backend.to_pandas(self, params=params, limit=limit, **options)

    def similarity(
        self, query: object, *, index: str | None = None, idx: str | None = None
    ) -> ir.FloatingValue:
        """Return the similarity of each value to `query`, by the embedding index of the column.

        Parameters
        ----------
        query
            A string, an image (PIL image, path or URL), another file (path or URL), a vector, or a
            column of these.
        index
            The name of the index, if the column has more than one; `idx` is the same.

        Returns
        -------
        ibis.expr.types.FloatingValue
            Larger is nearer: the cosine for the metric "cosine", the inner product for "ip", the
            negative distance for "l2".
        """
        if isinstance(query, str):
            refuse_formatted([query, self])
        return nodes.Similarity(self, query_value(query, self), index or idx).to_expr()

    def embedding(self, *, index: str | None = None, idx: str | None = None) -> ir.ArrayValue:
        """Read the vectors of the embedding index of the column.

        Parameters
        ----------
        index
            The name of the index, if the column has more than one; `idx` is the same.

        Returns
        -------
        ibis.expr.types.ArrayValue
            A vector for each row; missing if the value is missing.

        Raises
        ------
        ExpressionError, ColumnNotFoundError
            If the column has no such index, or several and none is named.

        Examples
        --------
        >>> import barbule as bb
        >>> @bb.udf(batch_size=32)
        ... def embed(texts: list[str]) -> list[bb.Vector(2)]:
        ...     return [[len(text), text.count("e")] for text in texts]
        >>> notes = bb.create_table("notes", {"text": bb.String})
        >>> _ = notes.insert([{"text": "feather"}])
        >>> _ = notes.add_embedding_index("text", string_embed=embed)
        >>> notes.select(v=notes.text.embedding()).collect()[0, "v"]
        [7.0, 2.0]
        """
        column_origin = origin(self.op())
        if column_origin is None:
            raise ExpressionError(
                "embedding() needs a column of a table.",
                hint="Call it on a column with an embedding index: t.text.embedding().",
            )
        leaf, column = column_origin
        kind = leaf.source.index_of(leaf, column, index or idx).kind
        return nodes.StoredVector(self, kind, index or idx).to_expr()

    def nearest(
        self, query: ir.Column, *, k: int = 5, index: str | None = None, name: str = "score"
    ) -> ir.Table:
        """Find the most similar rows for each row of another table: a similarity join.

        Filter or project either table first. All queries are compared together, which is much
        faster than one search after another.

        Parameters
        ----------
        query
            A column of the other table, or an expression over it: strings, images or vectors.
        k
            The number of rows to find for each query; fewer if there are fewer. A missing query
            finds none.
        index
            The name of the index, if the column has more than one.
        name
            The name of the column with the similarity of the two rows.

        Returns
        -------
        ibis.expr.types.Table
            The columns of the other table, those of this one (with the suffix `_right` for names
            that both have), and the score; in no particular order.

        Examples
        --------
        >>> import barbule as bb
        >>> points = bb.create_table("points", {"name": bb.String, "place": bb.Vector(2)})
        >>> rows = [{"name": "east", "place": [1, 0]}, {"name": "north", "place": [0, 1]}]
        >>> _ = points.insert(rows)
        >>> _ = points.add_embedding_index("place")
        >>> asked = bb.create_table("asked", {"who": bb.String, "way": bb.Vector(2)})
        >>> _ = asked.insert([{"who": "Ann", "way": [2, 1]}, {"who": "Bo", "way": [1, 3]}])
        >>> near = points.place.nearest(asked.way, k=1)
        >>> near.order_by("who").collect()["name"]
        ['east', 'north']
        """
        return similarity_join.nearest(self, query, k=k, index=index, name=name)

    def search(
        self,
        query: object,
        *,
        mode: search_scores.Mode = "keyword",
        index: str | None = None,
        rerank: Callable[..., ir.Value] | None = None,
        depth: int = 100,
    ) -> ir.FloatingValue:
        """Score how well each value matches a query; larger is better.

        Use it like any other value: sort by it, filter by it or select it. Words match regardless
        of case and accents.

        Parameters
        ----------
        query
            A string; for the mode "vector" any query that `similarity` takes.
        mode
            "keyword" scores by the words of the query (BM25, 0 if none occurs), and needs no index.
            "vector" is `similarity`. "hybrid" fuses the ranks of a row in both orders of the entire
            table (reciprocal rank fusion). Filters do not change these scores.
        index
            The name of the embedding index, if the column has more than one.
        rerank
            A function of the query and a text that returns a number, or a reranker:
            `cohere.rerank.using(model=...)`. It rescores the best rows among those that pass the
            preceding filters; the other rows have no score, and come last.
        depth
            The maximum number of rows that `rerank` scores; rows that do not match at all are not
            scored.

        Returns
        -------
        ibis.expr.types.FloatingValue
            The score; missing if the value is missing.

        Examples
        --------
        >>> import barbule as bb
        >>> notes = bb.create_table("notes", {"text": bb.String})
        >>> _ = notes.insert([{"text": "A barbule has hooks."}, {"text": "A feather is light."}])
        >>> score = notes.text.search("hooks")
        >>> notes.where(score > 0).order_by(score, asc=False).limit(5).collect()["text"]
        ['A barbule has hooks.']
        """
        return search_scores.search(self, query, mode, index=index, rerank=rerank, depth=depth)

    @property
    def error(self) -> ir.StructColumn:
        """The cell errors of a computed column: the `type` and `message` of each error.

        It is NULL if the function returned a value, or was not called because its own input is
        missing. If a struct has a field named "error", this returns the field.
        """
        column: ir.Column = self
        kind = column.type()
        if isinstance(kind, dt.Struct) and "error" in kind.names:
            return column["error"]
        return nodes.CellError(self).to_expr()

    def _find_backends(self) -> tuple[list[Any], bool]:
        return sources(self.op())
