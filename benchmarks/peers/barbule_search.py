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

    def unindexed(self) -> Work:
        """Keep no index beside the table."""

        def work() -> None:
            self.session.close()
            self.session = bb.connect(home=str(self.home), vectors="exact:")

        return work, lambda _: None

    def insert(self) -> Work:
        schema = {"n": bb.Int, "share": bb.Float, "v": bb.Vector(DIMENSION)}
        self.table = bb.create_table("t", schema)
        return lambda: self.table.insert(self.vectors.arrow), lambda done: done.rows

    def build(self) -> Work:
        """Until it can be searched."""
        return lambda: self.table.add_embedding_index("v"), lambda done: done.rows

    def drain(self) -> Work:
        """Until Chroma has all."""
        return self.session._engine.indexing.wait, lambda _: None

    def chroma_alone(self) -> Work:
        """Chroma filled by itself with the same vectors, in the batches that suit it best."""
        import chromadb
        from chromadb.config import Settings

        settings = Settings(anonymized_telemetry=False)
        client = chromadb.PersistentClient(str(self.home / "alone"), settings=settings)
        space = {"hnsw": {"space": "cosine", "max_neighbors": 16, "ef_construction": 100}}
        made = client.create_collection("alone", configuration=space, embedding_function=None)
        rows = self.vectors.rows

        def fill() -> None:
            for start in range(0, len(rows), 1000):
                some = rows[start : start + 1000]
                names = [str(n) for n in range(start, start + len(some))]
                made.upsert(ids=names, embeddings=some)

        return fill, lambda _: client.close()

    def kept(self) -> Work:
        """How much memory the vectors take that are kept."""
        nearest = self.session._engine.database.nearest
        return lambda: round(nearest.nbytes / 1e6, 1), lambda megabytes: megabytes

    def at_once(self) -> Work:
        """Insert what is searched for; count what the very next search does not find."""
        queries = self.vectors.queries[:10]

        def work() -> int:
            missed = 0
            for place, query in enumerate(queries):
                number = self.count + place
                self.table.insert([{"n": number, "share": 2.0, "v": query}])
                missed += self.search(query, 1.0)[0] != number
            self.table.delete(where=self.table.share > 1.0)
            return missed

        return work, lambda missed: missed

    def join(self) -> Work:
        """A thousand queries together."""
        asked = self._asked()
        pairs = self.table.v.nearest(asked.w, k=K)
        return pairs.select("n", "score").to_pyarrow, len

    def one_by_one(self) -> Work:
        """A hundred of them, one after another."""
        queries = self.vectors.queries
        return lambda: [self.search(query, 1.0) for query in queries], len

    # A version 100 steps back, and bare DuckDB over the rows that it shows

    def versions(self) -> Work:
        """Change some rows a hundred times."""
        self.before = self.table.checkpoint("before")
        self.bare = self._bare()

        def work() -> None:
            for turn in range(100):
                changed = self.table.n.between(turn * 10, turn * 10 + 9)
                self.table.update({"v": [float(turn + 1)] * DIMENSION}, where=changed)

        # What follows is not to run beside the thread that brings Chroma up.
        return work, lambda _: self.session._engine.indexing.wait()

    def _bare(self) -> Any:
        import duckdb

        bare = duckdb.connect(str(self.home / "bare.duckdb"))
        rows = self.vectors.arrow  # noqa: F841 - read by name
        bare.execute("CREATE TABLE t AS SELECT * FROM rows")
        return bare

    def old(self) -> Work:
        """Search the version before all changes."""
        query = self._next()
        table = self.table.at(self.before)
        best = table.order_by(table.v.similarity(self.vectors.queries[query]), asc=False)
        rows = best.limit(K).select("n")
        return rows.to_pyarrow, lambda found: self._answer(query, found)

    def scan(self) -> Work:
        """Have bare DuckDB compare the same query with the same rows."""
        query = self._next()
        sql = (
            f"SELECT n FROM t ORDER BY array_cosine_similarity(v, $1::FLOAT[{DIMENSION}]) DESC "
            f"LIMIT {K}"
        )
        asked = [self.vectors.queries[query].tolist()]
        work = lambda: self.bare.execute(sql, asked).to_arrow_table()  # noqa: E731 - as its like
        return work, lambda found: self._answer(query, found)

    def _next(self) -> int:
        self.asked += 1
        return self.asked % len(self.vectors.queries)

    @staticmethod
    def _answer(query: int, found: Any) -> dict[str, Any]:
        return {"query": query, "found": found["n"].to_pylist()}

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
