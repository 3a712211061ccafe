"""The similarity of two vectors, in SQL of Postgres that has only finite results."""

from __future__ import annotations

import ibis.expr.datashape as ds
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

__all__ = ["VectorSimilarity", "similarity", "similarity_template"]


class VectorSimilarity(ops.Value):
    """The similarity of two vectors; larger is nearer."""

    left: ops.Value
    right: ops.Value
    metric: str

    dtype = dt.float64
    shape = ds.columnar


_AGGREGATES = {
    "cosine": "SUM(x::FLOAT8 * y) / NULLIF(SQRT(SUM(x::FLOAT8 * x) * SUM(y::FLOAT8 * y)), 0)",
    "ip": "SUM(x::FLOAT8 * y)",
    "l2": "-SQRT(SUM((x::FLOAT8 - y) * (x::FLOAT8 - y)))",
}
# Unnesting in the select list is 1.5 times faster than in FROM.
_PAIRS = (
    "SELECT {} FROM (SELECT UNNEST(:a) AS x, UNNEST(:b) AS y) AS _bb_pairs "
    "WHERE :a IS NOT NULL AND :b IS NOT NULL"
)


def similarity(left: ops.Value, right: ops.Value, metric: str) -> ops.Value:
    """Return the expression for the similarity of two vectors; larger is nearer."""
    value = VectorSimilarity(left, right, metric).to_expr()
    return value.nullif(float("nan")).op()  # NaN would be larger than all numbers


def similarity_template(metric: str) -> str:
    """Return the query of the similarity of the vectors `:a` and `:b`."""
    return _PAIRS.format(_AGGREGATES[metric])
