"""Expressions as the Python that writes them: `films.revenue - films.budget`.

Owns how stored definitions are shown to users. A table is named as it is called, without its
folders; what is derived from it within a query is `_`. For plans see `show`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from barbule.nodes import ManagedTable
from barbule.planner.python_code.calls import call_as_written
from barbule.planner.python_code.fragments import Code
from barbule.planner.python_code.literals import code_of
from barbule.planner.python_code.queries import table_name

if TYPE_CHECKING:
    import ibis.expr.operations as ops

__all__ = ["call_as_written", "written"]


def written(node: ops.Node, commit: int | None = None) -> str:
    """Write a value or a query as Python.

    Parameters
    ----------
    commit
        At which tables are seen that are written by their names alone.

    Examples
    --------
    >>> import ibis
    >>> films = ibis.table({"name": "string", "budget": "int64"}, name="films")
    >>> written(((films.budget + 1) * 2 > 3).op())
    '(films.budget + 1) * 2 > 3'
    >>> written(films.filter(films.name.upper() != "UP").select("name").op())
    "films.filter(films.name.upper() != 'UP').select('name')"
    """

    def write(each: ops.Node, _results: Any, **given: Any) -> Code:
        if isinstance(each, ManagedTable) and each.commit == commit:
            return Code(table_name(each.copy(commit=None)))
        return code_of(each, given)

    return str(node.map(write)[node])
