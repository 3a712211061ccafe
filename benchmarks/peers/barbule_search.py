"""barbule searches vectors: kept with their rows, indexed in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from serve import Work, serve
from vectors import DIMENSION, K, VectorSide

import barbule as bb

if TYPE_CHECKING:
    from pathlib import Path


class Barbule(VectorSide):
    """One session on one home."""

    library = "barbule"

    def __init__(self, home: Path, films: Any) -> None:
        super().__init__(home, films)
        self.session = bb.connect(home=str(home))

    def insert(self) -> Work:
        schema = {"n": bb.Int, "share": bb.Float, "v": bb.Vector(DIMENSION)}
        self.table = bb.create_table("t", schema)
        return lambda: self.table.insert(self.vectors.arrow), lambda done: done.rows

    def build(self) -> Work:
        """Until it can be searched."""
        return lambda: self.table.add_embedding_index("v"), lambda done: done.rows

    def drain(self) -> Work:
        """Until Chroma has all."""
        return self.session._engine.indexing.settle, lambda _: None

    def chroma_alone(self) -> Work:
        """Chroma filled by itself with the same vectors, as the index fills it."""
        from barbule.indexes.base import open_store

        store = open_store(f"chroma://{self.home / 'alone'}")
        index = store.open("alone", DIMENSION, "cosine")
        rows = self.vectors.rows

        def fill() -> None:
            for start in range(0, len(rows), 4000):
                some = rows[start : start + 4000]
                index.upsert(range(start, start + len(some)), some)

        return fill, lambda _: store.close()

    def join(self) -> Work:
        """A thousand queries together."""
        asked = self._asked()
        pairs = self.table.v.nearest(asked.w, k=K)
        return pairs.select("n", "score").to_pyarrow, len

    def one_by_one(self) -> Work:
        """A hundred of them, one after another."""
        queries = self.vectors.queries
        return lambda: [self.search(query, 1.0) for query in queries], len

    def _asked(self) -> Any:
        import numpy as np
        import pyarrow as pa

        flat = pa.array(np.tile(self.vectors.queries, (10, 1)).ravel())
        asked = bb.create_table("asked", {"w": bb.Vector(DIMENSION)}, if_exists="replace")
        asked.insert(pa.table({"w": pa.FixedSizeListArray.from_arrays(flat, DIMENSION)}))
        return asked

    def search(self, query: Any, share: float) -> list[int]:
        rows = self.table if share == 1.0 else self.table.where(self.table.share < share)
        best = rows.order_by(rows.v.similarity(query), asc=False).limit(K).select("n")
        return best.to_pyarrow()["n"].to_pylist()

    def close(self) -> None:
        self.session.close()


if __name__ == "__main__":
    serve(Barbule)
