"""Versions of a table as its users see them: history, labels, looks at old versions, diffs.

Owns the way from a version, a label or a moment to a leaf at a commit.
"""

from __future__ import annotations

import datetime
from functools import partial
from typing import TYPE_CHECKING

import ibis.expr.schema as sch
import ibis.expr.types as ir

from barbule.catalog.records import Label
from barbule.errors import SchemaError, TableExistsError, UnsupportedError, VersionError
from barbule.executor.results.result_set import ResultSet
from barbule.executor.search.index_lookup import searched_column
from barbule.tables.transaction.names import IF_EXISTS, IF_NOT_EXISTS, check_policy, check_storable
from barbule.types import storage
from barbule.versions import Checkpoint, Diff, diff, drifted

if TYPE_CHECKING:
    import ibis.expr.operations as ops

    from barbule.executor.engine import Engine
    from barbule.nodes import ManagedTable
    from barbule.tables.arguments import IfExists, IfNotExists

__all__ = ["VersionLike", "at", "checkpoint", "difference", "drop_checkpoint", "history"]

VersionLike = int | str | datetime.datetime

_HISTORY = sch.Schema(
    {
        "version": "int64",
        "at": "timestamp('UTC')",
        "operation": "string",
        "rows": "int64",
        "by": "string",
        "seconds": "float64",
        "labels": "array<string>",
    }
)


def at(leaf: ManagedTable, version: VersionLike) -> ManagedTable:
    """Return the leaf of a table as it was at a version."""
    engine: Engine = leaf.source
    engine.catalog.refresh()
    return engine.leaf(leaf.table_id, engine.catalog.resolve_commit(leaf.table_id, version))


def checkpoint(leaf: ManagedTable, label: str, if_exists: IfExists) -> Checkpoint:
    """Give the current version a label."""
    engine: Engine = leaf.source
    check_policy(if_exists, IF_EXISTS[:3], "if_exists")
    if not isinstance(label, str) or not label.strip():
        raise SchemaError(
            "a label is a text that is not empty.", table=leaf.name, value=label, hint='"baseline".'
        )
    check_storable(label, "the label", leaf.name)
    if leaf.commit is not None:
        raise UnsupportedError(
            "this is a look at an old version, and a checkpoint labels the current one.",
            table=leaf.name,
            hint="Call checkpoint on the table itself.",
        )
    with engine.backend.write_lock():
        engine.catalog.refresh()
        engine.catalog.record(leaf.table_id)  # a table that has been dropped has no version
        version = engine.catalog.latest(leaf.table_id).version
        labelled = engine.catalog.labels(leaf.table_id).get(label)
        if labelled not in {None, version} and if_exists == "error":
            raise TableExistsError(
                f"the label {label!r} stands for version {labelled}, and the current one is "
                f"{version}.",
                table=leaf.name,
                hint='Choose another label, or move this one: give if_exists="replace".',
            )
        if labelled is not None and if_exists == "ignore":
            return Checkpoint(labelled, label)
        if labelled != version:
            engine.catalog.add_label(Label(leaf.table_id, label, version))
    return Checkpoint(version, label)


def drop_checkpoint(leaf: ManagedTable, label: str, if_not_exists: IfNotExists) -> None:
    """Take a label away from the version that has it."""
    engine: Engine = leaf.source
    check_policy(if_not_exists, IF_NOT_EXISTS, "if_not_exists")
    with engine.backend.write_lock():
        engine.catalog.refresh()
        engine.catalog.record(leaf.table_id)
        labels = engine.catalog.labels(leaf.table_id)
        if label in labels:
            engine.catalog.remove_label(leaf.table_id, label)
        elif if_not_exists == "error":
            raise VersionError(
                "there is no such label.",
                table=leaf.name,
                value=label,
                hint=f"There are: {', '.join(map(repr, labels)) or 'none'}.",
            )


def difference(leaf: ManagedTable, old: VersionLike, new: VersionLike) -> Diff:
    """Compare two versions of a table."""

    def state(version: VersionLike) -> tuple[int, ir.Table, ir.Table]:
        seen = at(leaf, version)
        number = leaf.source.catalog.resolve(leaf.table_id, version).version
        return number, seen.to_expr(), seen.copy(hidden=True).to_expr()

    engine: Engine = leaf.source
    before, after = state(old), state(new)
    renamed = _renamed(engine, leaf.table_id, old, new)
    drift = _drift(engine, leaf.table_id, (old, before[2]), (new, after[2]))
    return diff(leaf.name, before, after, renamed, drift)


def _drift(
    engine: Engine,
    table_id: int,
    old: tuple[VersionLike, ir.Table],
    new: tuple[VersionLike, ir.Table],
) -> dict[str, ir.Table]:
    """Pair the vectors of the indexes that both versions have, of the same length."""
    catalog = engine.catalog
    moments = [catalog.resolve_commit(table_id, at) for at, _ in (old, new)]
    one, two = (catalog.record(table_id, moment) for moment in moments)
    found = {}
    for index in one.indexes:
        later = next((each for each in two.indexes if each.name == index.name), None)
        if later is None:
            continue
        vectors = one.column_by_id(index.embedding), two.column_by_id(later.embedding)
        columns = (
            searched_column(one, index, partial(_read, engine, moments[0])),
            searched_column(two, later, partial(_read, engine, moments[1])),
        )
        if storage(vectors[0].dtype) == storage(vectors[1].dtype):
            found[index.name] = drifted(
                old[1],
                new[1],
                columns,
                (vectors[0].name, vectors[1].name),
                engine.similarity,
            )
    return found


def _read(engine: Engine, commit: int, text: str) -> ops.Node:
    return engine.expression(text, commit)


def _renamed(engine: Engine, table_id: int, old: VersionLike, new: VersionLike) -> dict[str, str]:
    """Return the new names of a table's own columns by their old ones."""
    catalog = engine.catalog
    before, after = (
        catalog.record(table_id, catalog.resolve_commit(table_id, version))
        for version in (old, new)
    )
    names = {column.id: column.name for column in after.columns}
    found = {
        column.name: names[column.id]
        for column in before.columns
        if not column.hidden and column.id in names and names[column.id] != column.name
    }
    # A column of another name that took the place of the old one is that other column.
    taken = {column.name for column in before.columns}
    return {was: now for was, now in found.items() if now not in taken or now in found}


def history(leaf: ManagedTable) -> ResultSet:
    """Return the versions of a table, newest first."""
    import pyarrow as pa

    engine: Engine = leaf.source
    engine.catalog.refresh()
    engine.catalog.record(leaf.table_id, leaf.commit)
    names: dict[int, list[str]] = {}
    for label, version in engine.catalog.labels(leaf.table_id).items():
        names.setdefault(version, []).append(label)
    rows = [
        {
            "version": version.version,
            "at": engine.catalog.commit(version.commit).at,
            "operation": version.operation,
            "rows": version.rows,
            "by": engine.catalog.commit(version.commit).by,
            "seconds": engine.catalog.commit(version.commit).seconds,
            "labels": names.get(version.version, []),
        }
        for version in reversed(engine.catalog.versions(leaf.table_id))
        if engine.catalog.readable_commit(leaf.table_id, version) is not None
    ]
    table = pa.Table.from_pylist(rows, _HISTORY.to_pyarrow())
    return ResultSet(table, _HISTORY, engine.library)
