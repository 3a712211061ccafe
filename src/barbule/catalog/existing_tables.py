"""The tables that exist at one time, found by name and by what they read.

Owns these lookups, made once for a structure of the database: a change of one row asks them for
each view that it touches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from barbule.catalog.records import TableRecord

__all__ = ["ExistingTables"]


class ExistingTables:
    """Tables and views, in the order of their names.

    Parameters
    ----------
    latest
        The latest record of each table; those that have been dropped are left out.

    Attributes
    ----------
    views, queries, branches
        By table: its views row by row, the views that are refreshed as a whole and read it, and
        its branches.
    """

    def __init__(self, latest: Iterable[TableRecord]) -> None:
        existing = (record for record in latest if not record.dropped)
        self.tables = tuple(sorted(existing, key=lambda record: record.name))
        self.by_name = {record.name: record for record in self.tables}
        self.views: dict[int, list[TableRecord]] = {}
        self.queries: dict[int, list[TableRecord]] = {}
        self.branches: dict[int, list[TableRecord]] = {}
        for record in self.tables:
            if record.view is not None and record.view.bases:
                for base in dict.fromkeys(record.view.bases):
                    self.queries.setdefault(base, []).append(record)
            elif record.view is not None:
                self.views.setdefault(record.view.base, []).append(record)
            if record.origin is not None:
                self.branches.setdefault(record.origin.table, []).append(record)
