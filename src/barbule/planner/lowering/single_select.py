"""Lowering in one step: filters, projections, sorts over one table become one SELECT.

Owns the fast path for the most frequent queries. Ibis would compile the same chain of relations
by turning each into a SELECT and merging them two at a time, which takes several times as long as
running the query over a small table does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.schema as sch

from barbule.nodes import (
    CellError,
    FunctionCall,
    KeywordScore,
    ManagedTable,
    Recorded,
    RerankedScore,
    Similarity,
    TableScore,
)
from barbule.planner.lineage import changes_row_count
from barbule.planner.lowering.json_lists import unwrap_json
from barbule.planner.lowering.time_zones import in_local_time
from barbule.types import storage, storage_schema

if TYPE_CHECKING:
    from typing import Any

__all__ = ["FlatTable", "Inliner", "flatten"]

_CHAIN = (ops.Project, ops.Filter, ops.Sort, ops.Limit, ops.Aggregate)
# What is more than a value of its row, or not the same each time that it is written down.
_BLOCKING = (
    ops.Analytic,
    ops.CountDistinctStar,
    ops.Impure,
    ops.Subquery,
    ops.Unnest,
    ops.WindowFunction,
    CellError,
    FunctionCall,
    KeywordScore,
    Recorded,
    RerankedScore,
    Similarity,
    TableScore,
)
# Values are written out where they are used: chains of projections may not multiply them.
_MAX_RELATIONS = 8
_MAX_NODES = 500
# The walks here are recursive; those of the general path are not.
_MAX_LEVELS = 60

# Gives a column, by its name, as a value over some relation.
Columns: TypeAlias = Callable[[str], ops.Value]


class FlatTable(NamedTuple):
    """A managed table whose rows one relation of the backend holds.

    Attributes
    ----------
    stored
        The relation of its stored rows, of all versions.
    predicates
        The conditions on the rows that are visible.
    columns
        Gives a column, by its name, as a value over the stored rows.
    zone
        The zone of timestamps that have none.
    """

    stored: ops.Relation
    predicates: list[ops.Value]
    columns: Columns
    zone: str


def flatten(
    root: ops.Relation, find_table: Callable[[ManagedTable], FlatTable | None]
) -> ops.Relation | None:
    """Lower a chain of relations over one managed table.

    Parameters
    ----------
    root
        The uppermost relation.
    find_table
        Gives a table as the backend has it, or None where that takes more than one relation.

    Returns
    -------
    ibis.expr.operations.Relation or None
        A `Select`, as Ibis' SQL compilers make them, or what stands on one; None for all that
        is no such chain.
    """
    chain: list[ops.Relation] = []
    relation = root
    while isinstance(relation, _CHAIN):
        chain.append(relation)
        relation = relation.parent
    if not isinstance(relation, ManagedTable) or len(chain) > _MAX_RELATIONS:
        return None
    try:
        read_columns = _read_columns(root, chain)
        table = find_table(relation)
        return None if table is None else _flattened(chain, read_columns, table)
    except _NotFlatError:
        return None


class _NotFlatError(Exception):
    """Ends the fast path where a value needs the general one."""


def _read_columns(root: ops.Relation, chain: list[ops.Relation]) -> list[tuple[str, ...]]:
    """List for each relation the columns that are read of it, the table's last."""
    read_columns = [tuple(root.schema.names)]
    for relation in chain:
        if isinstance(relation, ops.Project):
            names: dict[str, None] = {}
            columns = relation.values
            values: list[ops.Value] = [columns[name] for name in read_columns[-1]]
            if len(values) < len(columns) and any(map(changes_row_count, columns.values())):
                raise _NotFlatError
        elif isinstance(relation, ops.Aggregate):
            names = {}
            values = [*relation.groups.values(), *relation.metrics.values()]
        else:
            names = dict.fromkeys(read_columns[-1])
            values = [*getattr(relation, "predicates", ()), *getattr(relation, "keys", ())]
        if isinstance(relation, ops.Limit) and isinstance(relation.n, ops.Node):
            raise _NotFlatError
        if isinstance(relation, ops.Limit) and isinstance(relation.offset, ops.Node):
            raise _NotFlatError
        for value in values:
            _collect_fields(value, names)
        read_columns.append(tuple(names))
    return read_columns


def _collect_fields(argument: object, names: dict[str, None], level: int = 0) -> None:
    if isinstance(argument, ops.Field):
        names[argument.name] = None
    elif isinstance(argument, _BLOCKING) or level > _MAX_LEVELS:
        raise _NotFlatError
    elif isinstance(argument, ops.Value):
        for child in argument.args:
            _collect_fields(child, names, level + 1)
    elif isinstance(argument, tuple):
        for member in argument:
            _collect_fields(member, names, level)
    elif isinstance(argument, Mapping):
        for member in argument.values():
            _collect_fields(member, names, level)


