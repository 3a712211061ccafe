"""What is derived from the structure of tables, kept until that structure changes.

Owns when it has changed: a derived value holds as long as no record has been replaced of the
tables that it goes by, and of those that these are views of. What a change in the making
replaces is seen by that change alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from barbule.catalog.store import Catalog

__all__ = ["Derivations", "Derived"]


@dataclass(frozen=True)
class Derived:
    """A derived value.

    Attributes
    ----------
    tables
        The tables whose records it was derived from.
    structure
        The structure of the database when it was known to hold.
    """

    value: Any
    tables: frozenset[int]
    structure: tuple[int, int]


class Derivations:
    """Values by key, each derived once for the structure that it goes by."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._committed: dict[Hashable, Derived] = {}

    def get(
        self,
        key: Hashable,
        derive: Callable[[], Any],
        tables: Callable[[Any], Iterable[int]],
    ) -> Any:
        """Return a value; derive it where it is not known for the structure as it is.

        Parameters
        ----------
        derive
            Derives the value from the records that the calling thread sees.
        tables
            Names the tables that a value goes by; those that they are views of go without saying.
        """
        pending = self._catalog.pending
        if pending is None or not pending.records:
            known = self._known(self._committed, key)
            if known is None:
                known = self._committed[key] = self._derived(derive, tables)
            if pending is not None:
                pending.structures_read |= known.tables
            return known.value
        known = self._known(pending.derived, key)
        if known is None:
            known = self._known(self._committed, key)
            if known is None or known.tables & pending.records.keys():
                known = self._derived(derive, tables)
            pending.derived[key] = known
            if not known.tables & pending.records.keys():
                self._committed[key] = known
        pending.structures_read |= known.tables
        return known.value

    def forget(self, key: Hashable) -> None:
        """Have a value derived anew, as it goes by more than structure."""
        self._committed.pop(key, None)
        if (pending := self._catalog.pending) is not None:
            pending.derived.pop(key, None)

    def _known(self, derived: dict[Hashable, Derived], key: Hashable) -> Derived | None:
        """Return what was derived, unless a commit has replaced a record that it goes by."""
        known, structure = derived.get(key), self._catalog.structure
        if known is None or known.structure == structure:
            return known
        database, commit = known.structure
        if database != structure[0] or self._catalog.structure_changed_since(commit, known.tables):
            return None
        known = derived[key] = replace(known, structure=structure)
        return known

    def _derived(
        self, derive: Callable[[], Any], tables: Callable[[Any], Iterable[int]]
    ) -> Derived:
        structure = self._catalog.structure  # before: a commit meanwhile makes it out of date
        value = derive()
        return Derived(value, self._catalog.with_bases(tables(value)), structure)
