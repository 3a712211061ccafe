"""The views that depend on a table, as listed in the catalog.

Owns the walks over views of views; which columns they read is in `base_columns`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from barbule.catalog.records import TableRecord
    from barbule.executor.engine import Engine

__all__ = ["dependent_views", "full_refresh_views", "with_row_views"]


def dependent_views(engine: Engine, record: TableRecord) -> list[TableRecord]:
    """Return the views whose query reads a table, row by row or with a full refresh."""
    return [*engine.catalog.views_of(record.id), *engine.catalog.queries_over(record.id)]


def with_row_views(engine: Engine, record: TableRecord) -> list[TableRecord]:
    """Return a table, the views that follow it row by row, and views over these."""
    views = engine.catalog.views_of(record.id)
    return [record, *(member for view in views for member in with_row_views(engine, view))]


def full_refresh_views(engine: Engine, records: Iterable[TableRecord]) -> list[TableRecord]:
    """Return the views with a full refresh over tables, and views over these."""
    views: dict[int, TableRecord] = {}
    queue = list(records)
    while queue:
        for view in engine.catalog.queries_over(queue.pop().id):
            if view.id not in views:
                views[view.id] = view
                queue.append(view)
    return list(views.values())
