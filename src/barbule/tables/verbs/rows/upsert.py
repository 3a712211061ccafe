"""Matches rows by key: upsert and batch update.

Owns the join of new rows with existing ones. A key that is NULL matches no row and is refused:
its row would be inserted again each time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import ibis.expr.schema as sch
import ibis.expr.types as ir

from barbule.backends.base import RID
from barbule.errors import DataError
from barbule.tables.commit import run_transaction
from barbule.tables.compute.media_errors import cell_rules, clear_errors
from barbule.tables.compute.stored_rows import read_physical_rows
from barbule.tables.sources import read_rows
from barbule.tables.transaction.isolation import NothingToDo, isolated, single_pass_source
from barbule.tables.transaction.names import check_policy, own_column, physical_name
from barbule.tables.transaction.results import MutationResult
from barbule.tables.verbs.rows.changed_rows import write_differing_rows
from barbule.tables.verbs.rows.new_values import check_new_values
from barbule.tables.verbs.rows.row_writes import (
    calls_functions,
    data_schema,
    default_values,
    writable_record,
    write_new_rows,
)
from barbule.types import storage
from barbule.types.inference.frame_schemas import with_index

if TYPE_CHECKING:
    import pyarrow as pa

    from barbule.catalog.records import TableRecord
    from barbule.executor.engine import Engine
    from barbule.nodes import ManagedTable
    from barbule.tables.arguments import RowSource
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["IfMissing", "UpsertResult", "write_by_key"]

IfMissing = Literal["error", "ignore", "insert"]
_STAGED_KEYS = "bb_keys"
_POSITION = "bb_place"


@dataclass(frozen=True)
class UpsertResult(MutationResult):
    """The result of an upsert or a batch update.

    Attributes
    ----------
    inserted, updated
        The number of new rows, and of rows with a new state.
    """

    inserted: int = 0
    updated: int = 0


@isolated
def write_by_key(
    leaf: ManagedTable,
    source: RowSource,
    on: str | list[str],
    operation: str,
    if_missing: IfMissing,
) -> UpsertResult:
    """Update the rows with the same keys; insert, ignore or refuse the others."""
    engine: Engine = leaf.source
    check_policy(if_missing, ("error", "ignore", "insert"), "if_not_exists")
    since = engine.catalog.refresh()
    record = writable_record(leaf)
    engine.backend.check_writable()  # before media are stored
    keys = [on] if isinstance(on, str) else list(on)
    if not keys:
        raise DataError("no key columns were passed.", table=record.name, hint='on="name".')
    for name in keys:
        own_column(record, name)
    with single_pass_source(engine, source, record.name, since):
        return _write_source(leaf, source, keys, operation, if_missing, since=since)


def _write_source(
    leaf: ManagedTable,
    source: RowSource,
    keys: list[str],
    operation: str,
    if_missing: IfMissing,
    *,
    since: int,
) -> UpsertResult:
    engine: Engine = leaf.source
    record = writable_record(leaf)
    groups = [_read_group(engine, record, group, keys) for group in _groups_of_same_columns(source)]
    groups = [rows for rows in groups if rows.num_rows]
    _check_keys(groups, keys, record)
    if not groups:
        return UpsertResult(0, 0, engine.catalog.latest(record.id).version)

    def prepare(transaction: Transaction) -> tuple[int, int]:
        record = writable_record(transaction.leaf(leaf))
        counts = [_write_group(transaction, record, rows, keys, if_missing) for rows in groups]
        inserted, updated = (
            sum(inserted for inserted, _ in counts),
            sum(updated for _, updated in counts),
        )
        if not inserted and not updated:
            raise NothingToDo
        return inserted, updated

    try:
        slow = calls_functions(engine, record)
        transaction, (inserted, updated) = run_transaction(
            engine, operation, prepare, since=since, slow=slow
        )
    except NothingToDo:
        return UpsertResult(0, 0, engine.catalog.latest(record.id).version)
    return transaction.result(
        UpsertResult, record.id, inserted + updated, inserted=inserted, updated=updated
    )


def _groups_of_same_columns(source: RowSource) -> list[RowSource]:
    """Group records by their columns: columns that a record lacks stay unchanged."""
    source = [source] if isinstance(source, Mapping) else with_index(source)
    if not isinstance(source, list | tuple) or not all(
        isinstance(record, Mapping) for record in source
    ):
        return [source]
    groups: dict[frozenset[str], list[Mapping[str, Any]]] = {}
    for record in source:
        groups.setdefault(frozenset(record), []).append(record)
    return list(groups.values())


def _read_group(
    engine: Engine, record: TableRecord, source: RowSource, keys: list[str]
) -> pa.Table:
    """Read rows with the columns that the source has."""
    schema = data_schema(record)
    column_names = _column_names(source)
    if column_names is not None:
        missing = [name for name in keys if name not in column_names]
        if missing:
            raise DataError(
                "the key column is missing from the rows.", table=record.name, column=missing[0]
            )
        known_columns = {name: schema[name] for name in schema.names if name in column_names}
        unknown = [name for name in column_names if name not in schema]
        schema = (
            sch.Schema(known_columns) if not unknown else schema
        )  # the reader reports the unknown ones
    return read_rows(source, schema, record.name, engine.library, rules=cell_rules(record))


def _column_names(source: RowSource) -> list[str] | None:
    """Return the columns of a source; None if they are unknown."""
    if isinstance(source, list | tuple):
        return list(source[0]) if source and isinstance(source[0], Mapping) else None
    if hasattr(source, "column_names"):
        return list(source.column_names)
    return list(source.columns) if hasattr(source, "columns") else None


def _check_keys(groups: list[pa.Table], keys: list[str], record: TableRecord) -> None:
    """Refuse keys that are NULL, entirely or in part, and duplicate keys."""
    seen_keys: set[tuple[Any, ...]] = set()
    for rows in groups:
        key_rows = zip(*(rows.column(name).to_pylist() for name in keys), strict=True)
        for row, key in enumerate(key_rows):
            if None in key:
                raise DataError(
                    "a key value is NULL, so it identifies no row.",
                    table=record.name,
                    column=keys[key.index(None)],
                    row=row,
                    value=key if len(key) > 1 else None,
                    hint="Fill it, leave such rows out, or add them with insert(): a row without "
                    "a key would be new each time.",
                )
            if _hashable(key) in seen_keys:
                raise DataError(
                    "the key occurs twice.",
                    table=record.name,
                    column=", ".join(keys),
                    row=row,
                    value=key if len(key) > 1 else key[0],
                    hint="Pass each key once.",
                )
            seen_keys.add(_hashable(key))


def _hashable(key: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(str(part) if isinstance(part, list | dict) else part for part in key)


def _write_group(
    transaction: Transaction,
    record: TableRecord,
    rows: pa.Table,
    keys: list[str],
    if_missing: IfMissing,
) -> tuple[int, int]:
    import pyarrow as pa
    import pyarrow.compute as pc

    pairs = _matching_rows(transaction.engine, record, rows, keys)
    matched_positions = pairs.column(_POSITION)
    positions = pa.array(range(rows.num_rows), pa.int64())
    new_positions = positions.filter(
        pc.invert(pc.is_in(positions, value_set=matched_positions.combine_chunks()))
    )
    if len(new_positions) and if_missing == "error":
        first = new_positions[0].as_py()
        key = [rows.column(name)[first].as_py() for name in keys]
        raise DataError(
            "no row has this key.",
            table=record.name,
            column=", ".join(keys),
            row=first,
            value=key if len(key) > 1 else key[0],
            hint='Pass if_not_exists="insert" or "ignore", or use upsert().',
        )
    updated = _update_rows(transaction, record, rows, pairs, keys) if pairs.num_rows else 0
    if len(new_positions) and if_missing == "insert":
        _insert_rows(transaction, record, rows.take(new_positions))
        return len(new_positions), updated
    return 0, updated


def _matching_rows(
    engine: Engine, record: TableRecord, rows: pa.Table, keys: list[str]
) -> pa.Table:
    """Return the pairs of rows of the table and of the source that have the same key."""
    import pyarrow as pa

    schema = data_schema(record)
    positions = pa.array(range(rows.num_rows), pa.int64())
    staged_keys = pa.table(
        {
            _POSITION: positions,
            **{f"k{number}": rows.column(key) for number, key in enumerate(keys)},
        }
    )
    dtypes = {f"k{number}": storage(schema[name]) for number, name in enumerate(keys)}
    key_rows: ir.Table = engine.stored(
        _STAGED_KEYS, sch.Schema({_POSITION: "int64", **dtypes})
    ).to_expr()
    own_rows = engine.leaf(record.id, hidden=True).to_expr().select(RID, *keys)
    conditions = [own_rows[name] == key_rows[f"k{number}"] for number, name in enumerate(keys)]
    return engine.arrow(
        own_rows.join(key_rows, conditions).select(RID, _POSITION),
        staged={_STAGED_KEYS: staged_keys},
    )


def _update_rows(
    transaction: Transaction, record: TableRecord, rows: pa.Table, pairs: pa.Table, keys: list[str]
) -> int:
    import pyarrow.compute as pc

    engine = transaction.engine
    matched = engine.stored(_STAGED_KEYS, sch.Schema({RID: "int64"})).to_expr()
    leaf = engine.leaf(record.id, hidden=True).to_expr()
    staged = {_STAGED_KEYS: pairs.select([RID])}
    old = read_physical_rows(engine, record, leaf.semi_join(matched, RID), staged)
    order = pc.index_in(old.column(RID), value_set=pairs.column(RID).combine_chunks())
    positions = pairs.column(_POSITION).take(order)
    assigned = [name for name in rows.column_names if name not in keys]
    states = old
    for name in assigned:
        index = old.column_names.index(physical_name(record, name))
        states = states.set_column(
            index, old.column_names[index], rows.column(name).take(positions)
        )
        states = clear_errors(record, name, states)
    check_new_values(record, states, set(assigned))
    return write_differing_rows(transaction, record, states, old, assigned)


def _insert_rows(transaction: Transaction, record: TableRecord, rows: pa.Table) -> None:
    import pyarrow as pa

    schema = data_schema(record)
    values = default_values(record)
    columns = {}
    for name, dtype in schema.items():
        if name in rows.column_names:
            columns[name] = rows.column(name)
            continue
        single_schema = sch.Schema({name: dtype.copy(nullable=True)})
        cell = read_rows(
            {name: values.get(name)},
            single_schema,
            record.name,
            transaction.engine.library,
            rules=cell_rules(record),
        )
        columns[name] = cell.column(name).combine_chunks().take(pa.repeat(0, rows.num_rows))
    physical = pa.table({physical_name(record, name): cells for name, cells in columns.items()})
    check_new_values(record, physical, set(schema.names))
    physical = physical.append_column(RID, transaction.allocate_rids(record.id, rows.num_rows))
    write_new_rows(transaction, record, physical)
