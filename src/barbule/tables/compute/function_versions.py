"""Columns that an older version of a function computed: which they are, and how they are mended.

Owns what is remembered of the versions by which stored values were computed. The stored
expression of a column says for which version of each function it was written; where another one
computed new rows since, the column remembers that too. The computation is `columns`' business.
"""

from __future__ import annotations

import json
import sys
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.schema as sch

from barbule.catalog import codec
from barbule.errors import MixedVersionsWarning, UnknownFunctionError
from barbule.executor.results.result_set import ResultSet
from barbule.functions.registry import lookup
from barbule.nodes import FunctionCall

if TYPE_CHECKING:
    from collections.abc import Iterable

    from barbule.catalog.records import Column, TableRecord
    from barbule.executor.engine import Engine
    from barbule.nodes import ManagedTable
    from barbule.tables.transaction.transaction import Transaction

__all__ = [
    "Stale",
    "mended",
    "mended_rows",
    "note_items",
    "note_versions",
    "rows_are_stale",
    "stale",
    "stale_columns",
    "warn_of_mixing",
]

Pairs = tuple[tuple[str, str], ...]  # functions and their versions

_SCHEMA = sch.Schema(
    {
        "column": "string",
        "function": "string",
        "computed": dt.Array(dt.string),
        "current": "string",
    }
)


@dataclass(frozen=True)
class Stale:
    """A function that has changed since it computed values.

    Attributes
    ----------
    column
        What it computed; None for the rows of a view, which an iterator gave.
    computed
        The versions by which it did.
    current
        The version that this process defines.
    """

    column: Column | None
    function: str
    computed: tuple[str, ...]
    current: str


def stale(leaf: ManagedTable) -> ResultSet:
    """List what an older version of a function computed."""
    import pyarrow as pa

    engine: Engine = leaf.source
    engine.catalog.refresh()
    record = engine.catalog.record(leaf.table_id, leaf.commit)
    rows = [
        {
            "column": each.column and _shown_name(record, each.column),
            "function": each.function,
            "computed": list(each.computed),
            "current": each.current,
        }
        for each in [*_stale_rows(engine, record), *stale_columns(engine, record)]
    ]
    return ResultSet(pa.Table.from_pylist(rows, _SCHEMA.to_pyarrow()), _SCHEMA, engine.library)


def _shown_name(record: TableRecord, column: Column) -> str:
    """Name a column; vectors of an index, by the column that is searched by them."""
    for index in record.indexes:
        if column.hidden and index.embedding == column.id:
            return record.column_by_id(index.column).name
    return column.name


def stale_columns(engine: Engine, record: TableRecord) -> list[Stale]:
    """Find the stored columns that an older version of a function computed, wholly or in part."""
    return [
        Stale(column, *found)
        for column in record.columns
        if column.kind == "stored"
        for found in _changed(engine, str(column.expression), column.computed)
    ]


def _stale_rows(engine: Engine, record: TableRecord) -> list[Stale]:
    if record.view is None or record.view.items is None:
        return []
    found = _changed(engine, record.view.items, record.view.computed)
    return [Stale(None, *each) for each in found]


def rows_are_stale(engine: Engine, record: TableRecord) -> bool:
    """Whether an older version of its iterator gave rows of a view."""
    return bool(_stale_rows(engine, record))


def _changed(
    engine: Engine, expression: str, computed: Pairs
) -> list[tuple[str, tuple[str, ...], str]]:
    """Return the functions that have changed, the versions that are older, and the current one.

    A function that this process does not define cannot have changed.
    """
    found = {}
    for call in _calls(engine, expression):
        current = _current(call)
        older = {call.version, *(v for name, v in computed if name == call.function)} - {current}
        older = {each for each in older if not _same(call, each)}
        if current is not None and older:
            found[call.function, current] = tuple(sorted(older))
    return [(name, older, current) for (name, current), older in found.items()]


def _calls(engine: Engine, expression: str) -> list[FunctionCall]:
    return list(engine.expression(expression, None).find(FunctionCall))


def _current(call: FunctionCall) -> str | None:
    """Return the version by which a call would be computed now; None where it cannot be.

    It is that of the call where this says the same, in the form that version 0.1.0 wrote.
    """
    try:
        function = lookup(call.function, call.version)
    except UnknownFunctionError:
        return None
    arguments = json.loads(call.template)
    if function.is_of(call.version, arguments):
        return call.version
    return function.version_of(arguments)


