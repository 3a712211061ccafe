"""LanceDB searches vectors: by IVF_HNSW_SQ, filters applied before, as its guide has it."""

from __future__ import annotations

from typing import Any

import lancedb
from serve import Work, serve
from vectors import K, VectorSide


class LanceDB(VectorSide):
    """One connection to one directory."""

    library = "lancedb"

    def unindexed(self) -> Work:
        """It compares all rows where there is no index."""
        return lambda: None, lambda _: None

    def insert(self) -> Work:
        connection = lancedb.connect(self.home / "lance")

        def work() -> None:
            self.table = connection.create_table("t", self.vectors.arrow)

        return work, lambda _: self.table.count_rows()

    def build(self) -> Work:
        def work() -> None:
            self.table.create_index(
                metric="cosine", vector_column_name="v", index_type="IVF_HNSW_SQ"
            )

        return work, lambda _: None

    def search(self, query: Any, share: float) -> list[int]:
        asked = self.table.search(query, vector_column_name="v").distance_type("cosine")
        if share < 1.0:
            asked = asked.where(f"share < {share}", prefilter=True)
        return asked.limit(K).select(["n"]).to_arrow()["n"].to_pylist()

    def close(self) -> None:
        """It holds nothing open."""


if __name__ == "__main__":
    serve(LanceDB)
