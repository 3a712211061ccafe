"""Readers and writers at once on one table with an indexed text, and what a side of them has to do.

Each reader goes round a filter, a search by a text that nobody has searched for, an aggregate, and
the opening of the table; each writer inserts a row and updates another one, in turn.
"""

from __future__ import annotations

import statistics
import threading
import time
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from serve import Work

__all__ = ["DIMENSION", "KINDS", "LoadSide", "embedded", "text_of"]

DIMENSION = 384
KINDS = 50
_WORDS = [f"{first}{second}" for first in "bdfgklmnprst" for second in ("ar", "el", "in", "os")]
_SEED = 11


def text_of(number: int) -> str:
    """Return a text of eight words, another one for each number."""
    chance = np.random.default_rng([_SEED, number])
    return f"{' '.join(_WORDS[place] for place in chance.integers(0, len(_WORDS), 8))} {number}"


_VECTORS = {
    word: np.random.default_rng(zlib.crc32(word.encode())).normal(size=DIMENSION).astype("f4")
    for word in _WORDS
}


def embedded(text: str) -> Any:
    """Return the sum of the vectors of a text's words: what is alike has words in common."""
    words = text.split()
    return sum(
        (_VECTORS[word] for word in words if word in _VECTORS), np.full(DIMENSION, 1e-3, "f4")
    )


class LoadSide:
    """A side that readers and writers use at once."""

    def __init__(self, home: Path, films: Any) -> None:
        self.home, self.count = home, films.count
        self._number = self.count
        self._guard = threading.Lock()

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows that the table has at first."""
        return [self.row(number) for number in range(self.count)]

    @staticmethod
    def row(number: int) -> dict[str, Any]:
        """Return one row."""
        return {"n": number, "kind": number % KINDS, "score": number / 7, "text": text_of(number)}

    def new(self) -> int:
        """Return a number that nobody has had."""
        with self._guard:
            self._number += 1
            return self._number

    def load(self, readers: int, writers: int, seconds: int) -> Work:
        """Let so many read and write at once; count what they do, and how long each takes."""
        return lambda: self._load(readers, writers, seconds), lambda counted: counted

    def _load(self, readers: int, writers: int, seconds: int) -> dict[str, Any]:
        times: dict[str, list[float]] = {}
        failures: list[str] = []
        start = threading.Barrier(readers + writers + 1)
        end = [0.0]

        def go_round(steps: dict[str, Callable[[int], Any]]) -> None:
            mine: dict[str, list[float]] = {name: [] for name in steps}
            start.wait()
            try:
                while True:
                    for name, step in steps.items():
                        number, began = self.new(), time.perf_counter()
                        if began > end[0]:
                            return
                        step(number)
                        mine[name].append((time.perf_counter() - began) * 1000)
            except Exception as error:  # noqa: BLE001 - it is what is counted
                failures.append(f"{type(error).__name__}: {error}")
            finally:
                with self._guard:
                    for name, took in mine.items():
                        times.setdefault(name, []).extend(took)

        reading = {
            "filter": self.filter,
            "search": self.search,
            "aggregate": self.aggregate,
            "open": self.open,
        }
        writing = {"insert": self.insert, "update": self.update}
        threads = [
            threading.Thread(target=go_round, args=(steps,))
            for steps in (*[reading] * readers, *[writing] * writers)
        ]
        for thread in threads:
            thread.start()
        end[0] = time.perf_counter() + seconds
        start.wait()
        for thread in threads:
            thread.join()
        read = sum(len(times.get(name, ())) for name in reading)
        written = sum(len(times.get(name, ())) for name in writing)
        return {
            "reads_per_s": read / seconds,
            "writes_per_s": written / seconds,
            "p50_ms": {name: statistics.median(each) for name, each in times.items() if each},
            "failures": failures,
        }

    # What a side has

    def fill(self) -> Work:
        """Make the table and its index."""
        raise NotImplementedError

    def filter(self, number: int) -> Any:
        """Read the rows of a kind."""
        raise NotImplementedError

    def search(self, number: int) -> Any:
        """Find the five texts nearest to a new one."""
        raise NotImplementedError

    def aggregate(self, number: int) -> Any:
        """Average the scores of each kind."""
        raise NotImplementedError

    def open(self, number: int) -> Any:
        """Get the table by its name."""
        raise NotImplementedError

    def insert(self, number: int) -> Any:
        """Insert a row."""
        raise NotImplementedError

    def update(self, number: int) -> Any:
        """Update the score of a row."""
        raise NotImplementedError
