"""barbule under load: threads of one process on one session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from load import DIMENSION, KINDS, LoadSide, embedded, text_of
from serve import Work, serve

import barbule as bb

if TYPE_CHECKING:
    from pathlib import Path


@bb.udf(cache=True, version="1")
def embed(text: str) -> bb.Vector(DIMENSION):  # type: ignore[valid-type]
    """Return the vector of a text."""
    return embedded(text)


class Barbule(LoadSide):
    """One session on one home."""

    library = "barbule"

    def __init__(self, home: Path, films: Any) -> None:
        super().__init__(home, films)
        self.session = bb.connect(home=str(home))

    def fill(self) -> Work:
        schema = {"n": bb.Int, "kind": bb.Int, "score": bb.Float, "text": bb.String}

        def work() -> None:
            bb.create_table("plain", schema).insert(self.rows())
            self.table = bb.create_table("t", schema)
            self.table.insert(self.rows())
            self.table.add_embedding_index("text", embedding=embed)
            self.session._engine.indexing.wait()

        return work, lambda _: None

    def filter(self, number: int) -> Any:
        return self.table.where(self.table.kind == number % KINDS).collect()

    def search(self, number: int) -> Any:
        alike = self.table.text.similarity(text_of(number))
        return self.table.order_by(alike, asc=False).limit(5).select("n", "text").collect()

    def aggregate(self, number: int) -> Any:
        return self.table.group_by("kind").agg(score=self.table.score.mean()).collect()

    def open(self, number: int) -> Any:
        return self.session.get_table("t")

    def insert(self, number: int) -> Any:
        return self.table.insert([self.row(number)])

    def update(self, number: int) -> Any:
        chosen = self.table.n == number % self.count
        return self.table.update({"score": float(number)}, where=chosen)

    def insert_alone(self, indexed: int) -> Work:
        """Insert a hundred rows, one by one, into the table with the index or the one without."""
        table = self.table if indexed else self.session.get_table("plain")
        numbers = [self.new() for _ in range(100)]
        return lambda: [table.insert([self.row(each)]) for each in numbers], len

    def close(self) -> None:
        self.session.close()


if __name__ == "__main__":
    serve(Barbule)
