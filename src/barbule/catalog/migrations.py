"""The format of a database: its number, and the steps from older ones to this one.

Owns the rows of `bb_meta`. A step changes the stored form in place, within the transaction that
writes the new number, so that a crash leaves the older format intact.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from barbule.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from barbule.backends.base import RowStore

__all__ = ["FORMAT", "READER_PREFIX", "Identity", "check", "initial", "migrate"]

FORMAT = 4
"""The format that this version writes. Version 0.1.0 wrote 3."""

READER_PREFIX = "reader."
"""The prefix of keys that name the package which reads files with an extension."""

_META = "bb_meta"


@dataclass(frozen=True)
class Identity:
    """The identity of a database.

    Attributes
    ----------
    database
        A unique id; a copy of the database's file has the same.
    former_keys
        Whether its call ledger has entries with the call keys of version 0.1.0.
    readers
        The installed packages whose readers have read documents, by file extension.
    """

    database: str
    former_keys: bool = False
    readers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, meta: Mapping[str, str]) -> Identity:
        """Read the identity from the rows of `bb_meta`."""
        readers = {
            key.removeprefix(READER_PREFIX): package
            for key, package in meta.items()
            if key.startswith(READER_PREFIX)
        }
        return cls(meta["database"], "former_keys" in meta, readers)


def initial() -> dict[str, str]:
    """Return the rows of `bb_meta` of a new database."""
    return {"format": str(FORMAT), "database": uuid.uuid4().hex}


def check(meta: Mapping[str, str]) -> int:
    """Return the format of a database, which is the current one or one that can be migrated.

    Raises
    ------
    ConfigurationError
        When it is newer, or older than any that can be read.
    """
    stored = meta.get("format", "")
    number = int(stored) if stored.isdecimal() else 0
    if number > FORMAT:
        raise ConfigurationError(
            f"the database has the format {number}, and this version of barbule supports formats "
            f"up to {FORMAT}.",
            hint="A newer version of barbule wrote it: upgrade this installation.",
        )
    if number != FORMAT and number not in _STEPS:
        raise ConfigurationError(
            f"the database has the format {stored!r}, which this version of barbule cannot read.",
            hint="It was written before version 0.1.0: export its tables with the version that "
            "wrote it, and create a new database.",
        )
    return number


def migrate(store: RowStore, meta: Mapping[str, str]) -> dict[str, str]:
    """Migrate a database to the current format, within a transaction; return its `bb_meta`."""
    changed = dict(meta)
    for number in range(check(meta), FORMAT):
        changed |= _STEPS[number](store)
        changed["format"] = str(number + 1)
    for key, value in changed.items():
        if meta.get(key) != value:
            store.delete_rows(_META, {"key": key})
            store.insert(_META, [{"key": key, "value": value}])
    return changed


def _from_3(_store: RowStore) -> dict[str, str]:
    """Give the database an id, and record that its call keys were made by version 0.1.0."""
    return {"database": uuid.uuid4().hex, "former_keys": "3"}


_STEPS: dict[int, Callable[[RowStore], dict[str, str]]] = {3: _from_3}
