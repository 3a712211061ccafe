"""LanceDB under load: threads of one process on one connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lancedb
import pyarrow as pa
from load import DIMENSION, KINDS, LoadSide, embedded, text_of
from serve import Work, serve

if TYPE_CHECKING:
    from pathlib import Path


class LanceDB(LoadSide):
    """One connection to one directory; a text is embedded before it is stored or searched."""

    library = "lancedb"

    def __init__(self, home: Path, films: Any) -> None:
        super().__init__(home, films)
        self.connection = lancedb.connect(home / "lance")

    def fill(self) -> Work:
        schema = pa.schema(
            {
                "n": pa.int64(),
                "kind": pa.int64(),
                "score": pa.float64(),
                "text": pa.string(),
                "v": pa.list_(pa.float32(), DIMENSION),
            }
        )

        def work() -> None:
            rows = [{**row, "v": embedded(row["text"])} for row in self.rows()]
            table = pa.Table.from_pylist(rows, schema)
            self.plain = self.connection.create_table("plain", table.drop(["v"]))
            self.table = self.connection.create_table("t", table)
            self.table.create_index(
                metric="cosine", vector_column_name="v", index_type="IVF_HNSW_SQ"
            )

        return work, lambda _: None

    def filter(self, number: int) -> Any:
        return self.table.search().where(f"kind = {number % KINDS}").limit(10_000).to_list()

    def search(self, number: int) -> Any:
        asked = self.table.search(embedded(text_of(number)), vector_column_name="v")
        return asked.distance_type("cosine").limit(5).select(["n", "text"]).to_list()

    def aggregate(self, number: int) -> Any:
        rows = self.table.search().select(["kind", "score"]).limit(1_000_000).to_arrow()
        return rows.group_by("kind").aggregate([("score", "mean")]).to_pylist()

    def open(self, number: int) -> Any:
        return self.connection.open_table("t")

    def insert(self, number: int) -> Any:
        row = self.row(number)
        return self.table.add([{**row, "v": embedded(row["text"])}])

    def update(self, number: int) -> Any:
        chosen = f"n = {number % self.count}"
        return self.table.update(where=chosen, values={"score": float(number)})

    def insert_alone(self, indexed: int) -> Work:
        """Insert a hundred rows, one by one, into the table with the index or the one without."""
        numbers = [self.new() for _ in range(100)]
        if indexed:
            return lambda: [self.insert(each) for each in numbers], len
        return lambda: [self.plain.add([self.row(each)]) for each in numbers], len

    def close(self) -> None:
        """It holds nothing open."""


if __name__ == "__main__":
    serve(LanceDB)
