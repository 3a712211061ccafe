"""LanceDB: a directory of Lance tables, as its guide writes them.

It has no aggregates of its own, and functions of a user only in its hosted form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lancedb
from films import HALF, LATE, TENTH
from lancedb import Table, connect
from lancedb.query import ColumnOrdering
from serve import Work, serve

if TYPE_CHECKING:
    from pathlib import Path

    from films import Films


class LanceDB:
    """One connection to one directory."""

    library = "lancedb"

    def __init__(self, home: Path, films: Films) -> None:
        self.home, self.films = home, films

    def open(self) -> lancedb.DBConnection:
        """The connection, made at first use."""
        if not hasattr(self, "connection"):
            self.connection = connect(self.home / "lance")
        return self.connection

    def close(self) -> None:
        """It holds nothing open."""

    def empty(self) -> Table:
        """A table without rows."""
        schema = self.films.arrow.schema
        return self.open().create_table("fresh", schema=schema, mode="overwrite")

    def filled(self, name: str = "fresh") -> Table:
        """A table with all rows that nothing was done to."""
        return self.open().create_table(name, self.films.arrow, mode="overwrite")

    def standing(self) -> Table:
        """The table that is only read."""
        if not hasattr(self, "_standing"):
            self._standing = self.filled("standing")
        return self._standing

    def total(self, column: str) -> float:
        """Return the sum of a column."""
        rows = self.open().open_table("fresh").search().select([column]).to_arrow()
        return sum(rows[column].to_pylist())

    def count(self, _: Any) -> Any:
        """Return what shows that all rows are there."""
        return [self.open().open_table("fresh").count_rows(), self.total("revenue")]

    # Writing

    def first_table(self) -> Work:
        schema = self.films.arrow.schema
        return (
            lambda: self.open().create_table("first", schema=schema),
            lambda table: table.count_rows(),
        )

    def insert_dicts(self) -> Work:
        fresh, rows = self.empty(), self.films.rows
        return lambda: fresh.add(rows), self.count

    def insert_dataframe(self) -> Work:
        fresh, frame = self.empty(), self.films.frame
        return lambda: fresh.add(frame), self.count

    def insert_arrow(self) -> Work:
        fresh, films = self.empty(), self.films.arrow
        return lambda: fresh.add(films), self.count

    def insert_one(self) -> Work:
        fresh, one = self.filled(), self.films.one
        return lambda: fresh.add([one]), self.count

    def update_one(self) -> Work:
        fresh, name = self.filled(), self.films.one_name
        return (
            lambda: fresh.update(where=f"name = '{name}'", values={"budget": 0.0}),
            lambda _: self.total("budget"),
        )

    def update_tenth(self) -> Work:
        fresh = self.filled()
        return (
            lambda: fresh.update(where=f"year < {LATE}", values_sql={"budget": "budget * 2"}),
            lambda _: self.total("budget"),
        )

    def delete_tenth(self) -> Work:
        fresh = self.filled()
        return lambda: fresh.delete(f"year >= {TENTH}"), self.count

    # Computing

    def arithmetic_stored(self) -> Work:
        fresh = self.filled()
        return (
            lambda: fresh.add_columns({"profit": "revenue - budget"}),
            lambda _: self.total("profit"),
        )

    # Reading

    def where_collect(self) -> Work:
        films = self.standing()
        return (
            lambda: films.search().where(f"year >= {HALF}").to_list(),
            lambda rows: [len(rows), sum(row["revenue"] for row in rows)],
        )

    def to_arrow(self) -> Work:
        films = self.standing()
        return films.to_arrow, lambda table: table.num_rows

    def top_10(self) -> Work:
        films = self.standing()

        def work() -> Any:
            order = [ColumnOrdering(column_name="revenue", ascending=False)]
            order.append(ColumnOrdering(column_name="name"))
            return films.search().order_by(order).limit(10).select(["name", "revenue"]).to_list()

        return work, lambda rows: [row["name"] for row in rows]


if __name__ == "__main__":
    serve(LanceDB)
