"""Data columns, and the conversion of chunks of a source to them.

Owns the checks for all sources: unknown columns, defaults, required values, choices, media files.
"""

from __future__ import annotations

import dataclasses
import functools
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

from barbule.errors import BarbuleError, DataError, StoreError
from barbule.nodes import CELL_ERROR_TYPE
from barbule.suggestions import one_of
from barbule.tables.sources.conversion import cast_column, read_texts
from barbule.tables.sources.records import as_mappings
from barbule.tables.sources.required_values import first_missing_value
from barbule.tables.sources.text_values import read_column
from barbule.types import Media, declaration, holds_media
from barbule.values.cells import arrow_type, cell_media, to_array

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    import ibis.expr.datatypes as dt
    import ibis.expr.schema as sch
    import pyarrow as pa

    from barbule.media.library import MediaLibrary

__all__ = ["FAILED_PREFIX", "CellRules", "Chunk", "Target", "check_choices"]

FAILED_PREFIX = "bb_failed_"  # prefix of a column name, for the errors of its cells


def check_choices(cells: pa.Array | pa.ChunkedArray, choices: tuple[Any, ...], name: str) -> None:
    """Check that a column holds only the allowed values; empty cells are checked elsewhere.

    Raises
    ------
    DataError
        If the cells contain another value.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    is_choice = pc.is_in(cells, value_set=pa.array(choices).cast(cells.type))
    wrong = pc.and_(pc.invert(is_choice), pc.is_valid(cells))
    row = pc.index(wrong, True).as_py()
    if row >= 0:
        raise DataError(
            "the value is not allowed in this column.",
            column=name,
            row=row,
            value=cells[row].as_py(),
            hint=f"Allowed values: {', '.join(map(repr, choices))}.",
        )


@dataclasses.dataclass(frozen=True)
class CellRules:
    """The allowed contents of inserted cells, apart from their types, and the media policy.

    Parameters
    ----------
    unchecked
        The columns whose media are not validated before they are read.
    on_error
        "abort" ends the insert at an invalid file, "null" leaves its cell empty and records the
        error.
    choices
        The allowed values of columns, by name, if not all of their type.
    computed
        The computed columns, which take no data.
    """

    unchecked: frozenset[str] = frozenset()
    on_error: Literal["abort", "null"] = "abort"
    choices: Mapping[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)
    computed: frozenset[str] = frozenset()

    def may_leave_empty(self, dtype: dt.DataType) -> bool:
        """Whether a cell of a column may be left empty by an error."""
        return self.on_error == "null" and declaration(dtype).is_media and dtype.nullable


_Failures = dict[str, dict[int, BarbuleError]]


@dataclasses.dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of a source, in the form of the source.

    Parameters
    ----------
    rows
        An Arrow table, a dict of columns (Arrow arrays or lists of Python values), or records:
        mappings or objects with fields.
    form
        "arrow", "records", or "texts": an Arrow table of strings that are to be parsed. Records
        whose values are those of a JSON file are "json", those of a sheet "cells".
    origin
        The file of the rows.
    keys
        The keys of records that are dicts, if they have been checked.
    """

    rows: Any
    form: Literal["arrow", "records", "texts", "json", "cells"] = "arrow"
    origin: str | None = None
    keys: AbstractSet[str] | None = None


