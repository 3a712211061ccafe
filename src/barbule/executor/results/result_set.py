"""The result of a query: a sequence of dicts over an Arrow table.

Owns `ResultSet`. Cells become Python values, and media cells PIL images or local paths, only when
they are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Self, overload

import ibis.expr.types as ir

from barbule.errors import (
    BarbuleError,
    ColumnNotFoundError,
    DataError,
    ExpressionError,
    with_article,
)
from barbule.executor.display.notebook import rows_html
from barbule.executor.display.preview import PREVIEW_ROWS, Preview, Reason
from barbule.executor.display.terminal import rows_table, rows_text
from barbule.executor.results.data_frames import exact_frame
from barbule.suggestions import did_you_mean, one_of
from barbule.types import holds_media
from barbule.types.json_marks import mark_json
from barbule.values.cells import reader

if TYPE_CHECKING:
    import ibis.expr.schema as sch
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from rich.console import Console, ConsoleOptions

    from barbule.media.library import MediaLibrary

__all__ = ["ResultSet"]

_ROWS_PER_PART = 8192  # that are converted at once
_QUERY_METHODS = {name for name in dir(ir.Table) if not name.startswith("_")} | {"where", "show"}


class _Row(dict[str, Any]):
    """A row of a result, read by its number; it is read-only."""

    __slots__ = ()

    def _refuse(self, *_arguments: object, **_keywords: object) -> NoReturn:
        raise ExpressionError(
            "a result is read-only.",
            hint="Change a copy, dict(rows[0]), or change the table with update().",
        )

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __missing__(self, name: object) -> NoReturn:
        raise ColumnNotFoundError(
            f"the row has no column {name!r}.", hint=one_of(str(name), self, "It has")
        )

    if not TYPE_CHECKING:  # type checkers report unknown attributes

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("_"):
                raise AttributeError(name)
            if name in self:
                raise ColumnNotFoundError(
                    f"a column is not an attribute of a row: {name!r}.",
                    hint=f"Write row[{name!r}].",
                )
            raise ColumnNotFoundError(
                f"a row has no attribute {name!r}.",
                hint=one_of(name, self, 'Read its values with row["name"]; its columns are'),
            )

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


def _python_values(table: pa.Table, name: str, first: int) -> list[Any]:
    """Return the values of a column as Python objects; an error names the row of the value."""
    column = table.column(name)
    try:
        return column.to_pylist()
    except (OverflowError, ValueError):
        for row, value in enumerate(column, first):
            try:
                value.as_py()
            except (OverflowError, ValueError) as error:
                raise DataError(
                    f"{with_article(str(value.type))} value does not fit in a Python object: "
                    f"{error}.",
                    column=name,
                    row=row,
                    hint="Python dates and datetimes cover the years 1 to 9999: filter such rows "
                    "out, or read them with .to_pyarrow().",
                ) from error
        raise


class ResultSet(Sequence[dict[str, Any]]):
    """The rows of a query.

    A row that is read by number is read-only; a loop yields a new dict for each row.

    Parameters
    ----------
    table
        The rows, in storage form.
    schema
        The columns, as users see them.
    library
        Opens media cells.
    reasons
        Returns the cell errors when rows are displayed.

    Examples
    --------
    >>> import barbule as bb
    >>> t = bb.create_table("t", {"name": bb.String, "n": bb.Int})
    >>> _ = t.insert([{"name": "a", "n": 1}, {"name": "b", "n": 2}])
    >>> rows = t.order_by("n").collect()
    >>> rows[0], rows["name"], rows[1, "n"]
    ({'name': 'a', 'n': 1}, ['a', 'b'], 2)
    """

    def __init__(
        self,
        table: pa.Table,
        schema: sch.Schema,
        library: MediaLibrary,
        reasons: Callable[[pa.Table], Mapping[str, list[Reason | None]]] | None = None,
    ) -> None:
        self._table = table
        self._library = library
        self._reasons = reasons
        self.schema = schema

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.schema.names)

    if not TYPE_CHECKING:  # type checkers report unknown attributes

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("_"):
                raise AttributeError(name)
            attributes = [name for name in dir(type(self)) if not name.startswith("_")]
            if name in _QUERY_METHODS:
                raise ColumnNotFoundError(
                    f"{name}() is a method of queries, not of results.",
                    hint=f"Call it on the query, before .collect(): t.{name}(...). Read rows of a "
                    "result with rows[0] or rows[:10]; bb.create_table(name, rows) creates "
                    "a table from them.",
                )
            if name in self.columns:
                raise ColumnNotFoundError(
                    f"a column is not an attribute of a result: {name!r}.",
                    hint=f"Write rows[{name!r}] for the list of its values, rows[0][{name!r}] for "
                    "the first.",
                )
            raise ColumnNotFoundError(
                f"a result has no attribute {name!r}.",
                hint=f"{did_you_mean(name, [*attributes, *self.columns])} Read columns with "
                'rows["name"] and rows with rows[0]; its columns are '
                f"{', '.join(self.columns)}.".lstrip(),
            )

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @overload
    def __getitem__(self, key: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, key: slice) -> ResultSet: ...
    @overload
    def __getitem__(self, key: str) -> list[Any]: ...
    @overload
    def __getitem__(self, key: tuple[int, str]) -> Any: ...
    def __getitem__(self, key: Any) -> Any:
        """Return a row by number, rows by slice, a column by name, or a cell by both."""
        if isinstance(key, slice):
            import numpy as np

            row_numbers = np.arange(len(self))[key]
            return ResultSet(self._table.take(row_numbers), self.schema, self._library)
        if isinstance(key, str):
            return self._values(self._table, key)
        if isinstance(key, tuple):
            row, name = self._cell_key(key)
            row_number = range(len(self))[row]
            return self._values(self._table.slice(row_number, 1), name, row_number)[0]
        row_number = range(len(self))[key]
        row_table = self._table.slice(row_number, 1)
        return _Row({name: self._values(row_table, name, row_number)[0] for name in self.columns})

    def _cell_key(self, key: tuple[Any, ...]) -> tuple[int, str]:
        """Return row number and column name of a cell; its column may be given by number."""
        row: Any = None
        name: Any = None
        if len(key) == 2:  # noqa: PLR2004 - row and column
            row, name = key
        if isinstance(name, int) and -len(self.columns) <= name < len(self.columns):
            name = self.columns[name]
        if not hasattr(row, "__index__") or not isinstance(name, str):
            raise ExpressionError(
                "the key of a cell must be a row number and a column name.",
                value=key,
                hint=f'Write rows[0, "name"]; the columns are {", ".join(self.columns)}.',
            )
        return row, name

    def _values(self, table: pa.Table, name: str, first: int = 0) -> list[Any]:
        if name not in self.schema:
            raise ColumnNotFoundError(
                f"the result has no column {name!r}.", hint=one_of(name, self.columns, "It has")
            )
        values = _python_values(table, name, first)
        read = reader(self.schema[name], self._library)
        return values if read is None else list(self._read(read, values, name, first))

    @staticmethod
    def _read(
        read: Callable[[Any], Any], values: list[Any], name: str, first: int
    ) -> Iterator[Any]:
        """Read cells; an error names the one that could not be read."""
        for row, value in enumerate(values, first):
            try:
                yield None if value is None else read(value)
            except BarbuleError as error:
                raise error.at(column=name, row=row) from error.__cause__

    def _lazy(self, table: pa.Table, name: str, first: int) -> Iterable[Any]:
        dtype = self.schema[name]
        read = reader(dtype, self._library)
        if not holds_media(dtype) or read is None:
            return self._values(table, name, first)
        return self._read(read, _python_values(table, name, first), name, first)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        # In parts: reading a column at a time is many times faster than row by row, and media are
        # opened only when the rows are reached.
        for start in range(0, len(self), _ROWS_PER_PART):
            part = self._table.slice(start, _ROWS_PER_PART)
            columns = [self._lazy(part, name, start) for name in self.columns]
            for row in zip(*columns, strict=True):
                yield dict(zip(self.columns, row, strict=True))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the rows; media are opened in the other process by their references."""
        return ResultSet, (self._table, self.schema, self._library)

    def __copy__(self) -> ResultSet:
        return self[:]

    def __deepcopy__(self, _memo: object) -> ResultSet:
        return self[:]  # neither the rows nor the media library change

    def __eq__(self, other: object) -> bool:
        """Compare with another result or a list of dicts; media by reference."""
        if isinstance(other, ResultSet):
            return bool(self.schema == other.schema and self._table.equals(other._table))
        if isinstance(other, list):
            return list(self) == other
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def collect(self) -> Self:
        """Return the rows, which are these: an executed query is not run again."""
        return self

    def to_pyarrow(self) -> pa.Table:
        """Return the rows as an Arrow table; media are references.

        Json is a string, marked as Arrow's `arrow.json`: a table created from it has Json again.
        """
        return mark_json(self._table, self.schema)

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a pandas data frame; media are references, Json is a string.

        Integers with missing values become pandas' `Int64`.
        """
        return exact_frame(self._table)

    def to_polars(self) -> pl.DataFrame:
        """Return the rows as a polars data frame; media are references, Json is a string."""
        import polars

        return polars.from_arrow(self._table)

    def _preview(self) -> Preview:
        note = f"{PREVIEW_ROWS} of {len(self):,} rows" if len(self) > PREVIEW_ROWS else ""
        rows = self._table.slice(0, PREVIEW_ROWS)
        has_missing = any(column.null_count for column in rows.columns)
        reasons = self._reasons(rows) if has_missing and self._reasons is not None else {}
        return Preview(rows, self.schema, reasons, note=note)

    def __repr__(self) -> str:
        return rows_text(self._preview())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        yield rows_table(self._preview(), options.max_width)

    def _repr_html_(self) -> str:
        return rows_html(self._preview(), self._library)
