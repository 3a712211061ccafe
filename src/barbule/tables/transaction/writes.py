"""The writes of a transaction as records: collected during preparation, applied at publication.

Owns how each of them changes the rows of a table in the backend, and the table and column that its
errors name. `storage_writes` has those that create and drop tables and columns.
"""

from __future__ import annotations

import abc
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from barbule.backends.base import BASE, FOREVER, FROM, RID, TO
from barbule.errors import BarbuleError, DataError
from barbule.executor.calls.provenance import PROVISIONAL
from barbule.tables.transaction.isolation import NothingToDo
from barbule.tables.transaction.storage_writes import TableWrite

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import ibis.expr.types as ir
    import pyarrow as pa

    from barbule.backends.base import RowStore
    from barbule.catalog.records import TableRecord

__all__ = [
    "AppendRows",
    "EndFromQuery",
    "EndRows",
    "FillColumn",
    "FillFromQuery",
    "RemoveHistory",
    "RemoveStates",
    "ReplaceFromQuery",
    "Write",
    "located",
]


class Write(TableWrite, abc.ABC):
    """A write to the rows of a table."""

    @abc.abstractmethod
    def apply(self, store: RowStore, commit: int, first_rids: Mapping[int, int]) -> int:
        """Write it.

        Parameters
        ----------
        first_rids
            The first unused row id, by table.

        Returns
        -------
        int
            The number of rows; 0 if they were counted when the write was collected.
        """


@dataclass(frozen=True, repr=False)
class AppendRows(Write):
    """New rows, or new states of rows, by their physical columns."""

    rows: pa.Table

    def apply(self, store: RowStore, commit: int, first_rids: Mapping[int, int]) -> int:
        """Append them with their final row ids, live from the commit on."""
        import pyarrow as pa

        record, view = self.record, self.record.view
        final = _with_final_ids(self.rows, RID, first_rids.get(record.id, 0))
        if view and not view.bases:
            final = _with_final_ids(final, BASE, first_rids.get(view.base, 0))
        for name, bound in ((FROM, commit), (TO, FOREVER)):
            values = pa.repeat(pa.scalar(bound, pa.int64()), final.num_rows)
            final = final.append_column(name, values)
        try:
            store.append(record.physical, final)
        except DataError as error:
            names = {column.physical: column.name for column in record.columns}
            error.table, error.column = record.name, names.get(error.column or "", error.column)
            raise error from error.__cause__
        return 0

    def __str__(self) -> str:
        return f"append {self.rows.num_rows} rows"


@dataclass(frozen=True, repr=False)
class EndRows(Write):
    """The end of rows, by row id."""

    rids: pa.Array

    def apply(self, store: RowStore, commit: int, first_rids: Mapping[int, int]) -> int:
        """End them at the commit; rows of a branch's origin get a state that hides them."""
        import pyarrow as pa

        store.end_rows(self.record.physical, self.rids, commit)
        if self.record.origin is not None:
            bounds = pa.repeat(pa.scalar(commit, pa.int64()), len(self.rids))
            store.append(self.record.physical, pa.table({RID: self.rids, FROM: bounds, TO: bounds}))
        return 0

    def __str__(self) -> str:
        return f"end {len(self.rids)} rows"


@dataclass(frozen=True, repr=False)
class FillColumn(Write):
    """A column of live rows, by its physical name: their row ids and its values."""

    column: str
    values: pa.Table

    def apply(self, store: RowStore, commit: int, first_rids: Mapping[int, int]) -> int:
        """Set it in place."""
        store.fill_column(self.record.physical, self.column, self.values)
        return 0

    def __str__(self) -> str:
        return f"fill {self.column} of {self.values.num_rows} rows"


