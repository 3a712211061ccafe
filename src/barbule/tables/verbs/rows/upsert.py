"""Rows that are found by their key: upsert and batch update.

Owns the pairing of given rows with those that are there. A key that is missing (NULL) names no
row, and is refused: it would be inserted anew each time.
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
from barbule.tables.compute.media_errors import cell_rules, without_reasons
from barbule.tables.compute.stored_rows import physical_rows
from barbule.tables.sources import read_rows
from barbule.tables.transaction.isolation import NothingToDo, isolated, single_pass_source
from barbule.tables.transaction.names import check_policy, own_column, physical_name
from barbule.tables.transaction.results import MutationResult
from barbule.tables.verbs.rows.changed_rows import write_differing
from barbule.tables.verbs.rows.new_values import check_new_values
from barbule.tables.verbs.rows.row_writes import (
    calls_functions,
    data_schema,
    default_values,
    writable,
    write_new,
)
from barbule.types import storage
from barbule.types.frame_schemas import with_index

if TYPE_CHECKING:
    import pyarrow as pa

    from barbule.catalog.records import TableRecord
    from barbule.executor.engine import Engine
    from barbule.nodes import ManagedTable
    from barbule.tables.arguments import RowSource
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["IfMissing", "UpsertResult", "write_by_key"]

IfMissing = Literal["error", "ignore", "insert"]
_KEYS = "bb_keys"
_PLACE = "bb_place"


@dataclass(frozen=True)
class UpsertResult(MutationResult):
    """What an upsert or a batch update did.

    Attributes
    ----------
    inserted, updated
        How many rows were new, and how many got a new state.
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
    """Update the rows whose keys are given; insert the others, or say what becomes of them."""
    engine: Engine = leaf.source
    check_policy(if_missing, ("error", "ignore", "insert"), "if_not_exists")
    since = engine.catalog.refresh()
    record = writable(leaf)
    engine.backend.check_writable()  # before media are put
    keys = [on] if isinstance(on, str) else list(on)
    if not keys:
        raise DataError("no key is given.", table=record.name, hint='on="name".')
    for name in keys:
        own_column(record, name)
    with single_pass_source(engine, source, record.name, since):
        return _write(leaf, source, keys, operation, if_missing, since=since)


def _write(
    leaf: ManagedTable,
    source: RowSource,
    keys: list[str],
    operation: str,
    if_missing: IfMissing,
    *,
    since: int,
) -> UpsertResult:
    engine: Engine = leaf.source
    record = writable(leaf)
    groups = [_read(engine, record, part, keys) for part in _alike(source)]
    groups = [rows for rows in groups if rows.num_rows]
    _check_keys(groups, keys, record)
    if not groups:
        return UpsertResult(0, 0, engine.catalog.latest(record.id).version)

    def prepare(transaction: Transaction) -> tuple[int, int]:
        record = writable(leaf)
        done = [_write_group(transaction, record, rows, keys, if_missing) for rows in groups]
        new, old = sum(new for new, _ in done), sum(old for _, old in done)
        if not new and not old:
            raise NothingToDo
        return new, old

    try:
        slow = calls_functions(engine, record)
        transaction, (new, old) = run_transaction(
            engine, operation, prepare, since=since, slow=slow
        )
    except NothingToDo:
        return UpsertResult(0, 0, engine.catalog.latest(record.id).version)
    return transaction.result(UpsertResult, record.id, new + old, inserted=new, updated=old)


def _alike(source: RowSource) -> list[RowSource]:
    """Split records by the columns that they give: what one leaves out stays as it is."""
    source = [source] if isinstance(source, Mapping) else with_index(source)
    if not isinstance(source, list | tuple) or not all(isinstance(r, Mapping) for r in source):
        return [source]
    groups: dict[frozenset[str], list[Mapping[str, Any]]] = {}
    for record in source:
        groups.setdefault(frozenset(record), []).append(record)
    return list(groups.values())


def _read(engine: Engine, record: TableRecord, source: RowSource, keys: list[str]) -> pa.Table:
    """Read rows with the columns that are given."""
    schema = data_schema(record)
    given = _given(source)
    if given is not None:
        missing = [name for name in keys if name not in given]
        if missing:
            raise DataError(
                "the key is not among the given columns.", table=record.name, column=missing[0]
            )
        known = {name: schema[name] for name in schema.names if name in given}
        unknown = [name for name in given if name not in schema]
        schema = sch.Schema(known) if not unknown else schema  # the reader says which are unknown
    return read_rows(source, schema, record.name, engine.library, rules=cell_rules(record))


def _given(source: RowSource) -> list[str] | None:
    """Return the columns that a source has, if it tells."""
    if isinstance(source, list | tuple):
        return list(source[0]) if source and isinstance(source[0], Mapping) else None
    if hasattr(source, "column_names"):
        return list(source.column_names)
    return list(source.columns) if hasattr(source, "columns") else None


