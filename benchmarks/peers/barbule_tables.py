"""barbule: tables in a DuckDB file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from films import HALF, LATE, TENTH, Films
from films import shout as _shout
from films import shout_all as _shout_all
from serve import Work, serve

import barbule as bb

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = {
    "name": bb.String,
    "revenue": bb.Float,
    "budget": bb.Float,
    "genre": bb.String,
    "year": bb.Int,
}


@bb.udf
def shout(name: str) -> str:
    return _shout(name)


@bb.udf(batch_size=1000)
def shout_all(names: list[str]) -> list[str]:
    return _shout_all(names)


class Barbule:
    """One session over one home."""

    library = "barbule"

    def __init__(self, home: Path, films: Films) -> None:
        os.environ["BARBULE_HOME"] = str(home)
        self.films = films

    def close(self) -> None:
        """Close the session."""
        bb.session.current().close()

    def count(self, _: Any) -> Any:
        """Return what shows that all rows are there."""
        fresh = bb.get_table("fresh")
        row = fresh.agg(count=fresh.count(), sum=fresh.revenue.sum()).collect()[0]
        return [row["count"], row["sum"]]

    def total(self, column: str) -> float:
        """Return the sum of a column."""
        fresh = bb.get_table("fresh")
        return fresh.agg(total=fresh[column].sum()).collect()[0]["total"]

    def empty(self) -> Any:
        """A table without rows."""
        return bb.create_table("fresh", SCHEMA, if_exists="replace")

    def filled(self) -> Any:
        """A table with all rows that nothing was done to."""
        fresh = self.empty()
        fresh.insert(self.films.arrow)
        return fresh

    def standing(self) -> Any:
        """The table that is only read."""
        if not hasattr(self, "_standing"):
            self._standing = bb.create_table("standing", SCHEMA)
            self._standing.insert(self.films.arrow)
        return self._standing

    # Writing

    def first_table(self) -> Work:
        return (
            lambda: bb.create_table("first", SCHEMA),
            lambda table: table.agg(count=table.count()).collect()[0]["count"],
        )

    def insert_dicts(self) -> Work:
        fresh, rows = self.empty(), self.films.rows
        return lambda: fresh.insert(rows), self.count

    def insert_dataframe(self) -> Work:
        fresh, frame = self.empty(), self.films.frame
        return lambda: fresh.insert(frame), self.count

    def insert_arrow(self) -> Work:
        fresh, films = self.empty(), self.films.arrow
        return lambda: fresh.insert(films), self.count

    def insert_one(self) -> Work:
        fresh, one = self.filled(), self.films.one
        return lambda: fresh.insert(**one), self.count

    def update_one(self) -> Work:
        fresh, name = self.filled(), self.films.one_name
        return (
            lambda: fresh.update({"budget": 0.0}, where=fresh.name == name),
            lambda _: self.total("budget"),
        )

    def update_tenth(self) -> Work:
        fresh = self.filled()
        return (
            lambda: fresh.update({"budget": fresh.budget * 2}, where=fresh.year < LATE),
            lambda _: self.total("budget"),
        )

    def delete_tenth(self) -> Work:
        fresh = self.filled()
        return lambda: fresh.delete(where=fresh.year >= TENTH), self.count

    # Computing

    def arithmetic_virtual(self) -> Work:
        fresh = self.filled()
        return (
            lambda: fresh.add_computed_column(profit=fresh.revenue - fresh.budget),
            lambda _: self.total("profit"),
        )

    def arithmetic_stored(self) -> Work:
        fresh = self.filled()
        return (
            lambda: fresh.add_computed_column(profit=fresh.revenue - fresh.budget, stored=True),
            lambda _: self.total("profit"),
        )

    def _loud(self, function: Any) -> Work:
        fresh = self.filled()

        def answer(_: Any) -> Any:
            loud = bb.get_table("fresh").loud
            row = fresh.agg(count=loud.count(), first=loud.min(), last=loud.max()).collect()[0]
            return [row["count"], row["first"], row["last"]]

        return lambda: fresh.add_computed_column(loud=function(fresh.name)), answer

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

    def to_arrow(self) -> Work:
        films = self.standing()
        return films.to_pyarrow, lambda table: table.num_rows

    def aggregate(self) -> Work:
        films = self.standing()

        def work() -> Any:
            query = films.agg(
                count=films.count(), total=films.revenue.sum(), most=films.budget.max()
            )
            return query.collect()

        return work, lambda rows: list(rows[0].values())

    def top_10(self) -> Work:
        films = self.standing()

        def work() -> Any:
            query = films.order_by(films.revenue.desc(), films.name).limit(10)
            return list(query.select("name", "revenue").collect())

        return work, lambda rows: [row["name"] for row in rows]

    def group_by(self) -> Work:
        films = self.standing()
        return (
            lambda: list(films.group_by("genre").agg(total=films.revenue.sum()).collect()),
            lambda rows: [len(rows), max(row["total"] for row in rows)],
        )


if __name__ == "__main__":
    serve(Barbule)
