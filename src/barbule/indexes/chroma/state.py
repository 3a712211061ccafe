"""What is remembered of a directory of indexes from one process to the next.

Owns the state file: generations, watermarks, and whether the last process ended cleanly.
It is written whole and atomically. Knows files, not Chroma; decides nothing.
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
    """One index: which generation is current and how far it can be relied on."""

    dimension: int
    metric: str
    generation: int
    watermark: int = -1
    count: int = 0
    dirty: bool = False
    """Set before the first write after a watermark; while set, `count` says nothing."""


@dataclass(frozen=True)
class StoreState:
    """All indexes of a directory.

    `files` is the fingerprint of the Chroma directory when it was last known to be whole.
    """

    directory: int = 1
    indexes: dict[str, IndexState] = field(default_factory=dict)
    files: dict[str, list[int]] = field(default_factory=dict)

    def having(self, name: str, index: IndexState) -> StoreState:
        """Return this state with one index changed."""
        return replace(self, indexes={**self.indexes, name: index})

    def without(self, name: str) -> StoreState:
        """Return this state with one index forgotten."""
        return replace(self, indexes={k: v for k, v in self.indexes.items() if k != name})


def load(root: Path) -> StoreState | None:
    """Read the state of a directory; None when there is none, or none that can be read."""
    try:
        found = json.loads((root / _FILE).read_text(encoding="utf-8"))
        return _decode(found)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # A cache without its state is an empty cache: whoever opens it starts anew.
        return None


def _decode(found: dict[str, Any]) -> StoreState | None:
    if found["format"] != _FORMAT:
        return None
    return StoreState(
        directory=int(found["directory"]),
        indexes={
            str(name): IndexState(
                dimension=int(one["dimension"]),
                metric=str(one["metric"]),
                generation=int(one["generation"]),
                watermark=int(one["watermark"]),
                count=int(one["count"]),
                dirty=one["dirty"] is not False,
            )
            for name, one in found["indexes"].items()
        },
        files={str(name): [int(part) for part in seen] for name, seen in found["files"].items()},
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
    """Return what tells cheaply whether the files of a Chroma directory were changed.

    The graph files by size and time. SQLite's own files change whenever Chroma opens them
    and check themselves, so of the database only the header is looked at.
    """
    seen: dict[str, list[int]] = {}
    for file in sorted(directory.rglob("*")):
        if file.name.startswith("chroma.sqlite3"):
            continue
        if file.is_file():
            found = file.stat()
            seen[file.relative_to(directory).as_posix()] = [found.st_size, found.st_mtime_ns]
    try:
        with (directory / "chroma.sqlite3").open("rb") as database:
            seen["chroma.sqlite3"] = [int(database.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC)]
    except OSError:
        seen["chroma.sqlite3"] = [0]
    return seen
