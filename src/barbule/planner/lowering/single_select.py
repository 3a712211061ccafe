"""Lowering in one step: filters, projections, sorts over one table become one SELECT.

Owns the short way for the queries that are asked most. Ibis would compile the same chain of
relations by turning each into a SELECT and merging them two at a time, which takes several
times as long as running the query over a small table does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

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
from barbule.planner.rules.json_lists import compared_by_kind
from barbule.planner.rules.time_zones import by_the_clock
from barbule.types import storage, storage_schema

__all__ = ["Move", "flatten"]

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
_MOST_RELATIONS = 8
_MOST_NODES = 500
# The walks here are recursive; the long way's are not.
_MOST_LEVELS = 60

Columns = Callable[[str], ops.Value]


class Shown(NamedTuple):
    """A managed table as the backend has it.

    Attributes
    ----------
    stored
        The relation of its stored rows, of all versions.
    alive
        What holds for the rows that are seen.
    columns
        Gives a column, by its name, as a value over the stored rows.
    zone
        The zone of moments that have none.
    """

    stored: ops.Relation
    alive: list[ops.Value]
    columns: Columns
    zone: str


def flatten(
    root: ops.Relation, show: Callable[[ManagedTable], Shown | None]
) -> ops.Relation | None:
    """Lower a chain of relations over one managed table.

    Parameters
    ----------
    root
        The uppermost relation.
    show
        Gives a table as the backend has it, or None where that takes more than one relation.

    Returns
    -------
    ibis.expr.operations.Relation or None
        A `Select`, as Ibis' SQL compilers make them, or what stands on one; None for all that
        is no such chain.
    """
    chain: list[Any] = []
    node: Any = root
    while isinstance(node, _CHAIN):
        chain.append(node)
        node = node.parent
    if not isinstance(node, ManagedTable) or len(chain) > _MOST_RELATIONS:
        return None
    try:
        wanted = _wanted(root, chain)
        shown = show(node)
        return None if shown is None else _flat(chain, wanted, shown)
    except _NotFlatError:
        return None


class _NotFlatError(Exception):
    """Ends the short way where a value needs the long one."""


def _wanted(root: ops.Relation, chain: list[Any]) -> list[tuple[str, ...]]:
    """List for each relation the columns that what is above it reads."""
    wanted = [tuple(root.schema.names)]
    for node in chain:
        if isinstance(node, ops.Project):
            names: dict[str, None] = {}
            values: list[Any] = [node.values[name] for name in wanted[-1]]
            if len(values) < len(node.values) and any(map(changes_row_count, node.values.values())):
                raise _NotFlatError
        elif isinstance(node, ops.Aggregate):
            names = {}
            values = [*node.groups.values(), *node.metrics.values()]
        else:
            names = dict.fromkeys(wanted[-1])
            values = [*getattr(node, "predicates", ()), *getattr(node, "keys", ())]
        if isinstance(node, ops.Limit) and isinstance(node.n, ops.Node):
            raise _NotFlatError
        if isinstance(node, ops.Limit) and isinstance(node.offset, ops.Node):
            raise _NotFlatError
        for value in values:
            _collect_fields(value, names)
        wanted.append(tuple(names))
    return wanted


def _collect_fields(value: Any, names: dict[str, None], level: int = 0) -> None:
    if isinstance(value, ops.Field):
        names[value.name] = None
    elif isinstance(value, _BLOCKING) or level > _MOST_LEVELS:
        raise _NotFlatError
    elif isinstance(value, ops.Value):
        for argument in value.args:
            _collect_fields(argument, names, level + 1)
    elif isinstance(value, tuple):
        for item in value:
            _collect_fields(item, names, level)
    elif isinstance(value, Mapping):
        for item in value.values():
            _collect_fields(item, names, level)


class _Select:
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
        self.plain = False  # whether it is the base and nothing else

    def moved(self, value: Any) -> Any:
        """Make a value read the base."""
        return Move(self.columns, self.base, self.zone)(value)

    def projected(self, values: Mapping[str, ops.Value]) -> None:
        """Put other columns in place of those so far."""
        move = Move(self.columns, self.base, self.zone)
        self.columns = _Lazy(lambda name: move(values[name]))
        self.plain = False

    def sorted_by(self, keys: tuple[ops.SortKey, ...]) -> None:
        """Sort, first by these keys."""
        new = [self.moved(key) for key in keys]
        taken = {key.arg for key in new}
        kept = [*new, *(key for key in self.keys if key.arg not in taken)]
        self.keys = [key for key in kept if not isinstance(key.arg, ops.Literal)]
        self.plain = False

    def stand_on(self, base: ops.Relation) -> None:
        """Go on over a relation that is done."""
        columns = _Lazy(lambda name: ops.Field(base, name))
        self.__init__(base, columns, self.zone)  # type: ignore[misc]
        self.plain = True

    def finished(self, names: tuple[str, ...]) -> ops.Relation:
        """Make the relation with the columns of these names."""
        from ibis.backends.sql.rewrites import Select

        if self.plain and names == tuple(self.base.schema.names):
            return self.base
        return Select(
            self.base,
            selections={name: self.columns(name) for name in names},
            predicates=tuple(dict.fromkeys(self.predicates)),
            sort_keys=tuple(self.keys),
        )


def _flat(chain: list[Any], wanted: list[tuple[str, ...]], table: Shown) -> ops.Relation:
    made = _Select(table.stored, _Lazy(table.columns), table.zone)
    made.predicates = list(table.alive)
    for node, below in zip(reversed(chain), reversed(wanted[1:]), strict=True):
        if isinstance(node, ops.Filter):
            made.predicates += [made.moved(each) for each in node.predicates]
            made.plain = False
        elif isinstance(node, ops.Project):
            made.projected(node.values)
        elif isinstance(node, ops.Sort):
            made.sorted_by(node.keys)
        elif isinstance(node, ops.Limit):
            some = made.finished(_some(below, node))
            made.stand_on(ops.Limit(some, n=node.n, offset=node.offset))
        else:
            made.stand_on(_aggregated(made, node, _some(below, node)))
    if not wanted[0]:
        raise _NotFlatError
    return made.finished(wanted[0])


def _some(names: tuple[str, ...], node: Any) -> tuple[str, ...]:
    """Return the columns that are read, or one where rows are only counted."""
    return names or tuple(node.parent.schema.names[:1])


def _aggregated(made: _Select, node: Any, names: tuple[str, ...]) -> ops.Relation:
    if made.predicates or made.keys:
        made.stand_on(made.finished(names))
    groups = {name: made.moved(value) for name, value in node.groups.items()}
    metrics = {name: made.moved(value) for name, value in node.metrics.items()}
    return ops.Aggregate(made.base, groups=groups, metrics=metrics)


class _Lazy(dict[str, ops.Value]):
    """Columns that are made when they are asked for."""

    def __init__(self, make: Columns) -> None:
        super().__init__()
        self._make = make

    def __call__(self, name: str) -> ops.Value:
        if name not in self:
            self[name] = self._make(name)
        return self[name]


class Move:
    """Rewrites values: fields become columns over the base, our types those of storage.

    What asks for parts of moments goes by the clock of their zone.
    """

    def __init__(self, columns: Columns, base: ops.Relation, zone: str) -> None:
        self._columns = columns
        self._base = base
        self._zone = zone
        self._nodes = 0
        self._level = 0

    def __call__(self, value: Any) -> Any:
        """Rewrite a value, or what an operation holds beside values."""
        if isinstance(value, ops.Field):
            return self._columns(value.name)
        if isinstance(value, ops.Value):
            return self._rebuilt(value)
        if isinstance(value, tuple):
            return tuple(map(self, value))
        if isinstance(value, dt.DataType):
            return storage(value)
        if isinstance(value, sch.Schema):
            return storage_schema(value)
        if isinstance(value, ops.Relation):  # CountStar and the like hold it
            return self._base
        if isinstance(value, Mapping):
            return {name: self(item) for name, item in value.items()}
        return value

    def _rebuilt(self, value: ops.Value) -> ops.Value:
        self._nodes += 1
        self._level += 1
        if self._nodes > _MOST_NODES or self._level > _MOST_LEVELS:
            raise _NotFlatError
        arguments = [self(argument) for argument in value.args]
        self._level -= 1
        if any(new is not old for new, old in zip(arguments, value.args, strict=True)):
            value = value.__recreate__(dict(zip(value.argnames, arguments, strict=True)))
        return compared_by_kind(by_the_clock(value, self._zone))
