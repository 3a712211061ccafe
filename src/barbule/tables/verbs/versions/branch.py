"""Branches a table: the branch shares its rows until they change."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from barbule.catalog.expression_edits import replace_table
from barbule.catalog.records import Origin
from barbule.errors import TableExistsError, UnsupportedError
from barbule.tables.commit import run_transaction
from barbule.tables.transaction.isolation import isolated
from barbule.tables.transaction.names import existing_table
from barbule.tables.verbs.removal import replace_existing

if TYPE_CHECKING:
    from barbule.catalog.records import TableRecord
    from barbule.executor.engine import Engine
    from barbule.nodes import ManagedTable
    from barbule.tables.arguments import IfExists
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["branch"]


@isolated
def branch(leaf: ManagedTable, name: str, if_exists: IfExists) -> int:
    """Create a table with the current rows of another, and share its rows; return its id."""
    engine: Engine = leaf.source
    since = engine.catalog.refresh()
    if (existing := existing_table(engine, name, if_exists)) is not None:
        if existing.origin is None or existing.origin.table != leaf.table_id:
            raise TableExistsError(
                "a table with this name already exists and is not a branch of this table.",
                table=name,
                hint="Choose another name.",
            )
        return existing.id
    if engine.catalog.record(leaf.table_id).view:
        raise UnsupportedError(
            "a view cannot be branched.",
            table=leaf.name,
            hint="Branch its base table, and create a view over the branch.",
        )

    def prepare(transaction: Transaction) -> int:
        catalog = transaction.engine.catalog
        if leaf.table_id in {table.id for table in replace_existing(transaction, name, if_exists)}:
            raise TableExistsError(
                "a branch cannot replace the table that it is made from.",
                table=name,
                hint="Choose another name.",
            )
        commit = catalog.head if leaf.commit is None else leaf.commit
        record = catalog.record(leaf.table_id, commit)
        branch_record = _branch_record(record, catalog.next_table_id(), name, commit)
        transaction.put_record(branch_record)
        transaction.create_storage(branch_record)
        next_rid = max(
            version.next_rid for version in catalog.versions(record.id) if version.commit <= commit
        )
        transaction.touch(branch_record.id, rids=next_rid, closed=True)
        return branch_record.id

    return run_transaction(engine, "branch", prepare, since=since)[1]


def _branch_record(record: TableRecord, table_id: int, name: str, commit: int) -> TableRecord:
    """Return the structure of a branch of a table at a commit."""
    columns = tuple(
        replace(
            column,
            expression=column.expression and replace_table(column.expression, record.id, table_id),
        )
        for column in record.columns
    )
    return replace(
        record,
        id=table_id,
        name=name,
        origin=Origin(record.id, commit),
        compacted=0,
        retained_commits=(),
        columns=columns,
    )
