"""Versions of a table for users: history, labels, time travel, diffs.

Owns the resolution of a version, a label or a timestamp to a leaf at a commit.
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
from barbule.versions import Checkpoint, Diff, diff, vector_drift

if TYPE_CHECKING:
    import ibis.expr.operations as ops

    from barbule.executor.engine import Engine
    from barbule.nodes import ManagedTable
    from barbule.tables.arguments import IfExists, IfNotExists

__all__ = ["VersionLike", "checkpoint", "diff_versions", "drop_checkpoint", "history", "leaf_at"]

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


def leaf_at(leaf: ManagedTable, version: VersionLike) -> ManagedTable:
    """Return the leaf of a table at a version."""
    engine: Engine = leaf.source
    engine.catalog.refresh()
    return engine.leaf(leaf.table_id, engine.catalog.resolve_commit(leaf.table_id, version))


def checkpoint(leaf: ManagedTable, label: str, if_exists: IfExists) -> Checkpoint:
    """Label the current version."""
    engine: Engine = leaf.source
    check_policy(if_exists, IF_EXISTS[:3], "if_exists")
    if not isinstance(label, str) or not label.strip():
        raise SchemaError(
            "a label must be a non-empty string.", table=leaf.name, value=label, hint='"baseline".'
        )
    check_storable(label, "the label", leaf.name)
    if leaf.commit is not None:
        raise UnsupportedError(
            "this is an old version of the table, and a checkpoint labels the current version.",
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
                f"the label {label!r} already names version {labelled}; the current version is "
                f"{version}.",
                table=leaf.name,
                hint='Choose another label, or move this one with if_exists="replace".',
            )
        if labelled is not None and if_exists == "ignore":
            return Checkpoint(labelled, label)
        if labelled != version:
            engine.database.catalog.add_label(Label(leaf.table_id, label, version))
    return Checkpoint(version, label)


def drop_checkpoint(leaf: ManagedTable, label: str, if_not_exists: IfNotExists) -> None:
    """Remove a label."""
    engine: Engine = leaf.source
    check_policy(if_not_exists, IF_NOT_EXISTS, "if_not_exists")
    with engine.backend.write_lock():
        engine.catalog.refresh()
        engine.catalog.record(leaf.table_id)
        labels = engine.catalog.labels(leaf.table_id)
        if label in labels:
            engine.database.catalog.remove_label(leaf.table_id, label)
        elif if_not_exists == "error":
            raise VersionError(
                "there is no such label.",
                table=leaf.name,
                value=label,
                hint=f"There are: {', '.join(map(repr, labels)) or 'none'}.",
            )


def diff_versions(leaf: ManagedTable, old: VersionLike, new: VersionLike) -> Diff:
    """Compare two versions of a table."""

    def state(version: VersionLike) -> tuple[int, ir.Table, ir.Table]:
        version_leaf = leaf_at(leaf, version)
        number = leaf.source.catalog.resolve(leaf.table_id, version).version
        return number, version_leaf.to_expr(), version_leaf.copy(hidden=True).to_expr()

    engine: Engine = leaf.source
    before, after = state(old), state(new)
    renamed = _renamed_columns(engine, leaf.table_id, old, new)
    drift = _vector_drift(engine, leaf.table_id, (old, before[2]), (new, after[2]))
    return diff(leaf.name, before, after, renamed, drift)


def _vector_drift(
    engine: Engine,
    table_id: int,
    old: tuple[VersionLike, ir.Table],
    new: tuple[VersionLike, ir.Table],
) -> dict[str, ir.Table]:
    """Pair the vectors of the indexes that both versions have, of the same length."""
    catalog = engine.catalog
    commits = [catalog.resolve_commit(table_id, version) for version, _ in (old, new)]
    old_record, new_record = (catalog.record(table_id, commit) for commit in commits)
    drift = {}
    for index in old_record.indexes:
        new_index = next(
            (candidate for candidate in new_record.indexes if candidate.name == index.name), None
        )
        if new_index is None:
            continue
        vectors = (
            old_record.column_by_id(index.embedding),
            new_record.column_by_id(new_index.embedding),
        )
        columns = (
            searched_column(old_record, index, partial(_read_expression, engine, commits[0])),
            searched_column(new_record, new_index, partial(_read_expression, engine, commits[1])),
        )
        if storage(vectors[0].dtype) == storage(vectors[1].dtype):
            drift[index.name] = vector_drift(
                old[1],
                new[1],
                columns,
                (vectors[0].name, vectors[1].name),
                engine.backend.similarity,
            )
    return drift


def _read_expression(engine: Engine, commit: int, text: str) -> ops.Node:
    return engine.expression(text, commit)


def _renamed_columns(
    engine: Engine, table_id: int, old: VersionLike, new: VersionLike
) -> dict[str, str]:
    """Return the new names of a table's own columns by their old ones."""
    catalog = engine.catalog
    before, after = (
        catalog.record(table_id, catalog.resolve_commit(table_id, version))
        for version in (old, new)
    )
    names = {column.id: column.name for column in after.columns}
    renamed = {
        column.name: names[column.id]
        for column in before.columns
        if not column.hidden and column.id in names and names[column.id] != column.name
    }
    # A column of another name that replaced the old one is that other column.
    old_names = {column.name for column in before.columns}
    return {
        old_name: new_name
        for old_name, new_name in renamed.items()
        if new_name not in old_names or new_name in renamed
    }


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