class _SelectBuilder:
    """A SELECT in the making.

    Attributes
    ----------
    base
        What is selected from.
    columns
        The columns so far, as values over the base.
    """

    def __init__(self, base: ops.Relation, columns: Columns, zone: str) -> None:
        self.base = base
        self.columns = columns
        self.zone = zone
        self.predicates: list[ops.Value] = []
        self.keys: list[ops.SortKey] = []
        self.is_base = False  # whether it is the base and nothing else

    def inlined(self, value: ops.Value) -> ops.Value:
        """Make a value read the base."""
        return Inliner(self.columns, self.base, self.zone)(value)

    def filter(self, predicates: tuple[ops.Value, ...]) -> None:
        """Add conditions."""
        self.predicates += [self.inlined(predicate) for predicate in predicates]
        self.is_base = False

    def project(self, values: Mapping[str, ops.Value]) -> None:
        """Put other columns in place of those so far."""
        inline = Inliner(self.columns, self.base, self.zone)
        self.columns = _LazyColumns(lambda name: inline(values[name]))
        self.is_base = False

    def sort(self, keys: tuple[ops.SortKey, ...]) -> None:
        """Sort, first by these keys."""
        new_keys = [self.inlined(key) for key in keys]
        new_values = {key.arg for key in new_keys}
        all_keys = [*new_keys, *(key for key in self.keys if key.arg not in new_values)]
        self.keys = [key for key in all_keys if not isinstance(key.arg, ops.Literal)]
        self.is_base = False

    def restart(self, base: ops.Relation) -> None:
        """Go on over a relation that is done."""
        self.base = base
        self.columns = _LazyColumns(lambda name: ops.Field(base, name))
        self.predicates = []
        self.keys = []
        self.is_base = True

    def build(self, names: tuple[str, ...]) -> ops.Relation:
        """Make the relation with the columns of these names."""
        from ibis.backends.sql.rewrites import Select

        if self.is_base and names == tuple(self.base.schema.names):
            return self.base
        return Select(
            self.base,
            selections={name: self.columns(name) for name in names},
            predicates=tuple(dict.fromkeys(self.predicates)),
            sort_keys=tuple(self.keys),
        )


def _flattened(
    chain: list[ops.Relation], read_columns: list[tuple[str, ...]], table: FlatTable
) -> ops.Relation:
    select = _SelectBuilder(table.stored, _LazyColumns(table.columns), table.zone)
    select.predicates = list(table.predicates)
    for relation, names in zip(reversed(chain), reversed(read_columns[1:]), strict=True):
        if isinstance(relation, ops.Filter):
            select.filter(relation.predicates)
        elif isinstance(relation, ops.Project):
            select.project(relation.values)
        elif isinstance(relation, ops.Sort):
            select.sort(relation.keys)
        elif isinstance(relation, ops.Limit):
            rows = select.build(_at_least_one(names, relation))
            select.restart(ops.Limit(rows, n=relation.n, offset=relation.offset))
        else:
            select.restart(_aggregated(select, relation, _at_least_one(names, relation)))
    if not read_columns[0]:
        raise _NotFlatError
    return select.build(read_columns[0])


def _at_least_one(names: tuple[str, ...], relation: ops.Relation) -> tuple[str, ...]:
    """Return the columns that are read, or one where rows are only counted."""
    return names or tuple(relation.parent.schema.names[:1])


def _aggregated(
    select: _SelectBuilder, aggregate: ops.Aggregate, names: tuple[str, ...]
) -> ops.Relation:
    if select.predicates or select.keys:
        select.restart(select.build(names))
    groups = {name: select.inlined(value) for name, value in aggregate.groups.items()}
    metrics = {name: select.inlined(value) for name, value in aggregate.metrics.items()}
    return ops.Aggregate(select.base, groups=groups, metrics=metrics)


class _LazyColumns(dict[str, ops.Value]):
    """Columns that are made when they are read."""

    def __init__(self, make: Columns) -> None:
        super().__init__()
        self._make = make

    def __call__(self, name: str) -> ops.Value:
        if name not in self:
            self[name] = self._make(name)
        return self[name]


class Inliner:
    """Rewrites values: fields become columns over the base, our types those of storage.

    What reads parts of timestamps goes by the clock of their zone.
    """

    def __init__(self, columns: Columns, base: ops.Relation, zone: str) -> None:
        self._columns = columns
        self._base = base
        self._zone = zone
        self._node_count = 0
        self._level = 0

    def __call__(self, argument: Any) -> Any:
        """Rewrite a value, or what an operation holds besides values."""
        if isinstance(argument, ops.Field):
            return self._columns(argument.name)
        if isinstance(argument, ops.Value):
            return self._rebuilt(argument)
        if isinstance(argument, tuple):
            return tuple(map(self, argument))
        if isinstance(argument, dt.DataType):
            return storage(argument)
        if isinstance(argument, sch.Schema):
            return storage_schema(argument)
        if isinstance(argument, ops.Relation):  # CountStar and the like hold it
            return self._base
        if isinstance(argument, Mapping):
            return {name: self(member) for name, member in argument.items()}
        return argument

    def _rebuilt(self, value: ops.Value) -> ops.Value:
        self._node_count += 1
        self._level += 1
        if self._node_count > _MAX_NODES or self._level > _MAX_LEVELS:
            raise _NotFlatError
        arguments = [self(argument) for argument in value.args]
        self._level -= 1
        if any(new is not old for new, old in zip(arguments, value.args, strict=True)):
            value = value.__recreate__(dict(zip(value.argnames, arguments, strict=True)))
        return unwrap_json(in_local_time(value, self._zone))
