"""The records of the catalog: tables, columns, versions, commits and labels, and their JSON.

A record describes the structure of a table at a commit; it is frozen, and a change of structure
writes a new one.
"""

from __future__ import annotations

import functools
import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from barbule.catalog.codec import dump_type, load_type
from barbule.json_codec import to_compact

if TYPE_CHECKING:
    import datetime
    from collections.abc import Iterable

    import ibis.expr.datatypes as dt

__all__ = [
    "ALL_TABLES",
    "INHERITED",
    "MULTIPLE_BASES",
    "Caps",
    "Column",
    "Commit",
    "Index",
    "Label",
    "Origin",
    "TableRecord",
    "Version",
    "View",
]

ColumnKind = Literal["data", "virtual", "stored"]


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    id
        Never reused within the table; names the physical column.
    kind
        "data" is inserted, "virtual" is an expression inlined when it is read, "stored" is an
        expression whose values are stored.
    expression
        The stored form of the expression of a computed column.
    hidden
        Whether it is an embedding that belongs to an index.
    default
        The stored form of the value of cells that an insert leaves out.
    fallible
        Whether single cells may be empty because of an error of a function or of a media file; the
        errors are stored in a companion column.
    validated
        Whether media files are validated when they are written; otherwise when they are read.
    computed
        Functions, with their versions, that computed some of its values after they had changed:
        other versions than those for which the expression was written.
    choices
        The only values that are accepted, of a column that was declared as a `Literal` or `Enum`.
    """

    id: int
    name: str
    dtype: dt.DataType
    kind: ColumnKind = "data"
    expression: str | None = None
    hidden: bool = False
    default: str | None = None
    fallible: bool = False
    validated: bool = True
    computed: tuple[tuple[str, str], ...] = ()
    choices: tuple[str | int | float | bool, ...] = ()

    @property
    def physical(self) -> str:
        """The name in the backend: stable when the column is renamed."""
        return f"c{self.id}"

    @property
    def errors(self) -> str:
        """The name in the backend of the column that holds the errors of this one's cells."""
        return f"e{self.id}"

    @property
    def error_name(self) -> str:
        """The name of that column among the columns of a hidden leaf."""
        return f"bb_error_{self.id}"

    @property
    def content_name(self) -> str:
        """The name of the hidden column that records the content of media, where there is one."""
        return f"bb_content_{self.id}"


@dataclass(frozen=True)
class Index:
    """An embedding index of a column.

    Attributes
    ----------
    column
        The id of the column that is searched; `INHERITED` for a column of a view's base, which
        the expression of the vectors names.
    embedding
        The id of the hidden column that holds its vectors.
    queries
        The stored form of the calls that embed queries of another type than the column: texts
        that find images, say. Their argument has the type of the query.
    """

    name: str
    column: int
    embedding: int
    metric: str
    queries: tuple[str, ...] = ()


INHERITED = -1


@dataclass(frozen=True)
class View:
    """The definition of a view.

    Attributes
    ----------
    base
        The id of the table or view that its rows come from; `MULTIPLE_BASES` for a view that is
        refreshed as a whole.
    query
        The stored form of the query over the base: filters and projections of its rows. The view
        has the columns of the query and its own.
    items
        The stored form of the query that returns, for each row of the base, the list of the rows of
        the view (in `bb_items`); None if each row of the query is one row of the view.
    bases
        The tables that the query reads where its rows do not correspond to rows of one base: a
        join, an aggregate. All of its result is stored, and it is refreshed as a whole.
    computed
        As of a column: other versions of the iterator that made rows.
    rows
        The stored form of the query that returns the rows for each row of the base if `query` does
        not: it unnests arrays, or differs each time that it is read (random values, samples). It
        has the columns of both in their order; those that `query` lacks are stored with the rows.
        None if `query` returns all.
    """

    base: int
    query: str
    items: str | None = None
    bases: tuple[int, ...] = ()
    computed: tuple[tuple[str, str], ...] = ()
    rows: str | None = None


MULTIPLE_BASES = -1


@dataclass(frozen=True)
class Origin:
    """The table from which another branched off, and the commit at which it did.

    The branch reads the rows of its origin as they were at that commit, except rows that have a
    state in the branch: that state hides the one of the origin, even after it has ended.
    """

    table: int
    commit: int


@dataclass(frozen=True)
class Caps:
    """The limits on calls for a table since a timestamp; None is no limit.

    Attributes
    ----------
    since
        The timestamp, in ISO form.
    """

    since: str
    usd: float | None = None
    calls: int | None = None
    tokens: int | None = None


