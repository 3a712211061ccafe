"""Applies the rewrite rules in order.

Owns the order. A rule is a function of the root relation, and returns an equivalent tree; it adds
stages and notes to a `PlanBuilder`, and changes nothing else. At the end, calls are in relations
with one parent, where staging finds them, and similarity is arithmetic over stored vectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import ibis.expr.operations as ops

from barbule.fast_paths import fast_paths_enabled
from barbule.nodes import (
    FunctionCall,
    KeywordScore,
    NearestRows,
    RerankedScore,
    Similarity,
    StoredVector,
    TableScore,
)
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

    from barbule.planner.plan_builder import PlanBuilder

__all__ = ["RULES", "Rule", "apply_rules"]


class Rule(NamedTuple):
    """A rewrite rule, and the nodes without which it changes nothing.

    Attributes
    ----------
    needs
        Groups of types: a tree that the rule changes has a node of each group.
    """

    apply: Callable[[ops.Relation, PlanBuilder], ops.Relation]
    needs: tuple[tuple[type[ops.Node], ...], ...]


_SCORES = (TableScore, RerankedScore, KeywordScore)

RULES = (
    Rule(scan_similarity_joins, ((NearestRows,),)),
    Rule(split_filters, ((ops.Filter,),)),
    Rule(pushdown_clauses, ((ops.Filter, ops.Sort, ops.Limit),)),
    Rule(extract_join_calls, ((ops.JoinChain,),)),
    Rule(compute_table_scores, (_SCORES,)),
    Rule(search_indexes, ((Similarity,), (ops.Limit,))),
    Rule(similarity_to_vectors, ((Similarity, StoredVector),)),
    Rule(join_keyword_scores, (_SCORES,)),
    Rule(join_companion_columns, (COMPANION_VALUES,)),
    Rule(extract_aggregate_calls, ((ops.Aggregate,),)),
    Rule(batch_similarity_joins, ((NearestRows,),)),
    Rule(share_calls, ((FunctionCall,),)),
    Rule(sort_before_calls, ((FunctionCall,), (ops.Limit,))),
)

_KINDS = tuple({kind for rule in RULES for group in rule.needs for kind in group})


def apply_rules(root: ops.Relation, builder: PlanBuilder) -> ops.Relation:
    """Apply the rules in order, each if the tree has the nodes that it needs."""
    if not find_nodes(root, (*EXPENSIVE_VALUES, *COMPANION_VALUES, NearestRows)):
        return root
    applied: list[str] = []
    traced = active()
    present = _kinds_in(root)
    for rule in RULES:
        if fast_paths_enabled() and not all(map(present.intersection, rule.needs)):
            continue
        rewritten = rule.apply(root, builder)
        if rewritten is root:
            continue
        if traced and rewritten != root:
            applied.append(rule.apply.__name__)
        root, present = rewritten, _kinds_in(rewritten)
    if applied:
        annotate(rules=tuple(applied))
    return root


def _kinds_in(root: ops.Relation) -> set[type[ops.Node]]:
    """Return the kinds of nodes that rules need and a tree has."""
    classes = {type(node) for node in find_nodes(root, _KINDS)}
    return {kind for kind in _KINDS if any(issubclass(each, kind) for each in classes)}
