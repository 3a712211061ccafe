"""Changes an indexed table at random and logs each change.

Several of these may share one home: each changes its own rows.
"""

from __future__ import annotations

import os
import random
import sys

import numpy as np

import barbule as bb

LENGTH = 64


def drawn(numbers: np.random.Generator, count: int) -> np.ndarray:
    """Draw clustered vectors, like those of embeddings."""
    centres = np.random.default_rng(0).normal(size=(100, LENGTH))
    near = centres[numbers.integers(len(centres), size=count)]
    return (near + 0.5 * numbers.normal(size=near.shape)).astype("float32")


def main(url: str, vectors: str, path: str, seed: int, turns: int) -> None:
    chance, numbers = random.Random(seed), np.random.default_rng(seed)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    session = bb.connect(url, vectors=vectors)
    table = session.get_table("t")
    turn = 0
    while turns == 0 or turn < turns:
        turn += 1
        kind = chance.choice(["insert", "insert", "insert", "update", "delete"])
        key = chance.randrange(200)
        if kind == "insert":
            rows = drawn(numbers, chance.choice([1, 5, 60]))
            table.insert([{"key": key, "by": seed, "v": row.tolist()} for row in rows])
        elif kind == "update":
            row = drawn(numbers, 1)[0].tolist()
            table.update({"v": row}, where=(table.key == key) & (table.by == seed))
        else:
            table.delete(where=(table.key == key) & (table.by == seed))
        os.write(log, b".")
    session.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
