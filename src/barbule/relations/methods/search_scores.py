"""Search as values: keyword scores, similarity, both fused, and the best scored anew.

Owns the expressions that a search is made of. All but the two scores are plain Ibis.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import ibis
import ibis.expr.types as ir

from barbule import nodes
from barbule.errors import ExpressionError
from barbule.relations.errors.invalid_queries import refuse_written
from barbule.types.data_types import Media

__all__ = ["Mode", "search"]

Mode = Literal["keyword", "vector", "hybrid"]

# How much less the first places count than they would by 1/place alone. G. Cormack et al.,
# *Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods* (2009).
_RANKED = 60


def search(
    column: Any, query: Any, mode: Mode, *, index: str | None, rerank: Any, depth: int
) -> Any:
    """Make the value that scores a column by a query."""
    if mode not in get_args(Mode):
        raise ExpressionError(
            "there is no such mode of search.",
            value=mode,
            hint=f"Modes are {', '.join(get_args(Mode))}.",
        )
    refuse_written([query, column])
    if mode == "vector":
        score = column.similarity(query, index=index)
    else:
        score = _keyword(column, query)
        if mode == "hybrid":
            score = _fused(column, score, column.similarity(query, index=index))
            score = nodes.TableScore(column, score).to_expr()
    if rerank is None:
        return score
    # Words that do not occur score 0; a similarity may be anything, also below it.
    matches = score.notnull() if mode == "vector" else score > 0
    value = _reranked(query, _first(column, score, matches, depth), rerank)
    return nodes.RerankedScore(column, value).to_expr()


def _keyword(column: Any, query: Any) -> Any:
    kind = column.type()
    if not kind.is_string() or isinstance(kind, Media):
        raise ExpressionError(
            f"a column of {kind} has no words to search.",
            column=column.get_name(),
            hint='Search a text column, or by mode="vector".',
        )
    if not isinstance(query, str):
        raise ExpressionError(
            f"a {type(query).__name__} cannot be searched for by its words.",
            value=query,
            hint='Search with a text, or by mode="vector". For a query of each row, write a '
            "function with @bb.query and call it with the column.",
        )
    return nodes.KeywordScore(column, query).to_expr()


def _fused(column: Any, words: Any, alike: Any) -> Any:
    """Fuse two orders by the places that a row has in them; a row without a word has one only."""
    by_words = ibis.ifelse(words > 0, _inverse_place(words), 0.0)
    by_vector = ibis.ifelse(alike.notnull(), _inverse_place(alike), 0.0)
    return ibis.ifelse(column.isnull(), ibis.null("float64"), by_words + by_vector)


def _inverse_place(score: Any) -> Any:
    return 1.0 / (_place(score) + (_RANKED + 1))


def _place(score: Any) -> Any:
    return nodes.ScoreRank(score).to_expr()


def _first(column: Any, score: Any, matches: Any, depth: Any) -> Any:
    """Return the texts of the best rows, as many as may be scored anew, and null elsewhere."""
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1:
        raise ExpressionError(
            "so many rows cannot be scored anew.", value=depth, hint="depth= is 1 or more."
        )
    chosen = matches & (nodes.RowRank(score).to_expr() < depth)
    return ibis.ifelse(chosen, column, ibis.null(column.type()))


def _reranked(query: Any, candidate: Any, rerank: Any) -> Any:
    if isinstance(query, ir.Expr):
        raise ExpressionError(
            "the best are scored anew for one query at a time.",
            hint="For a query of each row, write a function with @bb.query.",
        )
    if not callable(rerank):
        raise ExpressionError(
            "what scores anew has to be a function.",
            value=rerank,
            hint="Give a @bb.udf of a query and a text that returns a number, or the rerank "
            "function of a provider: cohere.rerank.using(model=...).",
        )
    if hasattr(rerank, "of_single_items"):
        rerank = rerank.of_single_items()
    found = rerank(query, candidate)
    if not isinstance(found, ir.NumericValue):
        kind = found.type() if isinstance(found, ir.Expr) else type(found).__name__
        raise ExpressionError(
            f"scoring anew has to give a number for each text, not {kind}.",
            value=getattr(rerank, "name", rerank),
            hint="Give a @bb.udf of a query and a text that returns a float.",
        )
    return found.cast("float64")
