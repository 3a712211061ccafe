"""Ibis tables that keep barbule's methods through every Ibis method.

Owns the classes of the results of `filter`, `join`, `group_by` …, the methods that columns of
managed tables have in addition to those of their type, and the errors of invalid queries. The
engine behind the leaves of a query runs it.
"""

from __future__ import annotations

from barbule.relations.grouped_query import GroupedQuery
from barbule.relations.ibis_verbs import wrap
from barbule.relations.queries import JoinQuery, Query

__all__ = ["GroupedQuery", "JoinQuery", "Query", "wrap"]
