"""Rows that are read when they are asked for.

Owns `Rows`: what the readers of data sets return and tables take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from barbule import types

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import ibis.expr.schema as sch

__all__ = ["Rows"]


class Rows:
    """The rows of a data set, with the types of their columns: for `create_table` and `insert`.

    Nothing is kept: each time they are iterated over they are read anew.

    Parameters
    ----------
    columns
        The types by name.
    read
        Gives what each row is read from (a file, for messages; None where cells tell) and the row.
    label
        What they are called.
    form
        "json" where what has no form in JSON, bytes say, stands there as texts.

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
        """Read each row with the file it comes from."""
        return self._read()
