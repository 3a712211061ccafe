"""The versions of functions that computed stored values, and which of them are stale.

Owns their record in the catalog. The stored expression of a column names a version of each
function; if another version has computed rows since, the record of the column lists it too.
`computed_columns` computes the values.
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
    "StaleValues",
    "has_stale_rows",
    "record_iterator_versions",
    "record_versions",
    "stale_columns",
    "stale_table",
    "warn_of_mixed_versions",
    "with_current_iterator",
    "with_current_versions",
]

VersionPairs = tuple[tuple[str, str], ...]  # functions and their versions

_SCHEMA = sch.Schema(
    {
        "column": "string",
        "function": "string",
        "computed": dt.Array(dt.string),
        "current": "string",
    }
)


@dataclass(frozen=True)
class StaleValues:
    """A function that has changed since it computed values.

    Attributes
    ----------
    column
        The computed column; None for the rows of a view, which an iterator returned.
    computed
        The versions that computed it.
    current
        The version that this process defines.
    """

    column: Column | None
    function: str
    computed: tuple[str, ...]
    current: str


def stale_table(leaf: ManagedTable) -> ResultSet:
    """List what an older version of a function computed."""
    import pyarrow as pa

    engine: Engine = leaf.source
    engine.catalog.refresh()
    record = engine.catalog.record(leaf.table_id, leaf.commit)
    rows = [
        {
            "column": values.column and _display_name(record, values.column),
            "function": values.function,
            "computed": list(values.computed),
            "current": values.current,
        }
        for values in [*_stale_rows(engine, record), *stale_columns(engine, record)]
    ]
    return ResultSet(pa.Table.from_pylist(rows, _SCHEMA.to_pyarrow()), _SCHEMA, engine.library)


def _display_name(record: TableRecord, column: Column) -> str:
    """Return the name of a column for users; for vectors, that of the indexed column."""
    for index in record.indexes:
        if column.hidden and index.embedding == column.id:
            return record.column_by_id(index.column).name
    return column.name


def stale_columns(engine: Engine, record: TableRecord) -> list[StaleValues]:
    """Find the stored columns that an older version of a function computed, entirely or in part."""
    return [
        StaleValues(column, *changed)
        for column in record.columns
        if column.kind == "stored"
        for changed in _changed_functions(engine, str(column.expression), column.computed)
    ]


def _stale_rows(engine: Engine, record: TableRecord) -> list[StaleValues]:
    if record.view is None or record.view.items is None:
        return []
    changed_functions = _changed_functions(engine, record.view.items, record.view.computed)
    return [StaleValues(None, *changed) for changed in changed_functions]


def has_stale_rows(engine: Engine, record: TableRecord) -> bool:
    """Whether an older version of its iterator returned rows of a view."""
    return bool(_stale_rows(engine, record))


def _changed_functions(
    engine: Engine, expression: str, computed: VersionPairs
) -> list[tuple[str, tuple[str, ...], str]]:
    """Return the functions that have changed, with their older and current versions.

    A function that this process does not define cannot have changed.
    """
    older_versions = {}
    for call in _function_calls(engine, expression):
        current = _current_version(call)
        versions = {
            call.version,
            *(version for name, version in computed if name == call.function),
        } - {current}
        versions = {version for version in versions if not _is_current(call, version)}
        if current is not None and versions:
            older_versions[call.function, current] = tuple(sorted(versions))
    return [(name, versions, current) for (name, current), versions in older_versions.items()]


def _function_calls(engine: Engine, expression: str) -> tuple[FunctionCall, ...]:
    return engine.facts.calls_in(expression)


class _CurrentVersions:
    """The versions of calls as their functions are now, each looked at once.

    To hash what a function runs takes longer than many a call of it, and columns share functions.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], str | None] = {}

    def current(self, call: FunctionCall) -> str | None:
        """Return what `_current_version` does."""
        key = call.function, call.version, call.template
        if key not in self._known:
            self._known[key] = _current_version(call)
        return self._known[key]


def _current_version(call: FunctionCall) -> str | None:
    """Return the version that would compute a call now; None if there is none.

    It is that of the call if that version is equivalent, in the format of version 0.1.0.
    """
    try:
        function = lookup(call.function, call.version)
    except UnknownFunctionError:
        return None
    arguments = json.loads(call.template)
    if function.has_version(call.version, arguments):
        return call.version
    return function.version_of_call(arguments)


def _is_current(call: FunctionCall, version: str) -> bool:
    """Whether a version is that of the current function, in any format."""
    try:
        return lookup(call.function, call.version).has_version(version, json.loads(call.template))
    except UnknownFunctionError:
        return False


