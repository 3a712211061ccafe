"""The definitions of the columns of a table, read from the catalog; nothing is computed.

Owns `ColumnDefinition` and its contents: the expression as it was written, the versions of its
functions, what it reads and what depends on it. `description` displays them.
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
from barbule.executor.search.index_lookup import embedding_calls, searched_column
from barbule.nodes import FunctionCall, ManagedTable
from barbule.planner.lineage import trace
from barbule.planner.python_code import call_code, expression_code
from barbule.suggestions import VerbResult, one_of
from barbule.tables.views.base_columns import columns_read_by_view
from barbule.tables.views.incremental import ITEMS, POSITION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from barbule.catalog.records import Column, Index, TableRecord
    from barbule.executor.engine import Engine

__all__ = ["ColumnDefinition", "DefinitionReader", "columns_info", "definition"]

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
    """The definition of a column: its expression as written, with attributes.

    For a data column it is the type.

    Attributes
    ----------
    table, column
        Their names.
    type
        The type of the column.
    kind
        "data"; "stored" or "virtual" for columns computed when rows are written or when they are
        read; "base", "iterator" or "query" for the columns that a view has from these.
    functions
        The functions that compute it, with their versions.
    uses
        The columns that it reads.
    needed_by
        The columns, indexes and views that read it.
    indexes
        The embedding indexes that search it.
    default
        The default of inserts that omit it; None if there is none.
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

    def __new__(cls, text: str, **attributes: Any) -> Self:
        """Return a definition with these attributes."""
        definition = super().__new__(cls, text)
        vars(definition).update(attributes)
        return definition

    def versions(self) -> list[str]:
        """Return the names of the functions with their versions."""
        return [
            f"{name}, version {' and '.join(versions)}" for name, versions in self.functions.items()
        ]

    def _lines(self) -> Iterator[str]:
        yield f"{self.table}.{self.column}: {self.type}, {_KIND_DESCRIPTIONS[self.kind]}"
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


_KIND_DESCRIPTIONS = {
    "data": "takes data",
    "stored": "computed when rows are written",
    "virtual": "computed when it is read",
    "base": "from the base of the view",
    "iterator": "from the iterator of the view",
    "query": "from the query of the view",
}


