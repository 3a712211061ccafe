"""The result of `describe()` of a table: its statistics, displayed as its definition.

Owns the text and the HTML. The definitions of columns come from `table_definition`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from barbule.executor.display.notebook import rows_html
from barbule.executor.display.preview import Preview, table_title
from barbule.nodes import ManagedTable
from barbule.planner.python_code import expression_code
from barbule.relations import Query
from barbule.relations.methods.statistics import summary
from barbule.tables.definitions.table_definition import DefinitionReader, definitions_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import ibis.expr.operations as ops
    import ibis.expr.types as ir

    from barbule.tables.definitions.table_definition import ColumnDefinition

__all__ = ["Description", "describe"]

_INDENT = "  "


class Description(Query):
    """Statistics of the columns of a table, as a query; it prints their definitions."""

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
    definitions = DefinitionReader(leaf)
    columns = definitions.columns()
    title, _ = table_title(leaf.source, table)
    notes = list(_notes(definitions))
    lines = [title, *_column_lines(columns), *notes]
    rows = definitions_table(columns, leaf.source)
    preview = Preview(rows.to_pyarrow(), rows.schema, title=title, note="\n".join(notes))
    described = Description(summary(table, quantile).op())
    # Queries are immutable.
    object.__setattr__(described, "_text", "\n".join(lines))
    object.__setattr__(described, "_html", rows_html(preview, leaf.source.library))
    return described


def _column_lines(columns: Sequence[ColumnDefinition]) -> Iterator[str]:
    """Yield a line for each column, with names and types aligned."""
    names = max(len(column.column) for column in columns)
    types = max(min(len(column.type), 24) for column in columns)
    for column in columns:
        line = f"{_INDENT}{column.column:{names}}  {column.type:{types}}"
        if column.kind == "iterator":
            line += "  from the iterator"
        elif column.kind != "data":
            line += f"  = {column}"
        if column.default is not None:
            line += f"  default {column.default!r}"
        yield line.rstrip()
        if column.kind == "stored":
            yield from (f"{_INDENT * 3}{version}" for version in column.versions())


def _folders(query: ops.Relation) -> str:
    """Explain the short names of tables in folders, which expressions use.

    Tables whose names mean something else in Python are written as a call that names them.
    """
    names = {leaf.name for leaf in query.find(ManagedTable) if "." in leaf.name}
    notes = [
        f"{short_name} is bb.get_table({name!r})"
        for name in sorted(names)
        if (short_name := name.rpartition(".")[2]).isidentifier()
    ]
    return f", where {' and '.join(notes)}" if notes else ""


def _notes(definitions: DefinitionReader) -> Iterator[str]:
    """Describe the query of a view, the indexes, and what depends on the table."""
    record, commit = definitions.record, definitions.leaf.commit
    if definitions.query is not None:
        yield f"view of: {expression_code(definitions.query, commit)}{_folders(definitions.query)}"
    if definitions.iterator is not None:
        yield f"rows by: {expression_code(definitions.iterator, commit)}"
    if record.origin is not None:
        yield f"branch of: {definitions.engine.catalog.record(record.origin.table).name}"
    for index in definitions.indexes():
        yield f"index {index}"
    dependents = [f"view {view.name}" for view in definitions.views()]
    dependents += [f"branch {branch.name}" for branch in definitions.branches()]
    if dependents:
        yield f"needed by: {', '.join(dependents)}"