def warn_of_mixed_versions(
    transaction: Transaction, record: TableRecord, columns: Iterable[Column | None]
) -> None:
    """Warn where new values would be mixed with those of other function versions.

    Parameters
    ----------
    columns
        The columns to compute; None stands for the rows of a view, which an iterator returns.
    """
    catalog = transaction.engine.catalog
    if not any(version.next_rid for version in catalog.versions(record.id)):
        return  # there are no others
    if transaction.pending.operation == "recompute":
        return  # which have that purpose
    latest = catalog.record(record.id)
    versions = _CurrentVersions()
    for column in columns:
        expression = column.expression if column else latest.view and latest.view.items
        if column is not None and column.id not in latest.columns_by_id:
            continue
        for call in _function_calls(transaction.engine, str(expression)):
            current = versions.current(call)
            if current is not None and current != call.version:
                _warn(record, column, call, current)


def _warn(record: TableRecord, column: Column | None, call: FunctionCall, current: str) -> None:
    subject = f"column {_display_name(record, column)!r}" if column else "rows of its iterator"
    warnings.warn(
        f"table {record.name!r}, {subject}: the function {call.function!r} that this process "
        f"defines (version {current}) differs from the one that computed the existing cells "
        f"(version {call.version}); new cells use the current one. If you changed the function, "
        'recompute(where="stale") recomputes the existing cells, or set version= if the results '
        "are the same. If it is a different function, for example from another notebook, give "
        'each its own name: @bb.udf(name="...").',
        MixedVersionsWarning,
        stacklevel=_stack_level(),
    )


def _stack_level() -> int:
    """Return the `stacklevel` of the code that called barbule."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and _is_internal(frame.f_globals.get("__name__", "")):
        level, frame = level + 1, frame.f_back
    return level - 1


def _is_internal(module: str) -> bool:
    return module.partition(".")[0] in {"barbule", "contextlib", "functools", "threading"}


def record_versions(
    transaction: Transaction, record: TableRecord, columns: Iterable[Column]
) -> None:
    """Record the current function versions that have computed values of columns."""
    engine = transaction.engine
    latest = engine.catalog.record(record.id)
    updated = {}
    versions = _CurrentVersions()
    for column in columns:
        latest_column = latest.columns_by_id.get(column.id)
        if latest_column is not None:
            new_versions = _new_versions(
                engine, str(latest_column.expression), latest_column.computed, versions
            )
            if new_versions:
                updated[latest_column.id] = replace(
                    latest_column, computed=latest_column.computed + new_versions
                )
    if updated:
        columns_now = tuple(
            updated.get(latest_column.id, latest_column) for latest_column in latest.columns
        )
        transaction.put_record(replace(latest, columns=columns_now))


def record_iterator_versions(transaction: Transaction, record: TableRecord) -> None:
    """Record the current version of a view's iterator, which has created rows of it."""
    latest = transaction.engine.catalog.record(record.id)
    view = latest.view
    if view is None or view.items is None:
        return
    new_versions = _new_versions(transaction.engine, view.items, view.computed, _CurrentVersions())
    if new_versions:
        transaction.put_record(
            replace(latest, view=replace(view, computed=view.computed + new_versions))
        )


def _new_versions(
    engine: Engine, expression: str, computed: VersionPairs, versions: _CurrentVersions
) -> VersionPairs:
    calls = _function_calls(engine, expression)
    written = {(call.function, call.version) for call in calls}
    current = {
        (call.function, version)
        for call in calls
        if (version := versions.current(call)) is not None
    }
    return tuple(sorted(current - written - set(computed)))


def with_current_versions(engine: Engine, column: Column) -> Column:
    """Return the record of a column whose values were all computed by current versions."""
    return replace(
        column, expression=_with_current_calls(engine, str(column.expression)), computed=()
    )


def with_current_iterator(engine: Engine, record: TableRecord) -> TableRecord:
    """Return the record of a view whose rows were all created by the current iterator."""
    view = record.view
    if view is None or view.items is None:
        return record
    items = _with_current_calls(engine, view.items)
    return replace(record, view=replace(view, items=items, computed=()))


def _with_current_calls(engine: Engine, expression: str) -> str:
    """Rewrite an expression for the current versions of its functions."""
    node = engine.expression(expression, None)

    def visit(node: ops.Node, kwargs: dict[str, Any] | None) -> ops.Node:
        rebuilt = node.__recreate__(kwargs) if kwargs else node
        if isinstance(rebuilt, FunctionCall):
            return rebuilt.copy(version=_current_version(rebuilt) or rebuilt.version)
        return rebuilt

    return codec.dump(node.replace(visit))
