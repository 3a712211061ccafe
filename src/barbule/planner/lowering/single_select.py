"""Lowering in one step: filters, projections, sorts over one table become one SELECT.

Owns the fast path for the most frequent queries. Ibis would compile the same chain of relations by
converting each into a SELECT and merging them two at a time, which takes several times as long as
the query over a small table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import ibis.expr.operations as ops

from barbule.fast_paths import fast_paths_enabled
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
from barbule.planner.lowering.inlining import Columns, DeepValueError, Inliner

__all__ = ["FlatTable", "flatten"]

_CHAIN = (ops.Project, ops.Filter, ops.Sort, ops.Limit, ops.Aggregate)
# Values that are more than a value of their row, or differ each time they are evaluated.
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
# Values are written out where they are used: where that repeats more nodes for one value, the
# columns that it reads are computed by a SELECT of their own below.
_MAX_REPEATED_NODES = 32
# The walks here are recursive; those of the general path are not.
_MAX_LEVELS = 60


class FlatTable(NamedTuple):
    """A managed table whose rows are in one relation of the backend.

    Attributes
    ----------
    stored
        The relation of its stored rows, of all versions.
    predicates
        The conditions on the rows that are visible.
    columns
        Its stored columns, as values over the stored rows.
    layers
        Its virtual columns, over the columns of the layers below and the stored ones.
    zone
        The zone of timestamps that have none.
    """

    stored: ops.Relation
    predicates: list[ops.Value]
    columns: Columns
    layers: list[dict[str, ops.Value]]
    zone: str


def flatten(
    root: ops.Relation, find_table: Callable[[ManagedTable, tuple[str, ...]], FlatTable]
) -> ops.Relation | None:
    """Lower a chain of relations over one managed table.

    Parameters
    ----------
    root
        The uppermost relation.
    find_table
        Gives a table with columns of these names as the backend has it.

    Returns
    -------
    ibis.expr.operations.Relation or None
        A `Select`, as Ibis' SQL compilers build it, or a relation on top of one; None if it is not
        such a chain.
    """
    chain: list[ops.Relation] = []
    relation = root
    while isinstance(relation, _CHAIN):
        chain.append(relation)
        relation = relation.parent
    if not isinstance(relation, ManagedTable) or not fast_paths_enabled():
        return None
    try:
        read_columns = _read_columns(root, chain)
        return _flattened(chain, read_columns, find_table(relation, read_columns[-1]))
    except (_NotFlatError, DeepValueError):
        return None


class _NotFlatError(Exception):
    """Ends the fast path if a value needs the general one."""


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
        # One, if rows are only counted.
        read_columns.append(tuple(names or relation.parent.schema.names[:1]))
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
    """A SELECT under construction.

    Attributes
    ----------
    base
        The relation that is selected from.
    columns
        The current columns, as values over the base.
    """

    def __init__(self, table: FlatTable) -> None:
        self.base = table.stored
        self.columns = table.columns
        self.predicates = list(table.predicates)
        self.keys: list[ops.SortKey] = []
        self.is_base = False  # whether it is only the base
        self._zone = table.zone

    def inlined(self, values: Iterable[ops.Value], names: tuple[str, ...]) -> list[ops.Value]:
        """Make values read the base.

        Parameters
        ----------
        names
            The columns that are read so far: where the values would become too large, these are
            computed by a SELECT of their own.
        """
        values = tuple(values)
        inliner = Inliner(self.columns, self.base, self._zone)
        results = [inliner(value) for value in values]
        if inliner.most_repeated <= _MAX_REPEATED_NODES:
            return results
        self._finish(names)
        return self.inlined(values, names)

    def filter(self, predicates: Iterable[ops.Value], names: tuple[str, ...]) -> None:
        """Add conditions."""
        self.predicates += self.inlined(predicates, names)
        self.is_base = False

    def project(
        self, values: Mapping[str, ops.Value], shown: tuple[str, ...], names: tuple[str, ...]
    ) -> None:
        """Replace the current columns.

        Parameters
        ----------
        shown
            The columns that are read of them.
        names
            As of `inlined`.
        """
        inliner = Inliner(self.columns, self.base, self._zone)
        columns = Columns(lambda name: inliner(values[name]))
        for name in shown:
            columns.add(name, inliner(values[name]), inliner.size)
        if inliner.most_repeated > _MAX_REPEATED_NODES:
            self._finish(names)
            self.project(values, shown, names)
            return
        self.columns = columns
        self.is_base = False

    def add_columns(self, values: Mapping[str, ops.Value]) -> None:
        """Compute columns beside those so far."""
        inliner = Inliner(self.columns, self.base, self._zone)
        inlined = {name: (inliner(value), inliner.size) for name, value in values.items()}
        for name, (value, size) in inlined.items():
            self.columns.add(name, value, size)
        self.is_base = False

    def sort(self, keys: Iterable[ops.SortKey], names: tuple[str, ...]) -> None:
        """Sort, first by these keys."""
        new_keys = self.inlined(keys, names)
        new_values = {key.arg for key in new_keys}
        all_keys = [*new_keys, *(key for key in self.keys if key.arg not in new_values)]
        self.keys = [key for key in all_keys if not isinstance(key.arg, ops.Literal)]
        self.is_base = False

    def _finish(self, names: tuple[str, ...]) -> None:
        """Compute these columns by a SELECT, and go on over it."""
        if self.keys:  # rows of a SELECT over another one have no order
            raise _NotFlatError
        self.restart(self.build(names))

    def restart(self, base: ops.Relation) -> None:
        """Continue over a finished relation."""
        self.base = base
        self.columns = Columns(lambda name: ops.Field(base, name))
        self.predicates = []
        self.keys = []
        self.is_base = True

    def build(self, names: tuple[str, ...]) -> ops.Relation:
        """Build the relation with the columns of these names."""
        from ibis.backends.sql.rewrites import Select

        if self.is_base and names == tuple(self.base.schema.names):
            return self.base
        return Select(
            self.base,
            selections={name: self.columns[name] for name in names},
            predicates=tuple(dict.fromkeys(self.predicates)),
            sort_keys=tuple(self.keys),
        )


def _flattened(
    chain: list[ops.Relation], read_columns: list[tuple[str, ...]], table: FlatTable
) -> ops.Relation:
    select = _SelectBuilder(table)
    _add_virtual_columns(select, table.layers, read_columns[-1])
    for relation, names, shown in zip(
        reversed(chain), reversed(read_columns[1:]), reversed(read_columns[:-1]), strict=True
    ):
        if isinstance(relation, ops.Filter):
            select.filter(relation.predicates, names)
        elif isinstance(relation, ops.Project):
            select.project(relation.values, shown, names)
        elif isinstance(relation, ops.Sort):
            select.sort(relation.keys, names)
        elif isinstance(relation, ops.Limit):
            rows = select.build(names)
            select.restart(ops.Limit(rows, n=relation.n, offset=relation.offset))
        else:
            select.restart(_aggregated(select, relation, names))
    if not read_columns[0]:
        raise _NotFlatError
    return select.build(read_columns[0])


def _add_virtual_columns(
    select: _SelectBuilder, layers: list[dict[str, ops.Value]], names: tuple[str, ...]
) -> None:
    """Compute the virtual columns of a table; each layer reads what the SELECT below it shows."""
    for number, layer in enumerate(layers):
        select.add_columns(layer)
        if number + 1 < len(layers):
            computed = {name for lower_layer in layers[: number + 1] for name in lower_layer}
            virtual = {name for each_layer in layers for name in each_layer}
            higher = [value for layer in layers[number + 1 :] for value in layer.values()]
            read = {field.name for value in higher for field in value.find(ops.Field)}
            shown = [name for name in (*names, *read) if name in computed or name not in virtual]
            select.restart(select.build(tuple(dict.fromkeys(shown))))


def _aggregated(
    select: _SelectBuilder, aggregate: ops.Aggregate, names: tuple[str, ...]
) -> ops.Relation:
    if select.predicates or select.keys:
        select.restart(select.build(names))
    groups, metrics = aggregate.groups, aggregate.metrics
    inlined = select.inlined([*groups.values(), *metrics.values()], names)
    return ops.Aggregate(
        select.base,
        groups=dict(zip(groups, inlined, strict=False)),
        metrics=dict(zip(metrics, inlined[len(groups) :], strict=True)),
    )
