"""The scores of a search as values: by keywords, by similarity, both fused, and reranked.

Owns the expressions that a search consists of. Except for the score nodes all are plain Ibis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import ibis
import ibis.expr.types as ir

from barbule import nodes
from barbule.errors import ExpressionError, with_article
from barbule.relations.errors.refused_arguments import refuse_formatted
from barbule.types import declaration

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Mode", "search"]

Mode = Literal["keyword", "vector", "hybrid"]

# Dampens the weight of the first ranks compared to 1/rank. G. Cormack et al., *Reciprocal Rank
# Fusion outperforms Condorcet and individual Rank Learning Methods* (2009).
_RRF_CONSTANT = 60


def search(
    column: ir.Column,
    query: object,
    mode: Mode,
    *,
    index: str | None,
    rerank: Callable[..., ir.Value] | None,
    depth: int,
) -> ir.FloatingValue:
    """Return the value that scores a column by a query."""
    if mode not in get_args(Mode):
        raise ExpressionError(
            "there is no such search mode.",
            value=mode,
            hint=f"Modes are {', '.join(get_args(Mode))}.",
        )
    refuse_formatted([query, column])
    if mode == "vector":
        score = column.similarity(query, index=index)
    else:
        score = _keyword_score(column, query)
        if mode == "hybrid":
            score = _fused_score(column, score, column.similarity(query, index=index))
            score = nodes.TableScore(column, score).to_expr()
    if rerank is None:
        return score
    # Rows without the words score 0; a similarity may have any value, including negative ones.
    matches = score.notnull() if mode == "vector" else score > 0
    value = _reranked(query, _best_texts(column, score, matches, depth), rerank)
    return nodes.RerankedScore(column, value).to_expr()


def _keyword_score(column: ir.Column, query: object) -> ir.FloatingValue:
    kind = column.type()
    if declaration(kind).modality != "text":
        raise ExpressionError(
            f"a column of type {kind} cannot be searched by words.",
            column=column.get_name(),
            hint='Search a string column; mode="vector" searches a column with an embedding index.',
        )
    if not isinstance(query, str):
        raise ExpressionError(
            f"{with_article(type(query).__name__)} cannot be used in a search by words.",
            value=query,
            hint='Search with a string, or use mode="vector". For a query of each row, write a '
            "function with @bb.query and call it with the column.",
        )
    return nodes.KeywordScore(column, query).to_expr()


def _fused_score(
    column: ir.Column, keyword_score: ir.FloatingValue, similarity: ir.FloatingValue
) -> ir.FloatingValue:
    """Fuse two orders by the ranks of a row in them; a row without a keyword has only one rank."""
    by_keywords = ibis.ifelse(keyword_score > 0, _reciprocal_rank(keyword_score), 0.0)
    by_similarity = ibis.ifelse(similarity.notnull(), _reciprocal_rank(similarity), 0.0)
    return ibis.ifelse(column.isnull(), ibis.null("float64"), by_keywords + by_similarity)


def _reciprocal_rank(score: ir.FloatingValue) -> ir.FloatingValue:
    return 1.0 / (nodes.ScoreRank(score).to_expr() + (_RRF_CONSTANT + 1))


def _best_texts(
    column: ir.Column, score: ir.FloatingValue, matches: ir.BooleanValue, depth: int
) -> ir.Value:
    """Return the texts of the best rows, up to the rerank depth, and null for the others."""
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1:
        raise ExpressionError(
            "this number of rows cannot be reranked.", value=depth, hint="depth= must be 1 or more."
        )
    is_best = matches & (nodes.RowRank(score).to_expr() < depth)
    return ibis.ifelse(is_best, column, ibis.null(column.type()))


def _reranked(query: object, candidate: ir.Value, rerank: Any) -> ir.FloatingValue:
    if isinstance(query, ir.Expr):
        raise ExpressionError(
            "rerank= works for one query at a time.",
            hint="For a query of each row, write a function with @bb.query.",
        )
    if not callable(rerank):
        raise ExpressionError(
            "rerank= must be a function.",
            value=rerank,
            hint="Pass a @bb.udf that takes a query and a text and returns a number, or the "
            "rerank function of a provider: cohere.rerank.using(model=...).",
        )
    if hasattr(rerank, "of_single_items"):
        rerank = rerank.of_single_items()
    score = rerank(query, candidate)
    if not isinstance(score, ir.NumericValue):
        kind = score.type() if isinstance(score, ir.Expr) else type(score).__name__
        raise ExpressionError(
            f"the rerank function must return a number for each text, not {kind}.",
            value=getattr(rerank, "name", rerank),
            hint="Pass a @bb.udf that takes a query and a text and returns a float.",
        )
    return score.cast("float64")
