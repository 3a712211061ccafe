"""The functions by which the databases of version 0.1.0 in this folder were computed.

Whoever changes a body here makes their stored columns stale: add functions, leave these alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import barbule as bb

CALLED: list[tuple[str, object]] = []
END = "!"


@dataclass
class Settings:
    """What no digest of version 0.1.0 saw."""

    unit: str = "m"


SETTINGS = Settings()


class Marker:
    """An object that a function closes over."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def put(self, text: str) -> str:
        """Mark a text."""
        return f"{self.mark}{text}"


def _clean(text: str) -> str:
    return text.strip()


@bb.udf(cache=True)
def shout(text: str) -> str:
    """Answer from the call ledger, where the text has been seen."""
    CALLED.append(("shout", text))
    return _clean(text).upper() + END


@bb.udf(cache=True)
def measured(year: int, step: int = 2) -> str:
    """Read an object of the module."""
    CALLED.append(("measured", year))
    return f"{year * step} {SETTINGS.unit}"


@bb.udf(version="7")
def reversed_text(text: str) -> str:
    """Say a version."""
    return text[::-1]


def adding(k: int):
    """Make a function that closes over a number."""

    @bb.udf(cache=True)
    def add(n: int) -> int:
        CALLED.append(("add", n))
        return n + k

    return add


def marking(marker: Marker):
    """Make a function that closes over an object."""

    @bb.udf
    def mark(text: str) -> str:
        return marker.put(text)

    return mark


def since(films):
    """Make a query that closes over a table."""

    @bb.query
    def newer(year: int):
        return films.where(films.year > year).order_by("year").select("name")

    return newer


@bb.iterator(return_type={"letter": str})
def letters(text: str):
    """Give the first two letters."""
    for letter in text[:2]:
        yield {"letter": letter}


@bb.udf(batch_size=8)
def embed(texts: list[str]) -> list[bb.Vector(2)]:
    """Count two letters."""
    return [[text.count("a") + 0.5, text.count("e") + 0.5] for text in texts]


@bb.udf
class Repeat:
    """A function with state."""

    def __init__(self, times: int) -> None:
        self.times = times

    def __call__(self, text: str) -> str:
        """Repeat a text."""
        return text * self.times
