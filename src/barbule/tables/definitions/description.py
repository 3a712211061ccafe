"""What `describe()` of a table returns: its statistics, shown as its definition.

Owns the text and the page. What is said of columns is found by `definitions`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from barbule.executor.display.notebook import rows_html
from barbule.executor.display.preview import Shown, title_of
from barbule.nodes import ManagedTable
from barbule.planner.python_code import expression_code
from barbule.relations import Query
from barbule.relations.methods.statistics import summary
from barbule.tables.definitions.table_definition import Definitions, info

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import ibis.expr.operations as ops
    import ibis.expr.types as ir

    from barbule.tables.definitions.table_definition import ColumnDefinition

__all__ = ["Description", "describe"]

_INDENT = "  "


class Description(Query):
    """Statistics of the columns of a table, as a query; printed, it says how they are made."""

    __slots__ = ("_html", "_text")

    _text: str
    _html: str

    def __repr__(self) -> str:
        return self._text

    def _repr_mimebundle_(self, *_: Any, **__: Any) -> dict[str, str]:
        return {"text/plain": self._text, "text/html": self._html}


def describe(table: ir.Table, quantile: Sequence[float]) -> Description:
    """Describe a table."""
    leaf: Any = table.op()
    leaf.source.catalog.refresh()
    found = Definitions(leaf)
    columns = found.columns()
    title, _ = title_of(leaf.source, table)
    notes = list(_notes(found))
    lines = [title, *_column_lines(columns), *notes]
    rows = info(columns, leaf.source)
    shown = Shown(rows.to_pyarrow(), rows.schema, title=title, note="\n".join(notes))
    described = Description(summary(table, quantile).op())
    # Queries cannot be changed once they are made.
    object.__setattr__(described, "_text", "\n".join(lines))
    object.__setattr__(described, "_html", rows_html(shown, leaf.source.library))
    return described


def _column_lines(columns: Sequence[ColumnDefinition]) -> Iterator[str]:
    """Write a line for each column, names and types below one another."""
    names = max(len(each.column) for each in columns)
    types = max(min(len(each.type), 24) for each in columns)
    for each in columns:
        line = f"{_INDENT}{each.column:{names}}  {each.type:{types}}"
        if each.kind == "iterator":
            line += "  from the iterator"
        elif each.kind != "data":
            line += f"  = {each}"
        if each.default is not None:
            line += f"  default {each.default!r}"
        yield line.rstrip()
        if each.kind == "stored":
            yield from (f"{_INDENT * 3}{version}" for version in each.versions())


def _folders(query: ops.Relation) -> str:
    """Say of tables in folders, which are written by the last part of their names, which they are.

    Tables that could be called otherwise by Python are written as a call that names them.
    """
    names = {leaf.name for leaf in query.find(ManagedTable) if "." in leaf.name}
    said = [
        f"{short} is bb.get_table({name!r})"
        for name in sorted(names)
        if (short := name.rpartition(".")[2]).isidentifier()
    ]
    return f", where {' and '.join(said)}" if said else ""


def _notes(found: Definitions) -> Iterator[str]:
    """Say what a view is made of, what is indexed, and what is made of the table."""
    record, commit = found.record, found.leaf.commit
    if found.query is not None:
        yield f"view of: {expression_code(found.query, commit)}{_folders(found.query)}"
    if found.iterator is not None:
        yield f"rows by: {expression_code(found.iterator, commit)}"
    if record.origin is not None:
        yield f"branch of: {found.engine.catalog.record(record.origin.table).name}"
    for index in found.indexes():
        yield f"index {index}"
    needed = [f"view {view.name}" for view in found.views()]
    needed += [f"branch {branch.name}" for branch in found.branches()]
    if needed:
        yield f"needed by: {', '.join(needed)}"
