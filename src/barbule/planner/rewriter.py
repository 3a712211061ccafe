"""Applies the rewrite rules in order.

Owns the order. A rule is a function of the root relation, and returns an equivalent tree; it adds
stages and notes to a `PlanBuilder`, and changes nothing else. At the end, calls are in relations
with one parent, where staging finds them, and similarity is arithmetic over stored vectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.nodes import NearestRows
from barbule.nodes.tree_walk import find_nodes
from barbule.planner.lineage import EXPENSIVE_VALUES
from barbule.planner.rules.companion_columns import COMPANION_VALUES, join_companion_columns
from barbule.planner.rules.extract_aggregate_calls import extract_aggregate_calls
from barbule.planner.rules.extract_join_calls import extract_join_calls
from barbule.planner.rules.pushdown_clauses import pushdown_clauses
from barbule.planner.rules.score_columns import compute_table_scores, join_keyword_scores
from barbule.planner.rules.search_indexes import search_indexes
from barbule.planner.rules.share_calls import share_calls
from barbule.planner.rules.similarity_joins import batch_similarity_joins, scan_similarity_joins
from barbule.planner.rules.similarity_to_vectors import similarity_to_vectors
from barbule.planner.rules.sort_before_calls import sort_before_calls
from barbule.planner.rules.split_filters import split_filters
from barbule.tracing import active, annotate

if TYPE_CHECKING:
    from collections.abc import Callable

    import ibis.expr.operations as ops

    from barbule.planner.plan_builder import PlanBuilder

__all__ = ["RULES", "apply_rules"]

RULES: tuple[Callable[[ops.Relation, PlanBuilder], ops.Relation], ...] = (
    scan_similarity_joins,
    split_filters,
    pushdown_clauses,
    extract_join_calls,
    compute_table_scores,
    search_indexes,
    similarity_to_vectors,
    join_keyword_scores,
    join_companion_columns,
    extract_aggregate_calls,
    batch_similarity_joins,
    share_calls,
    sort_before_calls,
)


def apply_rules(root: ops.Relation, builder: PlanBuilder) -> ops.Relation:
    """Apply all rules in order."""
    if not find_nodes(root, (*EXPENSIVE_VALUES, *COMPANION_VALUES, NearestRows)):
        return root
    applied: list[str] = []
    traced = active()
    for rule in RULES:
        rewritten = rule(root, builder)
        if traced and rewritten != root:
            applied.append(rule.__name__)
        root = rewritten
    if applied:
        annotate(rules=tuple(applied))
    return root
