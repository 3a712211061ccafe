"""Versions of a table as its users see them: history, labels, looks at old versions, diffs.

Owns the way from a version, a label or a moment to a leaf at a commit.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import ibis.expr.schema as sch
import ibis.expr.types as ir

from barbule.catalog.records import Label
from barbule.errors import SchemaError, UnsupportedError
from barbule.executor.results import ResultSet
from barbule.versions import Checkpoint, Diff, diff

if TYPE_CHECKING:
    from barbule.executor.engine import Engine
    from barbule.nodes import ManagedTable

__all__ = ["VersionLike", "at", "checkpoint", "difference", "history"]

VersionLike = int | str | datetime.datetime

_HISTORY = sch.Schema(
    {
        "version": "int64",
        "at": "timestamp('UTC')",
        "operation": "string",
        "rows": "int64",
        "labels": "array<string>",
    }
)


def at(leaf: ManagedTable, version: VersionLike) -> ManagedTable:
    """Return the leaf of a table as it was at a version."""
    engine: Engine = leaf.source
    found = engine.catalog.resolve(leaf.table_id, version)
    return engine.leaf(leaf.table_id, found.commit)


def checkpoint(leaf: ManagedTable, label: str) -> Checkpoint:
    """Give the current version a label."""
    engine: Engine = leaf.source
    if not isinstance(label, str) or not label.strip():
        raise SchemaError(
            "a label is a text that is not empty.", table=leaf.name, value=label, hint='"baseline".'
        )
    if leaf.commit is not None:
        raise UnsupportedError(
            "this is a look at an old version, and a checkpoint labels the current one.",
            table=leaf.name,
            hint="Call checkpoint on the table itself.",
        )
    with engine.backend.writing():
        engine.catalog.refresh()
        version = engine.catalog.latest(leaf.table_id).version
        engine.catalog.add_label(Label(leaf.table_id, label, version))
    return Checkpoint(version, label)


def difference(leaf: ManagedTable, old: VersionLike, new: VersionLike) -> Diff:
    """Compare two versions of a table."""

    def state(version: VersionLike) -> tuple[int, ir.Table, ir.Table]:
        seen = at(leaf, version)
        number = leaf.source.catalog.resolve(leaf.table_id, version).version
        return number, seen.to_expr(), seen.copy(hidden=True).to_expr()

    return diff(leaf.name, state(old), state(new))


def history(leaf: ManagedTable) -> ResultSet:
    """Return the versions of a table, newest first."""
    import pyarrow as pa

    engine: Engine = leaf.source
    names: dict[int, list[str]] = {}
    for label, version in engine.catalog.labels(leaf.table_id).items():
        names.setdefault(version, []).append(label)
    rows = [
        {
            "version": version.version,
            "at": engine.catalog.commit(version.commit).at,
            "operation": version.operation,
            "rows": version.rows,
            "labels": names.get(version.version, []),
        }
        for version in reversed(engine.catalog.versions(leaf.table_id))
    ]
    table = pa.Table.from_pylist(rows, _HISTORY.to_pyarrow())
    return ResultSet(table, _HISTORY, engine.library)