@dataclass(frozen=True)
class TableRecord:
    """The structure of a table or view at a commit.

    Attributes
    ----------
    compacted
        The commit before which history has been dropped.
    retained_commits
        The commits before that one whose rows are still stored.
    budget
        The limits on calls for its computed columns.
    """

    id: int
    name: str
    columns: tuple[Column, ...]
    indexes: tuple[Index, ...] = ()
    view: View | None = None
    next_column: int = 0
    dropped: bool = False
    origin: Origin | None = None
    compacted: int = 0
    retained_commits: tuple[int, ...] = ()
    budget: Caps | None = None

    @property
    def physical(self) -> str:
        """The name of its rows in the backend."""
        return f"bb_rows_{self.id}"

    @property
    def reads(self) -> tuple[int, ...]:
        """The tables that a view or branch is made of."""
        origin = () if self.origin is None else (self.origin.table,)
        if self.view is None:
            return origin
        return self.view.bases or (self.view.base, *origin)

    def column(self, name: str) -> Column | None:
        """Return the column of that name, or None."""
        return self._columns_by_name.get(name)

    def column_by_id(self, column_id: int) -> Column:
        """Return the column of that id."""
        return self.columns_by_id[column_id]

    @functools.cached_property
    def columns_by_id(self) -> dict[int, Column]:
        """The columns by their ids."""
        return {column.id: column for column in self.columns}

    @functools.cached_property
    def _columns_by_name(self) -> dict[str, Column]:
        return {column.name: column for column in reversed(self.columns)}

    def with_columns(self, *added: Column, without: tuple[str, ...] = ()) -> TableRecord:
        """Return the record with columns added and others left out."""
        remaining = tuple(column for column in self.columns if column.name not in without)
        next_column = max([self.next_column, *(column.id + 1 for column in added)])
        return replace(self, columns=(*remaining, *added), next_column=next_column)

    def replace_column(self, old: Column, new: Column) -> TableRecord:
        """Return the record with a column replaced by another, also in its indexes."""
        columns = tuple(new if column.id == old.id else column for column in self.columns)
        indexes = tuple(
            replace(
                index,
                column=new.id if index.column == old.id else index.column,
                embedding=new.id if index.embedding == old.id else index.embedding,
            )
            for index in self.indexes
        )
        next_column = max(self.next_column, new.id + 1)
        return replace(self, columns=columns, indexes=indexes, next_column=next_column)

    def to_json(self) -> str:
        """Write the record as JSON."""
        plain = asdict(replace(self, columns=()))
        plain["kept"] = plain.pop("retained_commits")  # its name in the stored form
        plain["columns"] = [
            {**vars(column), "dtype": dump_type(column.dtype)} for column in self.columns
        ]
        return to_compact(plain)

    @classmethod
    def from_json(cls, text: str) -> TableRecord:
        """Read a record back."""
        return cls.from_plain(json.loads(text))

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> TableRecord:
        """Read a record back from parsed JSON."""
        columns = tuple(
            Column(
                **{
                    **column,
                    "dtype": load_type(column["dtype"]),
                    "computed": _pairs(column.get("computed", ())),
                    "choices": tuple(column.get("choices", ())),
                }
            )
            for column in plain["columns"]
        )
        stored = {name: value for name, value in plain.items() if name != "kept"}
        definition = plain["view"]
        view = None
        if definition:
            computed = _pairs(definition.get("computed", ()))
            bases = tuple(definition["bases"])
            view = View(**{**definition, "bases": bases, "computed": computed})
        parsed = {
            "columns": columns,
            "view": view,
            "indexes": tuple(
                Index(**{**index, "queries": tuple(index.get("queries", ()))})
                for index in plain["indexes"]
            ),
            "origin": Origin(**plain["origin"]) if plain["origin"] else None,
            "retained_commits": tuple(plain["kept"]),
            "budget": Caps(**plain["budget"]) if plain.get("budget") else None,
        }
        return cls(**{**stored, **parsed})

    def holds(self, commit: int) -> bool:
        """Whether the rows of a commit are still stored."""
        return commit >= self.compacted or commit in self.retained_commits


def _pairs(lists: Iterable[Iterable[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, version) for name, version in lists)


@dataclass(frozen=True)
class Version:
    """One version of one table: what a mutation did to it, and the commit that made it visible."""

    table_id: int
    version: int
    commit: int
    operation: str
    rows: int
    next_rid: int
    closed: bool


@dataclass(frozen=True)
class Commit:
    """One point in time at which changes became visible.

    Attributes
    ----------
    by
        The user and process that made it: "ada@host (pid 4711)".
    seconds
        How long the operation took.
    """

    id: int
    at: datetime.datetime
    operation: str
    by: str
    seconds: float


@dataclass(frozen=True)
class Label:
    """A name of a version of a table; with the table id `ALL_TABLES` a snapshot, of a commit."""

    table_id: int
    label: str
    version: int


ALL_TABLES = -1
