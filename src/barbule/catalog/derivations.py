"""A cache of values that are derived from the structure of tables.

Owns the invalidation: a derived value is valid until a record is replaced of a table that it
depends on, or of a base of such a table. A pending change of structure is visible only to the
thread that prepares it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from barbule.catalog.pending import DerivedValue

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from barbule.catalog.store import Catalog

__all__ = ["Derivations"]

Value = TypeVar("Value")


class Derivations:
    """Values by key, each derived once for the structure that it depends on."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._committed: dict[Hashable, DerivedValue] = {}

    def get(
        self,
        key: Hashable,
        derive: Callable[[], Value],
        tables: Callable[[Value], Iterable[int]],
    ) -> Value:
        """Return a value; recompute it if the cached one is not valid.

        Parameters
        ----------
        key
            Identifies the value, and always the same kind of value.
        derive
            Derives the value from the records that the calling thread sees.
        tables
            Returns the tables that a value depends on; their bases are added.
        """
        value: Value = self._lookup(key, derive, tables).value
        return value

    def _lookup(
        self,
        key: Hashable,
        derive: Callable[[], Value],
        tables: Callable[[Value], Iterable[int]],
    ) -> DerivedValue:
        pending = self._catalog.pending
        if pending is None or not pending.records:
            derived = self._valid(self._committed, key)
            if derived is None:
                derived = self._committed[key] = self._derive(derive, tables)
            if pending is not None:
                pending.structures_read |= derived.tables
            return derived
        derived = self._valid(pending.derived, key)
        if derived is None:
            derived = self._valid(self._committed, key)
            if derived is None or derived.tables & pending.records.keys():
                derived = self._derive(derive, tables)
            pending.derived[key] = derived
            if not derived.tables & pending.records.keys():
                self._committed[key] = derived
        pending.structures_read |= derived.tables
        return derived

    def forget(self, key: Hashable) -> None:
        """Drop a cached value that depends on more than structure."""
        self._committed.pop(key, None)
        if (pending := self._catalog.pending) is not None:
            pending.derived.pop(key, None)

    def _valid(self, cache: dict[Hashable, DerivedValue], key: Hashable) -> DerivedValue | None:
        """Return a cached value, unless a commit has replaced a record that it depends on."""
        derived, structure = cache.get(key), self._catalog.structure
        if derived is None or derived.structure == structure:
            return derived
        database, commit = derived.structure
        if database != structure[0] or self._catalog.structure_changed_since(
            commit, derived.tables
        ):
            return None
        derived = cache[key] = replace(derived, structure=structure)
        return derived

    def _derive(
        self, derive: Callable[[], Value], tables: Callable[[Value], Iterable[int]]
    ) -> DerivedValue:
        structure = self._catalog.structure  # before: a commit meanwhile makes it out of date
        value = derive()
        return DerivedValue(value, self._catalog.with_bases(tables(value)), structure)
