"""The state file of a directory of indexes, which outlives its process.

Owns generations, watermarks, and whether the last process ended cleanly. The file is written
atomically. Knows files, not Chroma.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["IndexState", "StoreState", "fingerprint", "load", "save"]

_FILE = "state.json"
_FORMAT = 1
_SQLITE_MAGIC = b"SQLite format 3\0"


@dataclass(frozen=True)
class IndexState:
    """One index: its current generation, and up to which commit it is complete."""

    dimension: int
    metric: str
    generation: int
    watermark: int = -1
    count: int = 0
    dirty: bool = False
    """Set before the first write after a watermark; while set, `count` is unknown."""


@dataclass(frozen=True)
class StoreState:
    """All indexes of a directory.

    `files` is the fingerprint of the Chroma directory when it was last intact.
    """

    directory: int = 1
    indexes: dict[str, IndexState] = field(default_factory=dict)
    files: dict[str, list[int]] = field(default_factory=dict)

    def with_index(self, name: str, index: IndexState) -> StoreState:
        """Return this state with one index changed."""
        return replace(self, indexes={**self.indexes, name: index})

    def without_index(self, name: str) -> StoreState:
        """Return this state without one index."""
        remaining = {key: index for key, index in self.indexes.items() if key != name}
        return replace(self, indexes=remaining)


def load(root: Path) -> StoreState | None:
    """Read the state of a directory; None when there is none, or none that can be read."""
    try:
        return _decode(json.loads((root / _FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # A cache without its state counts as empty.
        return None


def _decode(plain: dict[str, Any]) -> StoreState | None:
    if plain["format"] != _FORMAT:
        return None
    return StoreState(
        directory=int(plain["directory"]),
        indexes={
            str(name): IndexState(
                dimension=int(index["dimension"]),
                metric=str(index["metric"]),
                generation=int(index["generation"]),
                watermark=int(index["watermark"]),
                count=int(index["count"]),
                dirty=index["dirty"] is not False,
            )
            for name, index in plain["indexes"].items()
        },
        files={
            str(name): [int(number) for number in fingerprint]
            for name, fingerprint in plain["files"].items()
        },
    )


def save(root: Path, state: StoreState) -> None:
    """Write the state so that a crash leaves the old one or the new one.

    Raises
    ------
    OSError
        If the directory cannot be written.
    """
    text = json.dumps({"format": _FORMAT, **asdict(state)}, indent=1)
    temporary = root / f"{_FILE}.{os.getpid()}.tmp"
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(root / _FILE)
    folder = os.open(root, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def fingerprint(directory: Path) -> dict[str, list[int]]:
    """Return numbers for each file of a Chroma directory that change when the file is changed.

    For graph files these are size and time. SQLite's files change whenever Chroma opens them, and
    SQLite checks them, so of the database only the header counts.
    """
    fingerprints: dict[str, list[int]] = {}
    for file in sorted(directory.rglob("*")):
        if file.name.startswith("chroma.sqlite3"):
            continue
        if file.is_file():
            status = file.stat()
            name = file.relative_to(directory).as_posix()
            fingerprints[name] = [status.st_size, status.st_mtime_ns]
    try:
        with (directory / "chroma.sqlite3").open("rb") as database:
            is_database = database.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC
    except OSError:
        is_database = False
    fingerprints["chroma.sqlite3"] = [int(is_database)]
    return fingerprints