@dataclasses.dataclass(frozen=True)
class Target:
    """The data columns of a table."""

    schema: sch.Schema
    table: str
    library: MediaLibrary
    defaults: Mapping[str, Any]
    rules: CellRules = CellRules()

    @functools.cached_property
    def arrow_schema(self) -> pa.Schema:
        """The schema of all that is read."""
        import pyarrow as pa

        return pa.schema([(name, arrow_type(dtype)) for name, dtype in self.schema.items()])

    def convert(self, chunk: Chunk) -> pa.Table:
        """Convert a chunk to a table with all columns; rows in errors count within the chunk."""
        failures: _Failures = {
            name: {} for name, dtype in self.schema.items() if self.rules.may_leave_empty(dtype)
        }
        if isinstance(chunk.rows, list | tuple):
            rows = self._from_records(chunk, failures)
        else:
            rows = self._from_columns(chunk.rows, failures, texts=chunk.form == "texts")
        self._check_required(rows)
        for name, choices in self.rules.choices.items():
            if name in rows.column_names:
                check_choices(rows.column(name), choices, name)
        self._check_media(rows, failures)
        return _with_failures(rows, failures)

    def check_names(self, names: Sequence[str]) -> None:
        """Refuse columns that are unknown or given twice."""
        if len(set(names)) < len(names):
            duplicate = next(
                name for position, name in enumerate(names) if name in names[:position]
            )
            raise DataError(
                "the column is given twice.", column=duplicate, hint="Remove one of them."
            )
        for name in names:
            if name not in self.schema:
                raise self._unknown(name)

    def check_keys(self, rows: Sequence[Mapping[str, Any]]) -> AbstractSet[str]:
        """Return the columns that records have; refuse those that the table does not have."""
        keys: set[str] = set().union(*rows)
        if keys - set(self.schema):
            for row, record in enumerate(rows):
                for name in record:
                    if name not in self.schema:
                        raise self._unknown(name, row)
        return keys

    def _unknown(self, name: str, row: int | None = None) -> DataError:
        if name in self.rules.computed:
            return DataError(
                "the column is computed and takes no data.",
                column=name,
                row=row,
                hint="Remove it; its value is computed from other columns.",
            )
        return DataError(
            "the table has no such data column.",
            column=name,
            row=row,
            hint=one_of(str(name), self.schema.names, "Its data columns are"),
        )

    def _from_records(self, chunk: Chunk, failures: _Failures) -> pa.Table:
        import pyarrow as pa

        rows, keys = chunk.rows, chunk.keys
        exact = keys is not None
        if keys is None:
            rows = as_mappings(rows)
            keys = self.check_keys(rows)
            exact = set(map(type, rows)) == {dict}  # others may provide the values that they lack
        columns = []
        for name in self.schema:
            if name not in keys:
                columns.append(self._default_column(name, len(rows)))
                continue
            default = self.defaults.get(name)
            try:
                values: Sequence[Any] | None = list(map(itemgetter(name), rows)) if exact else None
            except KeyError:
                values = None
            if values is None:
                values = [row.get(name, default) for row in rows]
            if chunk.form != "records":
                form: Literal["json", "cells"] = "json" if chunk.form == "json" else "cells"
                values = self._from_file(name, values, form)
            columns.append(self._convert_values(name, values, failures.get(name)))
        return pa.Table.from_arrays(columns, schema=self.arrow_schema)

    def _from_file(
        self, name: str, values: Sequence[Any], form: Literal["json", "cells"]
    ) -> Sequence[Any]:
        try:
            return read_column(values, self.schema[name], form)
        except DataError as error:
            raise error.at(column=name) from error.__cause__

    def _convert_values(
        self, name: str, values: Sequence[Any], failures: dict[int, BarbuleError] | None = None
    ) -> pa.Array:
        try:
            return to_array(values, self.schema[name], self.library)
        except BarbuleError as error:
            if failures is None or isinstance(error, StoreError):
                raise error.at(column=name) from error.__cause__
        return self._convert_one_by_one(name, values, failures)

    def _convert_one_by_one(
        self, name: str, values: Sequence[Any], failures: dict[int, BarbuleError]
    ) -> pa.Array:
        """Convert values one by one; those that fail become empty cells."""
        import pyarrow as pa

        cells = []
        for row, value in enumerate(values):
            try:
                cells += to_array([value], self.schema[name], self.library).to_pylist()
            except StoreError:
                raise
            except BarbuleError as error:
                failures[row] = error
                cells.append(None)
        return pa.array(cells, arrow_type(self.schema[name]))

    def _default_column(self, name: str, count: int) -> pa.Array:
        """Return a column that the source does not have, filled with its default."""
        import pyarrow as pa

        if not count or (default := self.defaults.get(name)) is None:
            return pa.nulls(count, arrow_type(self.schema[name]))
        return pa.repeat(self._convert_values(name, [default])[0], count)

    def _from_columns(
        self, rows: pa.Table | dict[str, Any], failures: _Failures, *, texts: bool
    ) -> pa.Table:
        import pyarrow as pa

        if isinstance(rows, dict):
            columns_by_name, count = rows, len(next(iter(rows.values()), ()))
        else:
            self.check_names(rows.column_names)
            columns_by_name, count = (
                dict(zip(rows.column_names, rows.columns, strict=True)),
                rows.num_rows,
            )
        columns = []
        for name, dtype in self.schema.items():
            if name not in columns_by_name:
                columns.append(self._default_column(name, count))
                continue
            convert = (
                to_array
                if isinstance(columns_by_name[name], list)
                else read_texts
                if texts
                else cast_column
            )
            try:
                columns.append(convert(columns_by_name[name], dtype, self.library))
            except BarbuleError as error:
                if name not in failures or isinstance(error, StoreError):
                    raise error.at(column=name) from error.__cause__
                cells = (
                    columns_by_name[name]
                    if isinstance(columns_by_name[name], list)
                    else columns_by_name[name].to_pylist()
                )
                columns.append(self._convert_one_by_one(name, cells, failures[name]))
        return pa.Table.from_arrays(columns, schema=self.arrow_schema)

    def _check_required(self, rows: pa.Table) -> None:
        for name, dtype in self.schema.items():
            if (missing := first_missing_value(rows.column(name), dtype)) is None:
                continue
            row, path = missing
            if path:
                subject = f"its field {'.'.join(path)!r} is required, but this row"
            elif dtype.nullable:
                subject = "its items are required, but this row"
            else:
                subject = "the column is required, but this row"
            raise DataError(
                f"{subject} has no value for it.",
                column=name,
                row=row,
                hint="Give a value, or make the column nullable."
                if not dtype.nullable
                else "Give a value, or remove the enclosing value.",
            )

    def _check_media(self, rows: pa.Table, failures: _Failures) -> None:
        for name, dtype in self.schema.items():
            if not holds_media(dtype) or name in self.rules.unchecked:
                continue
            cells = rows.column(name).to_pylist()
            try:
                if declaration(dtype).is_media:
                    self.library.check_all(cells, dtype, failures.get(name))
                else:
                    self._check_nested_media(cells, dtype)
            except BarbuleError as error:
                raise error.at(column=name) from error.__cause__

    def _check_nested_media(self, cells: Sequence[Any], dtype: dt.DataType) -> None:
        """Check the media in lists and structs, those of one type together."""
        media_by_type: dict[Media, tuple[list[int], list[str]]] = {}
        for row, cell in enumerate(cells):
            for inner, reference in cell_media(cell, dtype):
                rows, references = media_by_type.setdefault(inner, ([], []))
                rows.append(row)
                references.append(reference)
        for inner, (rows, references) in media_by_type.items():
            try:
                self.library.check_all(references, inner)
            except BarbuleError as error:
                error.row = None if error.row is None else rows[error.row]
                raise


def _with_failures(rows: pa.Table, failures: _Failures) -> pa.Table:
    """Empty the cells that failed, and add the columns with their errors."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for name, failed in failures.items():
        column = rows.column(name)
        if failed:
            is_failed = pa.array([row in failed for row in range(rows.num_rows)])
            column = pc.if_else(is_failed, pa.scalar(None, column.type), column)
            rows = rows.set_column(rows.column_names.index(name), name, column)
        reasons: list[dict[str, str] | None] = [None] * rows.num_rows
        for row, error in failed.items():
            reasons[row] = {"type": type(error).__name__, "message": _message_with_hint(error)}
        rows = rows.append_column(
            f"{FAILED_PREFIX}{name}", pa.array(reasons, CELL_ERROR_TYPE.to_pyarrow())
        )
    return rows


def _message_with_hint(error: BarbuleError) -> str:
    """Return the message and hint of an error without its location."""
    return f"{error.message} {error.hint}" if error.hint else error.message
