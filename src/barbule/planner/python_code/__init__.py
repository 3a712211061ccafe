"""Expressions as the Python code that writes them: `films.revenue - films.budget`.

Owns how stored definitions are shown to users. A table is written by its name, without folders; a
relation derived from it within a query is `_`. For plans see `plan_text`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.nodes import ManagedTable
from barbule.planner.python_code.fragments import Code
from barbule.planner.python_code.function_calls import call_code
from barbule.planner.python_code.relation_code import table_name
from barbule.planner.python_code.value_code import code_of

if TYPE_CHECKING:
    from typing import Any

    import ibis.expr.operations as ops

__all__ = ["call_code", "expression_code"]


def expression_code(root: ops.Node, commit: int | None = None) -> str:
    """Write a value or a query as Python.

    Parameters
    ----------
    commit
        The commit of tables that are written by their names alone.

    Examples
    --------
    >>> import ibis
    >>> films = ibis.table({"name": "string", "budget": "int64"}, name="films")
    >>> expression_code(((films.budget + 1) * 2 > 3).op())
    '(films.budget + 1) * 2 > 3'
    >>> expression_code(films.filter(films.name.upper() != "UP").select("name").op())
    "films.filter(films.name.upper() != 'UP').select('name')"
    """

    def write(node: ops.Node, _results: object, **fragments: Any) -> Code:
        if isinstance(node, ManagedTable) and node.commit == commit:
            return Code(table_name(node.copy(commit=None)))
        return code_of(node, fragments)

    return str(root.map(write)[root])
