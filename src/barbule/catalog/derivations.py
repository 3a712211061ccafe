"""A cache of values that are derived from the structure of tables.

Owns the invalidation: a derived value is valid until a record is replaced of a table that it
depends on, or of a base of such a table. What a transaction derives from the structures that it
changes itself is kept in its pending catalog, and never seen by others.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from barbule.catalog.pending import DerivedValue

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from barbule.catalog.catalog_reader import CatalogReader
    from barbule.catalog.pending import PendingCatalog

    Derive = Callable[[], tuple[Any, Iterable[int]]]
    """Derives a value, and returns the tables that it depends on."""

__all__ = ["Derivations"]


class Derivations:
    """Values by key, each derived once for the committed structure that it depends on."""

    def __init__(self, catalog: CatalogReader) -> None:
        self._catalog = catalog
        self._metadata = catalog.metadata
        self._committed: dict[Hashable, DerivedValue] = {}

    def get(self, key: Hashable, derive: Derive) -> DerivedValue:
        """Return a value of the committed structure; derive it if there is no valid one.

        Parameters
        ----------
        key
            Identifies the value, and always the same kind of value.
        derive
            Derives the value, and returns the tables that it depends on; their bases are added.
        """
        derived = self._committed.get(key)
        if derived is not None and derived.structure == self._metadata.structure:
            return derived
        derived = self._valid(self._committed, key)
        if derived is None:
            derived = self._committed[key] = self._derive(self._catalog, derive)
        return derived

    def get_pending(
        self, pending: PendingCatalog, key: Hashable, derive: Derive, derive_committed: Derive
    ) -> DerivedValue:
        """Return a value of the structure as a transaction sees it.

        Parameters
        ----------
        derive
            Derives the value from the structure that the transaction sees.
        derive_committed
            Derives it from the committed structure; used if the transaction has changed nothing
            that it depends on.
        """
        if not pending.records:
            derived = self.get(key, derive_committed)
        else:
            derived = self._valid(pending.derived, key) or self._derive_pending(
                pending, key, derive, derive_committed
            )
        pending.structures_read |= derived.tables
        return derived

    def _derive_pending(
        self, pending: PendingCatalog, key: Hashable, derive: Derive, derive_committed: Derive
    ) -> DerivedValue:
        committed = self._valid(self._committed, key)
        if committed is not None and not committed.tables & pending.records.keys():
            return committed
        derived = self._derive(pending, derive)
        if derived.tables & pending.records.keys():
            pending.derived[key] = derived
            return derived
        return self.get(key, derive_committed)

    def forget(self, key: Hashable, pending: PendingCatalog | None = None) -> None:
        """Drop a cached value that depends on more than structure."""
        self._committed.pop(key, None)
        if pending is not None:
            pending.derived.pop(key, None)

    def _valid(self, cache: dict[Hashable, DerivedValue], key: Hashable) -> DerivedValue | None:
        """Return a cached value, unless a commit has replaced a record that it depends on."""
        derived, structure = cache.get(key), self._metadata.structure
        if derived is None or derived.structure == structure:
            return derived
        database, commit = derived.structure
        if database != structure[0] or self._catalog.structure_changed_since(
            commit, derived.tables
        ):
            return None
        derived = cache[key] = replace(derived, structure=structure)
        return derived

    def _derive(self, catalog: CatalogReader, derive: Derive) -> DerivedValue:
        structure = self._metadata.structure  # before: a commit meanwhile makes it out of date
        value, tables = derive()
        return DerivedValue(value, catalog.with_bases(tables), structure)