def _same(call: FunctionCall, version: str) -> bool:
    """Whether a version is that of the function as it is now, in whatever form."""
    try:
        return lookup(call.function, call.version).is_of(version, json.loads(call.template))
    except UnknownFunctionError:
        return False


def warn_of_mixing(
    transaction: Transaction, record: TableRecord, columns: Iterable[Column | None]
) -> None:
    """Warn where functions compute values beside those that other versions of them computed.

    Parameters
    ----------
    columns
        What is going to be computed; None stands for the rows of a view, which an iterator gives.
    """
    catalog, pending = transaction.engine.catalog, transaction.engine.catalog.pending
    if not any(version.next_rid for version in catalog.versions(record.id)):
        return  # there are no others
    if pending is not None and pending.operation == "recompute":
        return  # which was asked for
    latest = catalog.record(record.id)
    for column in columns:
        expression = column.expression if column else latest.view and latest.view.items
        if column is not None and all(each.id != column.id for each in latest.columns):
            continue
        for call in _calls(transaction.engine, str(expression)):
            current = _current(call)
            if current is not None and current != call.version:
                _warn(record, column, call, current)


def _warn(record: TableRecord, column: Column | None, call: FunctionCall, current: str) -> None:
    what = f"column {_shown_name(record, column)!r}" if column else "rows of its iterator"
    warnings.warn(
        f"table {record.name!r}, {what}: the function {call.function!r} that this process defines "
        f"(version {current}) is not the one by which the others were computed (version "
        f"{call.version}); new ones are computed by it. If it is the same function, changed: "
        'recompute(where="stale") computes the others again, and version= says that results are '
        "the same. If it is another function, as of another notebook, give each a name of its "
        'own: @bb.udf(name="...").',
        MixedVersionsWarning,
        stacklevel=_outside(),
    )


def _outside() -> int:
    """Count the calls up to the code that uses barbule."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and _is_own(frame.f_globals.get("__name__", "")):
        level, frame = level + 1, frame.f_back
    return level - 1


def _is_own(module: str) -> bool:
    return module.partition(".")[0] in {"barbule", "contextlib", "functools", "threading"}


def note_versions(transaction: Transaction, record: TableRecord, columns: Iterable[Column]) -> None:
    """Remember of columns that their functions, as they are now, computed values of them."""
    engine = transaction.engine
    latest = engine.catalog.record(record.id)
    noted = {}
    for column in columns:
        known = next((each for each in latest.columns if each.id == column.id), None)
        if known is not None:
            new = _unnoted(engine, str(known.expression), known.computed)
            if new:
                noted[known.id] = replace(known, computed=known.computed + new)
    if noted:
        kept = tuple(noted.get(each.id, each) for each in latest.columns)
        transaction.put_record(replace(latest, columns=kept))


def note_items(transaction: Transaction, record: TableRecord) -> None:
    """Remember of a view that its iterator, as it is now, gave rows of it."""
    latest = transaction.engine.catalog.record(record.id)
    view = latest.view
    if view is None or view.items is None:
        return
    new = _unnoted(transaction.engine, view.items, view.computed)
    if new:
        transaction.put_record(replace(latest, view=replace(view, computed=view.computed + new)))


def _unnoted(engine: Engine, expression: str, computed: Pairs) -> Pairs:
    calls = _calls(engine, expression)
    written = {(call.function, call.version) for call in calls}
    now = {(call.function, version) for call in calls if (version := _current(call)) is not None}
    return tuple(sorted(now - written - set(computed)))


def mended(engine: Engine, column: Column) -> Column:
    """Return the record of a column all of whose values were computed anew."""
    return replace(column, expression=_rewritten(engine, str(column.expression)), computed=())


def mended_rows(engine: Engine, record: TableRecord) -> TableRecord:
    """Return the record of a view all of whose rows its iterator gave anew."""
    view = record.view
    if view is None or view.items is None:
        return record
    items = _rewritten(engine, view.items)
    return replace(record, view=replace(view, items=items, computed=()))


def _rewritten(engine: Engine, expression: str) -> str:
    """Write an expression anew, for the current versions of its functions."""
    node = engine.expression(expression, None)

    def visit(each: ops.Node, kwargs: dict[str, Any] | None) -> ops.Node:
        made = each.__recreate__(kwargs) if kwargs else each
        if isinstance(made, FunctionCall):
            return made.copy(version=_current(made) or made.version)
        return made

    return codec.dump(node.replace(visit))
