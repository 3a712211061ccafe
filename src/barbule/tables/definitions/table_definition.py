"""How the columns of a table are made, read from the catalog: nothing is computed.

Owns `ColumnDefinition`, and what is found for it: the expression as it was written, the versions
of its functions, what it reads and what needs it. How a table is shown with them is `described`'s
business.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import ibis.expr.operations as ops
import ibis.expr.schema as sch

from barbule.catalog import codec
from barbule.errors import ColumnNotFoundError
from barbule.executor.results.result_set import ResultSet
from barbule.executor.search.index_lookup import embedded_by, searched_column
from barbule.nodes import FunctionCall, ManagedTable
from barbule.planner.lineage import trace
from barbule.planner.python_code import call_code, expression_code
from barbule.suggestions import VerbResult, one_of
from barbule.tables.views.base_columns import read_by_view
from barbule.tables.views.incremental import ITEMS, POSITION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from barbule.catalog.records import Column, Index, TableRecord
    from barbule.executor.engine import Engine

__all__ = ["ColumnDefinition", "Definitions", "columns_info", "definition"]

_INFO = sch.Schema(
    {
        "name": "string",
        "type": "string",
        "kind": "string",
        "definition": "string",
        "functions": "array<string>",
        "uses": "array<string>",
        "needed_by": "array<string>",
        "indexes": "array<string>",
        "default": "string",
    }
)


class ColumnDefinition(VerbResult, str):  # noqa: SLOT000 - it carries what it knows beside the text
    """How a column is made: a text, the expression as it was written, that knows more.

    Of a column that takes data it is the type.

    Attributes
    ----------
    table, column
        Their names.
    type
        The type of the column.
    kind
        "data"; "stored" or "virtual" for what is computed, when rows are written or when they
        are read; "base", "iterator" or "query" for the columns that a view has from these.
    functions
        The functions that compute it, with the versions that did.
    uses
        The columns that it is made of.
    needed_by
        The columns, indexes and views that are made of it.
    indexes
        The embedding indexes that search it.
    default
        What an insert that leaves it out gives; None where that is nothing.
    """

    table: str
    column: str
    type: str
    kind: str
    functions: Mapping[str, tuple[str, ...]]
    uses: tuple[str, ...]
    needed_by: tuple[str, ...]
    indexes: tuple[str, ...]
    default: Any

    def __new__(cls, text: str, **known: Any) -> Self:
        """Make a definition of what is known of the column."""
        made = super().__new__(cls, text)
        vars(made).update(known)
        return made

    def versions(self) -> list[str]:
        """Name the functions with their versions."""
        return [
            f"{name}, version {' and '.join(versions)}" for name, versions in self.functions.items()
        ]

    def _lines(self) -> Iterator[str]:
        yield f"{self.table}.{self.column}: {self.type}, {_KINDS[self.kind]}"
        if self.kind != "data":
            yield f"  = {self}"
        if self.default is not None:
            yield f"  default: {self.default!r}"
        parts = {
            "functions": self.versions(),
            "uses": self.uses,
            "needed by": self.needed_by,
            "indexes": self.indexes,
        }
        for title, values in parts.items():
            if values:
                yield f"  {title}: {'; '.join(values)}"

    def __repr__(self) -> str:
        return "\n".join(self._lines())


_KINDS = {
    "data": "takes data",
    "stored": "computed when rows are written",
    "virtual": "computed when it is read",
    "base": "of the base of the view",
    "iterator": "from the iterator of the view",
    "query": "from the query of the view",
}


@dataclass(frozen=True)
class Definitions:
    """Reads the definitions of a table as it is seen by a leaf."""

    leaf: ManagedTable

    @property
    def engine(self) -> Engine:
        """What the leaf asks."""
        engine: Engine = self.leaf.source
        return engine

    @cached_property
    def record(self) -> TableRecord:
        """The structure of the table."""
        return self.engine.record(self.leaf)

    def expression(self, text: str) -> ops.Node:
        """Read a stored expression."""
        return self.engine.expression(text, self.leaf.commit)

    @cached_property
    def query(self) -> ops.Relation | None:
        """The query of a view."""
        view = self.record.view
        # Where rows are kept, as what is drawn or unnested is, another query makes them.
        return None if view is None else self.expression(view.rows or view.query)

    @cached_property
    def iterator(self) -> ops.Value | None:
        """The call of the iterator of a view."""
        view = self.record.view
        if view is None or view.items is None:
            return None
        items = self.expression(view.items)
        value: ops.Value = items.values[ITEMS]
        return value

    def columns(self) -> list[ColumnDefinition]:
        """Return the definitions of all columns that users see, in their order."""
        return [self.column(name) for name in self.leaf.schema.names]

    def column(self, name: str) -> ColumnDefinition:
        """Return the definition of a column."""
        kind, value = self._origin(name)
        type_ = str(self.leaf.schema[name])
        column = self.record.column(name)
        default = None
        if column is not None and column.default is not None:
            default = codec.load_value(column.default)
        text = type_ if value is None else expression_code(value, self.leaf.commit)
        if kind == "iterator" and name != POSITION:
            text = f"{text}.{name}"
        return ColumnDefinition(
            text,
            table=self.record.name,
            column=name,
            type=type_,
            kind=kind,
            functions=self._functions(value, column, kind),
            uses=() if value is None else _uses(value),
            needed_by=tuple(self._needed_by(name)),
            indexes=tuple(index.name for index in self._indexes_of(name)),
            default=default,
        )

    def _origin(self, name: str) -> tuple[str, ops.Value | None]:
        """Return where a column comes from, and the value that it is."""
        column = self.record.column(name)
        if column is None or column.hidden:
            return "base", self._shown_value(name)
        if column.kind != "data":
            return column.kind, self.expression(str(column.expression))
        if self.iterator is not None:
            return "iterator", self.iterator
        if self.query is not None:
            return "query", self._shown_value(name)
        return "data", None

    def _shown_value(self, name: str) -> ops.Value | None:
        if self.query is None or name not in self.query.schema.names:
            return None
        value = trace(ops.Field(self.query, name))
        while isinstance(value, ops.Field) and not isinstance(value.rel, ManagedTable):
            above = value.rel
            made = {**getattr(above, "groups", {}), **getattr(above, "metrics", {})}
            made |= getattr(above, "values", {})
            if value.name not in made or made[value.name] is value:
                return value
            value = made[value.name]
        # In terms of the table, not of what the query has made of it.
        return value.replace({each: trace(each) for each in value.find(ops.Field)})

    def _functions(
        self, value: ops.Value | None, column: Column | None, kind: str
    ) -> dict[str, tuple[str, ...]]:
        view = self.record.view
        pairs = [(c.function, c.version) for c in value.find(FunctionCall)] if value else []
        pairs += column.computed if column is not None else ()
        pairs += view.computed if view is not None and kind == "iterator" else ()
        found: dict[str, tuple[str, ...]] = {}
        for name, version in dict.fromkeys(pairs):
            found[name] = (*found.get(name, ()), version)
        return found

    def _needed_by(self, name: str) -> Iterator[str]:
        """Name what is made of a column of the table, one step down."""
        record = self.record
        own = {index.embedding: index for index in record.indexes}
        for column in record.columns:
            hidden = column.hidden and column.id not in own
            if column.kind == "data" or hidden or column.id == getattr(self._own(name), "id", None):
                continue
            value = self.expression(str(column.expression))
            if name in {f.name for f in value.find(ops.Field) if f.rel == self._unhidden}:
                known = own.get(column.id)
                yield f"index {known.name}" if known else f"{record.name}.{column.name}"
        for view in self.views():
            if name in read_by_view(self.engine, view):
                yield f"view {view.name}"

    @cached_property
    def _unhidden(self) -> ManagedTable:
        return self.leaf.copy(hidden=False)

    def _own(self, name: str) -> Column | None:
        return self.record.column(name)

    def views(self) -> list[TableRecord]:
        """Return the views that are made over the table."""
        catalog = self.engine.catalog
        return [*catalog.views_of(self.record.id), *catalog.queries_over(self.record.id)]

    def branches(self) -> list[TableRecord]:
        """Return the tables that branched off."""
        return self.engine.catalog.branches_of(self.record.id)

    def _indexes_of(self, name: str) -> list[Index]:
        return [each for each in self.record.indexes if self._searched(each) == name]

    def _searched(self, index: Index) -> str:
        return searched_column(self.record, index, self.expression)

    def indexes(self) -> Iterator[str]:
        """Describe the embedding indexes: what they search, by which functions and metric."""
        for index in self.record.indexes:
            vectors = self.record.column_by_id(index.embedding)
            calls = [
                f"{kind} by {_call(call)}"
                for kind, call in embedded_by(self.record, index, self.expression)
            ]
            length = getattr(vectors.dtype, "length", None)
            sizes = [f"vectors of {length} numbers"] if length else []
            parts = [*calls, f"metric={index.metric!r}", *sizes]
            yield f"{index.name}: {self.record.name}.{self._searched(index)}, {', '.join(parts)}"


def _call(call: FunctionCall) -> str:
    """Write the call that embeds, without what it embeds, and the version of its function."""
    text = call_code(call.function, call.version, call.template, ["…"] * len(call.values))
    return f"{text} (version {call.version})"


def _uses(value: ops.Value) -> tuple[str, ...]:
    """Name the columns of tables that a value reads."""
    found: dict[str, None] = {}
    for field in value.find(ops.Field):
        rel: Any = field.rel.parent if isinstance(field.rel, ops.Reference) else field.rel
        if isinstance(rel, ManagedTable):
            found[f"{rel.name}.{field.name}"] = None
    return tuple(found)


def definition(leaf: ManagedTable, column: str) -> ColumnDefinition:
    """Return how a column is made."""
    leaf.source.catalog.refresh()
    if column not in leaf.schema.names:
        raise ColumnNotFoundError(
            "there is no such column.",
            table=leaf.name,
            column=column,
            hint=one_of(column, leaf.schema.names, "Its columns are"),
        )
    return Definitions(leaf).column(column)


def columns_info(leaf: ManagedTable) -> ResultSet:
    """Return how all columns are made, as a table."""
    leaf.source.catalog.refresh()
    return info(Definitions(leaf).columns(), leaf.source)


def info(columns: Sequence[ColumnDefinition], engine: Engine) -> ResultSet:
    """Lay definitions out as rows."""
    import pyarrow as pa

    rows = [
        {
            "name": each.column,
            "type": each.type,
            "kind": each.kind,
            "definition": None if each.kind == "data" else str(each),
            "functions": each.versions(),
            "uses": list(each.uses),
            "needed_by": list(each.needed_by),
            "indexes": list(each.indexes),
            "default": None if each.default is None else repr(each.default),
        }
        for each in columns
    ]
    return ResultSet(pa.Table.from_pylist(rows, _INFO.to_pyarrow()), _INFO, engine.library)