@dataclass(frozen=True, repr=False)
class ReplaceFromQuery(Write):
    """New states of rows, with the values that a query of the backend returns.

    Attributes
    ----------
    carried
        The physical columns that rows keep from their old states.
    """

    query: ir.Table
    carried: Sequence[str]

    def apply(self, store: RowStore, commit: int, first_rids: Mapping[int, int]) -> int:
        """Write them within the backend."""
        names = {column.physical: column.name for column in self.record.columns}
        assigned = [
            names[name] for name in self.query.columns if name in names and name not in self.carried
        ]
        with located(self.record, assigned[0] if len(assigned) == 1 else None):
            rows = store.replace_rows(self.record.physical, self.query, commit, self.carried)
        return _at_least_one(rows)

    def __str__(self) -> str:
        return "replace the rows of a query"


@dataclass(frozen=True, repr=False)
class EndFromQuery(Write):
    """The end of the rows whose ids a query of the backend returns."""

    query: ir.Table

    def apply(self, store: RowStore, commit: int, first_rids: Mapping[int, int]) -> int:
        """End them within the backend."""
        with located(self.record):
            rows = store.end_query_rows(self.record.physical, self.query, commit, {})
        return _at_least_one(rows)

    def __str__(self) -> str:
        return "end the rows of a query"


@dataclass(frozen=True, repr=False)
class FillFromQuery(Write):
    """Columns of live rows, with the values that a query of the backend returns.

    Attributes
    ----------
    column
        The name of the column, if it is one, for errors.
    """

    query: ir.Table
    column: str | None

    def apply(self, store: RowStore, commit: int, first_rids: Mapping[int, int]) -> int:
        """Set them in place, within the backend."""
        with located(self.record, self.column):
            return store.fill_columns(self.record.physical, self.query)

    def __str__(self) -> str:
        return f"fill {self.column or 'columns'} from a query"


@dataclass(frozen=True, repr=False)
class RemoveStates(Write):
    """The removal of all states of rows, by row id.

    Attributes
    ----------
    hiding_states
        States of a branch that hide those of its origin, which must not become visible again.
    """

    rids: Sequence[int]
    hiding_states: pa.Table

    def apply(self, store: RowStore, commit: int, first_rids: Mapping[int, int]) -> int:
        """Remove them permanently, at all versions."""
        store.delete_with_values(self.record.physical, RID, self.rids)
        if self.hiding_states.num_rows:
            store.append(self.record.physical, self.hiding_states)
        return 0

    def __str__(self) -> str:
        return f"remove {len(self.rids)} rows"


@dataclass(frozen=True, repr=False)
class RemoveHistory(Write):
    """The removal of states that ended by a commit.

    Attributes
    ----------
    retained
        Commits: states that were live at one of them remain.
    hiding_states
        States of a branch that hide those of its origin, which must not become visible again.
    """

    before: int
    retained: Sequence[int] = ()
    hiding_states: pa.Table | None = None

    def apply(self, store: RowStore, commit: int, first_rids: Mapping[int, int]) -> int:
        """Remove them permanently; return their number."""
        removed = store.purge_rows(self.record.physical, self.before, self.retained)
        if self.hiding_states is None or not self.hiding_states.num_rows:
            return removed
        store.append(self.record.physical, self.hiding_states)
        return removed - self.hiding_states.num_rows

    def __str__(self) -> str:
        return f"remove states up to commit {self.before}"


@contextlib.contextmanager
def located(record: TableRecord, column: str | None = None) -> Iterator[None]:
    """Add the table, and the column if there is one, to an error of the backend."""
    try:
        yield
    except BarbuleError as error:
        raise error.at(table=record.name, column=column) from error.__cause__


def _at_least_one(rows: int) -> int:
    """Return a count of rows; if there are none, the transaction has nothing to do."""
    if not rows:
        raise NothingToDo
    return rows


def _with_final_ids(rows: pa.Table, name: str, first: int) -> pa.Table:
    """Replace the provisional ids of new rows with the next free ids."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ids = rows.column(name)
    new = pc.greater_equal(ids, PROVISIONAL)
    if not pc.any(new).as_py():
        return rows
    final = pc.if_else(new, pc.add(ids, pa.scalar(first - PROVISIONAL, pa.int64())), ids)
    return rows.set_column(rows.column_names.index(name), name, final)
