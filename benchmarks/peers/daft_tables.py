"""Daft: a frame in memory, as it keeps no tables of its own; what it computes is not stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import daft
from daft import DataType, Series, col
from films import HALF, shout, shout_all
from serve import Work, serve

if TYPE_CHECKING:
    from pathlib import Path

    from films import Films


@daft.func
def loud(name: str) -> str:
    return shout(name)


@daft.func.batch(return_dtype=DataType.string(), batch_size=1000)
def loud_all(names: Series) -> list[str]:
    return shout_all(names.to_pylist())


class Daft:
    """One collected frame."""

    library = "daft"

    def __init__(self, home: Path, films: Films) -> None:
        self.films = films

    def close(self) -> None:
        """It holds nothing open."""

    def standing(self) -> daft.DataFrame:
        """All rows, in memory."""
        if not hasattr(self, "_standing"):
            self._standing = daft.from_arrow(self.films.arrow).collect()
        return self._standing

    # Computing

    def arithmetic_stored(self) -> Work:
        films = self.standing()
        return (
            lambda: films.with_column("profit", col("revenue") - col("budget")).collect(),
            lambda frame: sum(frame.to_pydict()["profit"]),
        )

    def _loud(self, function: Any) -> Work:
        films = self.standing()

        def answer(frame: daft.DataFrame) -> Any:
            values = frame.to_pydict()["loud"]
            return [len(values), min(values), max(values)]

        return lambda: films.with_column("loud", function(col("name"))).collect(), answer

    def row_function(self) -> Work:
        return self._loud(loud)

    def batch_function(self) -> Work:
        return self._loud(loud_all)

    # Reading

    def where_collect(self) -> Work:
        films = self.standing()
        return (
            lambda: films.where(col("year") >= HALF).to_pylist(),
            lambda rows: [len(rows), sum(row["revenue"] for row in rows)],
        )

    def to_arrow(self) -> Work:
        films = self.standing()
        return films.to_arrow, lambda table: table.num_rows

    def aggregate(self) -> Work:
        films = self.standing()

        def work() -> Any:
            query = films.agg(
                col("name").count().alias("count"),
                col("revenue").sum().alias("total"),
                col("budget").max().alias("most"),
            )
            return query.to_pylist()

        return work, lambda rows: [rows[0][each] for each in ("count", "total", "most")]

    def top_10(self) -> Work:
        films = self.standing()

        def work() -> Any:
            query = films.sort(["revenue", "name"], desc=[True, False]).limit(10)
            return query.select("name", "revenue").to_pylist()

        return work, lambda rows: [row["name"] for row in rows]

    def group_by(self) -> Work:
        films = self.standing()
        return (
            lambda: films.groupby("genre").agg(col("revenue").sum().alias("total")).to_pylist(),
            lambda rows: [len(rows), max(row["total"] for row in rows)],
        )


if __name__ == "__main__":
    serve(Daft)
