"""Bare DuckDB as a table grows: one file, changed in place, so that nothing of before is kept."""

from __future__ import annotations

from typing import Any

from duckdb_tables import DuckDB
from films import CHANGES, HALF
from memory import peak_mb
from serve import Work, serve


class Growth(DuckDB):
    """The same questions about a table that nothing was done to, and one that was changed."""

    def changed(self) -> Any:
        """The table after a hundred updates of a thousandth of its rows each."""
        if not hasattr(self, "_changed"):
            self._changed = self.filled("changed")
            for number in range(CHANGES):
                query = "UPDATE changed SET budget = budget + 1 WHERE genre = ?"
                self._changed.execute(query, [f"genre {number:04}"])
        return self._changed

    def _ask(self, table: str) -> Work:
        query = f"SELECT count(*), sum(revenue), max(budget) FROM {table} WHERE year >= {HALF}"
        return lambda: self.open().execute(query).fetchone(), list

    def latest_untouched(self) -> Work:
        self.standing()
        return self._ask("standing")

    def latest_changed(self) -> Work:
        self.changed()
        return self._ask("changed")

    def back_100(self) -> Work:
        """What was a hundred versions ago is what nothing was done to."""
        self.standing()
        return self._ask("standing")

    def small_query(self) -> Work:
        con = self.standing()
        query = f"SELECT name FROM standing WHERE year >= {HALF} LIMIT 1"
        return lambda: con.execute(query).to_arrow_table().to_pylist(), len

    def insert_parquet(self) -> Work:
        con = self.open()
        con.execute("CREATE TABLE big (number BIGINT, text VARCHAR, value DOUBLE)")
        query = f"INSERT INTO big SELECT * FROM read_parquet('{self.home / 'big.parquet'}')"
        return (
            lambda: con.execute(query),
            lambda _: {"peak_mb": peak_mb(), "rows": self.one("SELECT count(*) FROM big")},
        )


if __name__ == "__main__":
    serve(Growth)
