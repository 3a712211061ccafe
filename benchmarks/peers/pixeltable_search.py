"""Pixeltable searches vectors: a column of arrays with an embedding index, as its guide has it."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pixeltable as pxt
from serve import Work, serve
from vectors import DIMENSION, K, VectorSide

if TYPE_CHECKING:
    from pathlib import Path


class Pixeltable(VectorSide):
    """One home with its server."""

    library = "pixeltable"

    def __init__(self, home: Path, films: Any) -> None:
        super().__init__(home, films)
        os.environ["PIXELTABLE_HOME"] = str(home)

    def insert(self) -> Work:
        schema = {
            "n": pxt.Int | None,
            "share": pxt.Float | None,
            "v": pxt.Array[(DIMENSION,), np.float32] | None,
        }
        self.table = pxt.create_table("t", schema)
        rows, share = self.vectors.rows, self.vectors.share
        records = [{"n": n, "share": float(share[n]), "v": row} for n, row in enumerate(rows)]
        return lambda: self.table.insert(records), lambda _: None

    def build(self) -> Work:
        return lambda: self.table.add_embedding_index("v", metric="cosine"), lambda _: None

    def search(self, query: Any, share: float) -> list[int]:
        alike = self.table.v.similarity(vector=query)
        rows = self.table if share == 1.0 else self.table.where(self.table.share < share)
        return rows.order_by(alike, asc=False).limit(K).select(self.table.n).collect()["n"]

    def close(self) -> None:
        """End the server, which outlives the process otherwise."""
        note = self.home / "pgdata" / "postmaster.pid"
        if note.exists():
            os.kill(int(note.read_text().split()[0]), signal.SIGINT)
            while note.exists():
                time.sleep(0.05)


if __name__ == "__main__":
    serve(Pixeltable)