def _check_keys(groups: list[pa.Table], keys: list[str], record: TableRecord) -> None:
    """Refuse keys that are missing, wholly or in part, and those that are given twice."""
    seen: set[tuple[Any, ...]] = set()
    for rows in groups:
        found = zip(*(rows.column(name).to_pylist() for name in keys), strict=True)
        for place, key in enumerate(found):
            if None in key:
                raise DataError(
                    "a key is missing, so it names no row.",
                    table=record.name,
                    column=keys[key.index(None)],
                    row=place,
                    value=key if len(key) > 1 else None,
                    hint="Fill it, leave such rows out, or insert() them: they would be new "
                    "each time.",
                )
            if _hashable(key) in seen:
                raise DataError(
                    "the key is given twice.",
                    table=record.name,
                    column=", ".join(keys),
                    row=place,
                    value=key if len(key) > 1 else key[0],
                    hint="Give each key once.",
                )
            seen.add(_hashable(key))


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

    pairs = _pairs(transaction.engine, record, rows, keys)
    taken = pairs.column(_PLACE)
    places = pa.array(range(rows.num_rows), pa.int64())
    new = places.filter(pc.invert(pc.is_in(places, value_set=taken.combine_chunks())))
    if len(new) and if_missing == "error":
        first = new[0].as_py()
        key = [rows.column(name)[first].as_py() for name in keys]
        raise DataError(
            "no row has this key.",
            table=record.name,
            column=", ".join(keys),
            row=first,
            value=key if len(key) > 1 else key[0],
            hint='Give if_not_exists="insert" or "ignore", or use upsert().',
        )
    updated = _update(transaction, record, rows, pairs, keys) if pairs.num_rows else 0
    if len(new) and if_missing == "insert":
        _insert(transaction, record, rows.take(new))
        return len(new), updated
    return 0, updated


def _pairs(engine: Engine, record: TableRecord, rows: pa.Table, keys: list[str]) -> pa.Table:
    """Return which row of the table has the key of which given row."""
    import pyarrow as pa

    schema = data_schema(record)
    places = pa.array(range(rows.num_rows), pa.int64())
    asked = pa.table({_PLACE: places, **{f"k{n}": rows.column(k) for n, k in enumerate(keys)}})
    kinds = {f"k{n}": storage(schema[name]) for n, name in enumerate(keys)}
    given: ir.Table = engine.stored(_KEYS, sch.Schema({_PLACE: "int64", **kinds})).to_expr()
    own = engine.leaf(record.id, hidden=True).to_expr().select(RID, *keys)
    matched = [own[name] == given[f"k{n}"] for n, name in enumerate(keys)]
    return engine.arrow(own.join(given, matched).select(RID, _PLACE), staged={_KEYS: asked})


def _update(
    transaction: Transaction, record: TableRecord, rows: pa.Table, pairs: pa.Table, keys: list[str]
) -> int:
    import pyarrow.compute as pc

    engine = transaction.engine
    chosen = engine.stored(_KEYS, sch.Schema({RID: "int64"})).to_expr()
    leaf = engine.leaf(record.id, hidden=True).to_expr()
    staged = {_KEYS: pairs.select([RID])}
    old = physical_rows(engine, record, leaf.semi_join(chosen, RID), staged)
    order = pc.index_in(old.column(RID), value_set=pairs.column(RID).combine_chunks())
    places = pairs.column(_PLACE).take(order)
    changed = [name for name in rows.column_names if name not in keys]
    states = old
    for name in changed:
        at = old.column_names.index(physical_name(record, name))
        states = states.set_column(at, old.column_names[at], rows.column(name).take(places))
        states = without_reasons(record, name, states)
    check_new_values(record, states, set(changed))
    return write_differing(transaction, record, states, old, changed)


def _insert(transaction: Transaction, record: TableRecord, rows: pa.Table) -> None:
    import pyarrow as pa

    schema = data_schema(record)
    values = default_values(record)
    full = {}
    for name, kind in schema.items():
        if name in rows.column_names:
            full[name] = rows.column(name)
            continue
        single = sch.Schema({name: kind.copy(nullable=True)})
        cell = read_rows(
            {name: values.get(name)},
            single,
            record.name,
            transaction.engine.library,
            rules=cell_rules(record),
        )
        full[name] = cell.column(name).combine_chunks().take(pa.repeat(0, rows.num_rows))
    physical = pa.table({physical_name(record, name): cells for name, cells in full.items()})
    check_new_values(record, physical, set(schema.names))
    physical = physical.append_column(RID, transaction.allocate_rids(record.id, rows.num_rows))
    write_new(transaction, record, physical)
