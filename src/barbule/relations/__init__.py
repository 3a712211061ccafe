"""Ibis tables that keep barbule's verbs through every Ibis verb.

Owns the classes that results of `filter`, `join`, `group_by` … become, the methods that columns
of managed tables have beside those of their type, and what is said when a query cannot be built.
How a query runs is known to the source of its leaves alone.
"""

from __future__ import annotations

from barbule.relations.queries import GroupedQuery, JoinQuery, Query, wrap

__all__ = ["GroupedQuery", "JoinQuery", "Query", "wrap"]
