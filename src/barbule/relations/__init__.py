"""Ibis tables that keep barbule's verbs through every Ibis verb.

Owns the classes that results of `filter`, `join`, `group_by` … become, the methods that columns
of managed tables have in addition to those of their type, and the errors of queries that cannot be
built. How a query runs is the business of the engine behind its leaves.
"""

from __future__ import annotations

from barbule.relations.grouped_query import GroupedQuery
from barbule.relations.ibis_verbs import wrap
from barbule.relations.queries import JoinQuery, Query

__all__ = ["GroupedQuery", "JoinQuery", "Query", "wrap"]
