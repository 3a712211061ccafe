"""A table is branched: the branch shares its rows until they change."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from barbule.catalog.expression_edits import replace_table
from barbule.catalog.records import Origin
from barbule.errors import TableExistsError, UnsupportedError
from barbule.tables.commit import run_transaction
from barbule.tables.transaction.isolation import isolated
from barbule.tables.transaction.names import present
from barbule.tables.verbs.removal import make_room

if TYPE_CHECKING:
    from barbule.executor.engine import Engine
    from barbule.nodes import ManagedTable
    from barbule.tables.arguments import IfExists
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["branch"]


@isolated
def branch(leaf: ManagedTable, name: str, if_exists: IfExists) -> int:
    """Make a table that starts as another is now, and shares its rows; return its id."""
    engine: Engine = leaf.source
    since = engine.catalog.refresh()
    if (found := present(engine, name, if_exists)) is not None:
        if found.origin is None or found.origin.table != leaf.table_id:
            raise TableExistsError(
                "there is a table of this name already, and no branch of this one.",
                table=name,
                hint="Choose another name.",
            )
        return found.id
    if engine.catalog.record(leaf.table_id).view:
        raise UnsupportedError(
            "a view has no rows of its own to branch.",
            table=leaf.name,
            hint="Branch its base table, and make a view over the branch.",
        )

    def prepare(transaction: Transaction) -> int:
        catalog = engine.catalog
        if leaf.table_id in {each.id for each in make_room(transaction, name, if_exists)}:
            raise TableExistsError(
                "a branch cannot take the place of what it branches off.",
                table=name,
                hint="Choose another name.",
            )
        commit = catalog.head if leaf.commit is None else leaf.commit
        record = catalog.record(leaf.table_id, commit)
        table_id = catalog.next_table_id()
        made = replace(
            record,
            id=table_id,
            name=name,
            origin=Origin(record.id, commit),
            compacted=0,
            retained_commits=(),
            columns=tuple(
                replace(
                    column,
                    expression=column.expression
                    and replace_table(column.expression, record.id, table_id),
                )
                for column in record.columns
            ),
        )
        transaction.put_record(made)
        transaction.create_storage(made)
        first = max(v.next_rid for v in catalog.versions(record.id) if v.commit <= commit)
        transaction.touch(table_id, rids=first, closed=True)
        return table_id

    return run_transaction(engine, "branch", prepare, since=since)[1]
