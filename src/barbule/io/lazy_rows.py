"""`Rows`, the result of data set readers, which tables accept; read when iterated over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from barbule import types

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import ibis.expr.schema as sch

__all__ = ["Rows"]


class Rows:
    """The rows of a data set, with the types of their columns: for `create_table` and `insert`.

    They are read again with each iteration.

    Parameters
    ----------
    columns
        The types of the columns by name.
    read
        Yields the origin of each row (a file, for messages; None if there is none) and the row.
    label
        Their name in messages.
    form
        "json" if values that JSON lacks, such as bytes, are strings.

    Examples
    --------
    >>> rows = Rows({"n": int}, lambda: ((None, {"n": n}) for n in range(2)), "two numbers")
    >>> list(rows), rows.columns
    ([{'n': 0}, {'n': 1}], ('n',))
    """

    def __init__(
        self,
        columns: Mapping[str, Any],
        read: Callable[[], Iterator[tuple[str | None, dict[str, Any]]]],
        label: str,
        form: Literal["records", "json"] = "records",
    ) -> None:
        self.schema: sch.Schema = types.schema(dict(columns))
        self._read = read
        self._label = label
        self.form: Literal["records", "json"] = form

    def __repr__(self) -> str:
        kinds = ", ".join(f"{name}: {kind}" for name, kind in self.schema.items())
        return f"<rows of {self._label} ({kinds})>"

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.schema.names)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for _, row in self._read():
            yield row

    def with_origins(self) -> Iterator[tuple[str | None, dict[str, Any]]]:
        """Read each row with its file."""
        return self._read()
