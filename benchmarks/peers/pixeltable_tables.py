"""Pixeltable: tables in the Postgres server that it starts in its home, on a Unix socket."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pixeltable as pxt
from films import HALF, LATE, TENTH
from pixeltable import functions as pxt_functions
from pixeltable_functions import shout, shout_all
from serve import Work, serve

if TYPE_CHECKING:
    from pathlib import Path

    from films import Films

SCHEMA = {
    "name": pxt.String | None,
    "revenue": pxt.Float | None,
    "budget": pxt.Float | None,
    "genre": pxt.String | None,
    "year": pxt.Int | None,
}


class Pixeltable:
    """One home with its server.

    Filling a table takes seconds, so what was done to it is taken back afterwards: `revert` ends
    a mutation, and a computed column is dropped.
    """

    library = "pixeltable"

    def __init__(self, home: Path, films: Films) -> None:
        self.home, self.films = home, films
        os.environ["PIXELTABLE_HOME"] = str(home)

    def close(self) -> None:
        """End the server, which outlives the process otherwise."""
        note = self.home / "pgdata" / "postmaster.pid"
        if note.exists():
            os.kill(int(note.read_text().split()[0]), signal.SIGINT)
            while note.exists():
                time.sleep(0.05)

    def empty(self) -> pxt.Table:
        """A table without rows."""
        return pxt.create_table("fresh", SCHEMA, if_exists="replace")

    def standing(self) -> pxt.Table:
        """The table with all rows."""
        if not hasattr(self, "_standing"):
            self._standing = pxt.create_table("standing", SCHEMA)
            self._standing.insert(self.films.frame)
        return self._standing

    def count(self, table: pxt.Table) -> Any:
        """Return what shows that all rows are there."""
        row = table.select(
            count=pxt_functions.count(table.name), sum=pxt_functions.sum(table.revenue)
        ).collect()[0]
        return [row["count"], row["sum"]]

    def total(self, column: str) -> float:
        """Return the sum of a column."""
        table = self.standing()
        return table.select(total=pxt_functions.sum(getattr(table, column))).collect()[0]["total"]

    def undone(self, answer: Any) -> Any:
        """Take the last mutation back."""
        self.standing().revert()
        return answer

    # Writing

    def first_table(self) -> Work:
        return lambda: pxt.create_table("first", SCHEMA), lambda table: table.count()

    def insert_dicts(self) -> Work:
        fresh, rows = self.empty(), self.films.rows
        return lambda: fresh.insert(rows), lambda _: self.count(fresh)

    def insert_dataframe(self) -> Work:
        fresh, frame = self.empty(), self.films.frame
        return lambda: fresh.insert(frame), lambda _: self.count(fresh)

    def insert_one(self) -> Work:
        films, one = self.standing(), self.films.one
        return lambda: films.insert(**one), lambda _: self.undone(self.count(films))

    def update_one(self) -> Work:
        films, name = self.standing(), self.films.one_name
        return (
            lambda: films.update({"budget": 0.0}, where=films.name == name),
            lambda _: self.undone(self.total("budget")),
        )

    def update_tenth(self) -> Work:
        films = self.standing()
        return (
            lambda: films.update({"budget": films.budget * 2}, where=films.year < LATE),
            lambda _: self.undone(self.total("budget")),
        )

    def delete_tenth(self) -> Work:
        films = self.standing()
        return (
            lambda: films.delete(where=films.year >= TENTH),
            lambda _: self.undone(self.count(films)),
        )

    # Computing

    def _computed(self, name: str, expression: Any, answer: Any) -> Work:
        films = self.standing()

        def dropped(_: Any) -> Any:
            found = answer()
            films.drop_column(name)
            return found

        return lambda: films.add_computed_column(**{name: expression}), dropped

    def arithmetic_stored(self) -> Work:
        films = self.standing()
        profit = films.revenue - films.budget
        return self._computed("profit", profit, lambda: self.total("profit"))

    def _loud(self, function: Any) -> Work:
        films = self.standing()

        def answer() -> Any:
            values = films.select(films.loud).collect()["loud"]
            return [len(values), min(values), max(values)]

        return self._computed("loud", function(films.name), answer)

    def row_function(self) -> Work:
        return self._loud(shout)

    def batch_function(self) -> Work:
        return self._loud(shout_all)

    # Reading

    def where_collect(self) -> Work:
        films = self.standing()
        return (
            lambda: list(films.where(films.year >= HALF).collect()),
            lambda rows: [len(rows), sum(row["revenue"] for row in rows)],
        )

    def aggregate(self) -> Work:
        films = self.standing()

        def work() -> Any:
            query = films.select(
                count=pxt_functions.count(films.name),
                total=pxt_functions.sum(films.revenue),
                most=pxt_functions.max(films.budget),
            )
            return query.collect()

        return work, lambda rows: [rows[0][each] for each in ("count", "total", "most")]

    def top_10(self) -> Work:
        films = self.standing()

        def work() -> Any:
            query = films.order_by(films.revenue, asc=False).order_by(films.name).limit(10)
            return list(query.select(films.name, films.revenue).collect())

        return work, lambda rows: [row["name"] for row in rows]

    def group_by(self) -> Work:
        films = self.standing()

        def work() -> Any:
            total = pxt_functions.sum(films.revenue)
            return list(films.group_by(films.genre).select(films.genre, total=total).collect())

        return work, lambda rows: [len(rows), max(row["total"] for row in rows)]


if __name__ == "__main__":
    serve(Pixeltable)
