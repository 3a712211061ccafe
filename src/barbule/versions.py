"""Versions of tables: looks at old ones, and what differs between two.

Owns `Diff` and `Checkpoint`. Everything is an Ibis expression over the rows as they lived at two
commits; nothing is copied.
"""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from barbule.backends.base import RID

if TYPE_CHECKING:
    import ibis.expr.schema as sch
    import ibis.expr.types as ir

__all__ = ["Checkpoint", "Diff", "diff"]


class Checkpoint(int):
    """The number of a version, with the label it was given; usable wherever a version is.

    Examples
    --------
    >>> Checkpoint(3, "baseline") == 3
    True
    """

    label: str

    def __new__(cls, version: int, label: str) -> Self:
        """Make the number of a version that carries its label."""
        made = super().__new__(cls, version)
        made.label = label
        return made

    def __repr__(self) -> str:
        return f"Checkpoint({int(self)}, {self.label!r})"

    def __str__(self) -> str:
        return f"{int(self)} ({self.label})"


@dataclass(frozen=True)
class SchemaChange:
    """Which columns differ between two versions."""

    added: tuple[str, ...]
    removed: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed)


@dataclass(frozen=True)
class Diff:
    """What differs between two versions of a table.

    Attributes
    ----------
    added, removed
        The rows that only the later, or only the earlier, version has: Ibis tables.
    changed
        The rows that both have with different values: an Ibis table that holds, for each
        column of both, `<column>_old` and `<column>_new`.
    schema
        The columns that only one of them has.
    """

    table: str
    old: int
    new: int
    added: ir.Table
    removed: ir.Table
    changed: ir.Table
    schema: SchemaChange

    def counts(self) -> dict[str, int]:
        """Count the rows that were added, removed and changed."""
        parts = {"added": self.added, "removed": self.removed, "changed": self.changed}
        return {name: part.count().to_pyarrow().as_py() for name, part in parts.items()}

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in self.counts().items())
        columns = "".join(
            f"\n  {label} columns: {', '.join(names)}"
            for label, names in (("added", self.schema.added), ("removed", self.schema.removed))
            if names
        )
        return f"Diff of {self.table!r}, version {self.old} to {self.new}: {counts}{columns}"


def diff(
    table: str, old: tuple[int, ir.Table, ir.Table], new: tuple[int, ir.Table, ir.Table]
) -> Diff:
    """Compare two versions of a table.

    Parameters
    ----------
    old, new
        The number of the version, the table as it was, and the same with row identities.
    """
    before, after = old[2], new[2]
    columns = _names(old[1].schema()), _names(new[1].schema())
    common = [name for name in columns[1] if name in columns[0]]
    return Diff(
        table=table,
        old=old[0],
        new=new[0],
        added=after.anti_join(before, RID).select(*columns[1]),
        removed=before.anti_join(after, RID).select(*columns[0]),
        changed=_changed(before, after, common),
        schema=SchemaChange(
            added=tuple(name for name in columns[1] if name not in columns[0]),
            removed=tuple(name for name in columns[0] if name not in columns[1]),
        ),
    )


def _names(schema: sch.Schema) -> list[str]:
    return list(schema.names)


def _changed(before: ir.Table, after: ir.Table, common: list[str]) -> ir.Table:
    """Pair the states of rows that both versions have, where a value differs."""
    old = before.select(RID, **{f"{name}_old": before[name] for name in common})
    new = after.select(bb_rid=after[RID], **{f"{name}_new": after[name] for name in common})
    pairs: Any = old.join(new, old[RID] == new["bb_rid"])
    shown = [f"{name}_{state}" for name in common for state in ("old", "new")]
    pairs = pairs.select(*shown)
    differs = [~pairs[f"{name}_old"].identical_to(pairs[f"{name}_new"]) for name in common]
    return pairs.filter(functools.reduce(operator.or_, differs)) if differs else pairs.limit(0)