@dataclass(frozen=True)
class DefinitionReader:
    """The definitions of the columns of a leaf."""

    leaf: ManagedTable

    @property
    def engine(self) -> Engine:
        """The engine of the leaf."""
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
        # If rows are stored, such as random or unnested ones, another query creates them.
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
        """Return the definitions of all visible columns, in their order."""
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
            uses=() if value is None else _columns_used(value),
            needed_by=tuple(self._needed_by(name)),
            indexes=tuple(index.name for index in self._indexes_of(name)),
            default=default,
        )

    def _origin(self, name: str) -> tuple[str, ops.Value | None]:
        """Return where a column comes from, and its value."""
        column = self.record.column(name)
        if column is None or column.hidden:
            return "base", self._query_value(name)
        if column.kind != "data":
            return column.kind, self.expression(str(column.expression))
        if self.iterator is not None:
            return "iterator", self.iterator
        if self.query is not None:
            return "query", self._query_value(name)
        return "data", None

    def _query_value(self, name: str) -> ops.Value | None:
        if self.query is None or name not in self.query.schema.names:
            return None
        value = trace(ops.Field(self.query, name))
        while isinstance(value, ops.Field) and not isinstance(value.rel, ManagedTable):
            relation = value.rel
            values = {**getattr(relation, "groups", {}), **getattr(relation, "metrics", {})}
            values |= getattr(relation, "values", {})
            if value.name not in values or values[value.name] is value:
                return value
            value = values[value.name]
        # In terms of the table, not of the columns of the query.
        return value.replace({field: trace(field) for field in value.find(ops.Field)})

    def _functions(
        self, value: ops.Value | None, column: Column | None, kind: str
    ) -> dict[str, tuple[str, ...]]:
        view = self.record.view
        pairs = (
            [(call.function, call.version) for call in value.find(FunctionCall)] if value else []
        )
        pairs += column.computed if column is not None else ()
        pairs += view.computed if view is not None and kind == "iterator" else ()
        versions: dict[str, tuple[str, ...]] = {}
        for name, version in dict.fromkeys(pairs):
            versions[name] = (*versions.get(name, ()), version)
        return versions

    def _needed_by(self, name: str) -> Iterator[str]:
        """Yield the names of everything that directly depends on a column of the table."""
        record = self.record
        vector_indexes = {index.embedding: index for index in record.indexes}
        for column in record.columns:
            hidden = column.hidden and column.id not in vector_indexes
            if (
                column.kind == "data"
                or hidden
                or column.id == getattr(self._own_column(name), "id", None)
            ):
                continue
            value = self.expression(str(column.expression))
            if name in {
                field.name for field in value.find(ops.Field) if field.rel == self._visible_leaf
            }:
                embedding_index = vector_indexes.get(column.id)
                yield (
                    f"index {embedding_index.name}"
                    if embedding_index
                    else f"{record.name}.{column.name}"
                )
        for view in self.views():
            if name in columns_read_by_view(self.engine, view):
                yield f"view {view.name}"

    @cached_property
    def _visible_leaf(self) -> ManagedTable:
        return self.leaf.copy(hidden=False)

    def _own_column(self, name: str) -> Column | None:
        return self.record.column(name)

    def views(self) -> list[TableRecord]:
        """Return the views over the table."""
        catalog = self.engine.catalog
        return [*catalog.views_of(self.record.id), *catalog.queries_over(self.record.id)]

    def branches(self) -> list[TableRecord]:
        """Return the branches of the table."""
        return self.engine.catalog.branches_of(self.record.id)

    def _indexes_of(self, name: str) -> list[Index]:
        return [index for index in self.record.indexes if self._searched_column(index) == name]

    def _searched_column(self, index: Index) -> str:
        return searched_column(self.record, index, self.expression)

    def indexes(self) -> Iterator[str]:
        """Describe the embedding indexes: what they search, with which functions and metric."""
        for index in self.record.indexes:
            vectors = self.record.column_by_id(index.embedding)
            calls = [
                f"{kind} by {_call(call)}"
                for kind, call in embedding_calls(self.record, index, self.expression)
            ]
            length = getattr(vectors.dtype, "length", None)
            sizes = [f"vectors of {length} numbers"] if length else []
            parts = [*calls, f"metric={index.metric!r}", *sizes]
            column = f"{self.record.name}.{self._searched_column(index)}"
            yield f"{index.name}: {column}, {', '.join(parts)}"


def _call(call: FunctionCall) -> str:
    """Write an embedding call without its argument, and the version of its function."""
    text = call_code(call.function, call.version, call.template, ["…"] * len(call.values))
    return f"{text} (version {call.version})"


def _columns_used(value: ops.Value) -> tuple[str, ...]:
    """Return the names of the columns of tables that a value reads."""
    names: dict[str, None] = {}
    for field in value.find(ops.Field):
        rel: Any = field.rel.parent if isinstance(field.rel, ops.Reference) else field.rel
        if isinstance(rel, ManagedTable):
            names[f"{rel.name}.{field.name}"] = None
    return tuple(names)


def definition(leaf: ManagedTable, column: str) -> ColumnDefinition:
    """Return the definition of a column."""
    leaf.source.catalog.refresh()
    if column not in leaf.schema.names:
        raise ColumnNotFoundError(
            "there is no such column.",
            table=leaf.name,
            column=column,
            hint=one_of(column, leaf.schema.names, "Its columns are"),
        )
    return DefinitionReader(leaf).column(column)


def columns_info(leaf: ManagedTable) -> ResultSet:
    """Return the definitions of all columns, as a table."""
    leaf.source.catalog.refresh()
    return definitions_table(DefinitionReader(leaf).columns(), leaf.source)


def definitions_table(columns: Sequence[ColumnDefinition], engine: Engine) -> ResultSet:
    """Return definitions as a table, with a row for each."""
    import pyarrow as pa

    rows = [
        {
            "name": definition.column,
            "type": definition.type,
            "kind": definition.kind,
            "definition": None if definition.kind == "data" else str(definition),
            "functions": definition.versions(),
            "uses": list(definition.uses),
            "needed_by": list(definition.needed_by),
            "indexes": list(definition.indexes),
            "default": None if definition.default is None else repr(definition.default),
        }
        for definition in columns
    ]
    return ResultSet(pa.Table.from_pylist(rows, _INFO.to_pyarrow()), _INFO, engine.library)
