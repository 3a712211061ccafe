"""Bare DuckDB: a file, SQL, Arrow in and out; Python functions in a loop, kept beside the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from films import HALF, LATE, TENTH, shout, shout_all
from serve import Work, serve

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb
    from films import Films

COLUMNS = "name VARCHAR, revenue DOUBLE, budget DOUBLE, genre VARCHAR, year BIGINT"
BATCH = 1000


class DuckDB:
    """One connection to one file."""

    library = "duckdb"

    def __init__(self, home: Path, films: Films) -> None:
        self.home, self.films = home, films
        self.kept = False

    def open(self) -> duckdb.DuckDBPyConnection:
        """The connection, opened at first use; barbule loads DuckDB no earlier either."""
        import duckdb

        if not hasattr(self, "connection"):
            self.connection = duckdb.connect(self.home / "bare.duckdb")
        return self.connection

    def close(self) -> None:
        """Close the file."""
        if hasattr(self, "connection"):
            self.connection.close()

    def one(self, query: str) -> Any:
        """Return the only row, or its only value."""
        row = self.open().execute(query).fetchone()
        return row[0] if len(row) == 1 else list(row)

    def count(self, _: Any) -> Any:
        """Return what shows that all rows are there."""
        return self.one("SELECT count(*), sum(revenue) FROM fresh")

    def empty(self) -> duckdb.DuckDBPyConnection:
        """A table without rows."""
        return self.open().execute(f"CREATE OR REPLACE TABLE fresh ({COLUMNS})")

    def filled(self, name: str = "fresh") -> duckdb.DuckDBPyConnection:
        """A table with all rows that nothing was done to."""
        films = self.films.arrow  # noqa: F841  # DuckDB finds it by name
        return self.open().execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM films")

    def standing(self) -> duckdb.DuckDBPyConnection:
        """The table that is only read."""
        if not self.kept:
            self.filled("standing")
            self.kept = True
        return self.open()

    # Writing

    def first_table(self) -> Work:
        def work() -> None:
            self.open().execute(f"CREATE TABLE first ({COLUMNS})")

        return work, lambda _: self.one("SELECT count(*) FROM first")

    def insert_dicts(self) -> Work:
        con, rows = self.empty(), self.films.rows

        def work() -> None:
            films = pa.Table.from_pylist(rows)  # noqa: F841
            con.execute("INSERT INTO fresh SELECT * FROM films")

        return work, self.count

    def _insert(self, source: Any) -> Work:
        con = self.empty()

        def work() -> None:
            films = source  # noqa: F841
            con.execute("INSERT INTO fresh SELECT * FROM films")

        return work, self.count

    def insert_dataframe(self) -> Work:
        return self._insert(self.films.frame)

    def insert_arrow(self) -> Work:
        return self._insert(self.films.arrow)

    def insert_one(self) -> Work:
        con, one = self.filled(), list(self.films.one.values())
        return lambda: con.execute("INSERT INTO fresh VALUES (?, ?, ?, ?, ?)", one), self.count

    def update_one(self) -> Work:
        con, name = self.filled(), self.films.one_name
        return (
            lambda: con.execute("UPDATE fresh SET budget = 0 WHERE name = ?", [name]),
            lambda _: self.one("SELECT sum(budget) FROM fresh"),
        )

    def update_tenth(self) -> Work:
        con = self.filled()
        return (
            lambda: con.execute("UPDATE fresh SET budget = budget * 2 WHERE year < ?", [LATE]),
            lambda _: self.one("SELECT sum(budget) FROM fresh"),
        )

    def delete_tenth(self) -> Work:
        con = self.filled()
        return lambda: con.execute("DELETE FROM fresh WHERE year >= ?", [TENTH]), self.count

    # Computing

    def arithmetic_stored(self) -> Work:
        con = self.filled()

        def work() -> None:
            con.execute("ALTER TABLE fresh ADD COLUMN profit DOUBLE")
            con.execute("UPDATE fresh SET profit = revenue - budget")

        return work, lambda _: self.one("SELECT sum(profit) FROM fresh")

    def _beside(self, compute: Any) -> Work:
        con = self.filled()

        def work() -> None:
            read = con.execute("SELECT rowid, name FROM fresh").to_arrow_table()
            loud = compute(read["name"].to_pylist())
            side = pa.table({"rid": read["rowid"], "loud": loud})  # noqa: F841
            con.execute("CREATE OR REPLACE TABLE loud AS SELECT * FROM side")

        return work, lambda _: self.one("SELECT count(*), min(loud), max(loud) FROM loud")

    def row_function(self) -> Work:
        return self._beside(lambda names: [shout(name) for name in names])

    def batch_function(self) -> Work:
        def batched(names: list[str]) -> list[str]:
            starts = range(0, len(names), BATCH)
            return [loud for at in starts for loud in shout_all(names[at : at + BATCH])]

        return self._beside(batched)

    # Reading

    def where_collect(self) -> Work:
        con = self.standing()

        def work() -> list[dict[str, Any]]:
            query = con.execute("SELECT * FROM standing WHERE year >= ?", [HALF])
            return query.to_arrow_table().to_pylist()

        return work, lambda rows: [len(rows), sum(row["revenue"] for row in rows)]

    def to_arrow(self) -> Work:
        con = self.standing()
        return lambda: con.execute("FROM standing").to_arrow_table(), lambda table: table.num_rows

    def aggregate(self) -> Work:
        con = self.standing()
        query = "SELECT count(*), sum(revenue), max(budget) FROM standing"
        return lambda: con.execute(query).fetchone(), list

    def top_10(self) -> Work:
        con = self.standing()
        query = "SELECT name, revenue FROM standing ORDER BY revenue DESC, name LIMIT 10"
        return (
            lambda: con.execute(query).to_arrow_table().to_pylist(),
            lambda rows: [row["name"] for row in rows],
        )

    def group_by(self) -> Work:
        con = self.standing()
        query = "SELECT genre, sum(revenue) AS total FROM standing GROUP BY genre"
        return (
            lambda: con.execute(query).to_arrow_table().to_pylist(),
            lambda rows: [len(rows), max(row["total"] for row in rows)],
        )


if __name__ == "__main__":
    serve(DuckDB)
