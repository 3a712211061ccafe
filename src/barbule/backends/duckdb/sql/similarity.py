"""How similar two vectors are, in SQL that only plain numbers come out of.

Owns what becomes of vectors that cannot be compared: they have no score.
"""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING, Any

import ibis

if TYPE_CHECKING:
    from collections.abc import Callable

    import ibis.expr.operations as ops

__all__ = ["similarity"]

# Squared lengths of vectors that can be compared by their direction, as float32 has them.
_TINY, _HUGE = 1.1754943508222875e-38, 3.4028234663852886e38


@ibis.udf.scalar.builtin(name="array_cosine_similarity")
def _cosine(left, right) -> float: ...  # type: ignore[no-untyped-def, empty-body]  # noqa: ANN001 - Ibis takes any value


@ibis.udf.scalar.builtin(name="array_inner_product")
def _inner(left, right) -> float: ...  # type: ignore[no-untyped-def, empty-body]  # noqa: ANN001 - Ibis takes any value


@ibis.udf.scalar.builtin(name="array_distance")
def _distance(left, right) -> float: ...  # type: ignore[no-untyped-def, empty-body]  # noqa: ANN001 - Ibis takes any value


@ibis.udf.scalar.builtin(name="list_pack")
def _list(value: float) -> list[float]: ...  # type: ignore[empty-body]


def _fit(vector: Any) -> Any:
    """Whether a vector has a direction: it is finite, and not as good as zero."""
    return _inner(vector, vector).between(_TINY, _HUGE)


def _once(value: Any, change: Callable[[Any], Any]) -> ops.Value:
    """Change a value that is written down once; DuckDB computes it as often as it is."""
    return _list(value).map(change)[0].op()


def similarity(left: ops.Value, right: ops.Value, metric: str) -> ops.Value:
    """Make the value that says how similar two vectors are; larger is nearer."""
    a, b = left.to_expr(), right.to_expr()
    if metric == "cosine":
        # DuckDB says -1 where there is no cosine, or 0; what else is -1 or 0 is rare. What all
        # rows are compared with has been looked at, and a lambda may not ask for it.
        compared = [_fit(each) for each in (a, b) if each.op().shape.is_columnar()]
        fit = functools.reduce(operator.and_, compared, ibis.literal(True))
        return _once(_cosine(a, b), lambda s: (s.isin([-1, 0]) & ~fit).ifelse(None, s))
    alike = _inner(a, b) if metric == "ip" else -_distance(a, b)
    # Either would be larger than all numbers.
    return _once(alike, lambda score: (score.isnan() | score.isinf()).ifelse(None, score))
