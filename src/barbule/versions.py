"""Checkpoints, and the differences between two versions of a table.

Owns `Diff` and `Checkpoint`. Both are Ibis expressions over the rows that were live at two commits;
nothing is copied.
"""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

import ibis.expr.datatypes as dt

from barbule.backends.base import RID
from barbule.relations.exports import engine_of
from barbule.suggestions import VerbResult
from barbule.types import declaration, storage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import ibis.expr.operations as ops
    import ibis.expr.types as ir

__all__ = ["DIFFERS", "Checkpoint", "Diff", "diff", "vector_drift"]

DIFFERS = "bb_differs_"


class Checkpoint(VerbResult, int):
    """The number of a version, with its label; accepted wherever a version is.

    Examples
    --------
    >>> Checkpoint(3, "baseline") == 3
    True
    """

    label: str

    def __new__(cls, version: int, label: str) -> Self:
        """Create the number of a version that carries its label."""
        checkpoint = super().__new__(cls, version)
        checkpoint.label = label
        return checkpoint

    def __repr__(self) -> str:
        return f"Checkpoint({int(self)}, {self.label!r})"

    def __str__(self) -> str:
        return f"{int(self)} ({self.label})"


@dataclass(frozen=True)
class SchemaChange:
    """Which columns differ between two versions.

    Attributes
    ----------
    added, removed
        The names of the columns that only the later, or only the earlier, version has.
    renamed
        The old and the new name of renamed columns.
    retyped
        The old and the new type of changed columns, by their new name.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    renamed: Mapping[str, str] = field(default_factory=dict)
    retyped: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.renamed or self.retyped)

    def lines(self) -> list[str]:
        """Describe each kind of difference on one line."""
        renamed = (f"{old} → {new}" for old, new in self.renamed.items())
        retyped = (f"{name}: {old} → {new}" for name, (old, new) in self.retyped.items())
        parts = {
            "added columns": self.added,
            "removed columns": self.removed,
            "renamed columns": tuple(renamed),
            "other types": tuple(retyped),
        }
        return [f"{title}: {', '.join(names)}" for title, names in parts.items() if names]


@dataclass(frozen=True)
class Diff(VerbResult):
    """The differences between two versions of a table.

    Attributes
    ----------
    added, removed
        The rows that only the later, or only the earlier, version has: Ibis tables.
    changed
        The rows that both have with different values: an Ibis table that holds, for each column of
        both, `<column>_old` and `<column>_new` (for a renamed column, with its new name).
    schema
        The columns that differ.
    drift
        For each embedding index that both have, the rows whose vector differs: an Ibis table of the
        column's value before and after, and the `cosine` of the two vectors.
    marked
        `changed` with a column `bb_differs_<column>` for each column, which is true if its values
        differ; used for printing.

    If you print it, it shows the first rows of each kind; for changed rows, the differences as old
    → new.
    """

    _reading: ClassVar[str] = "Its tables are queries: diff.added.collect()."

    table: str
    old: int
    new: int
    added: ir.Table
    removed: ir.Table
    changed: ir.Table
    schema: SchemaChange
    drift: Mapping[str, ir.Table] = field(default_factory=dict)
    marked: ir.Table | None = None

    def counts(self) -> dict[str, int]:
        """Count the rows that were added, removed and changed."""
        parts = {"added": self.added, "removed": self.removed, "changed": self.changed}
        return {name: part.count().to_pyarrow().as_py() for name, part in parts.items()}

    def heading(self, counts: Mapping[str, int]) -> str:
        """Return a short description of the differences."""
        rows = ", ".join(f"{count} {name}" for name, count in counts.items())
        columns = "".join(f"\n  {line}" for line in self.schema.lines())
        return f"Diff of {self.table!r}, version {self.old} to {self.new}: {rows}{columns}"

    def __repr__(self) -> str:
        text: str = engine_of(self.added).display.diff_text(self)
        return text

    def _repr_html_(self) -> str:
        page: str = engine_of(self.added).display.diff_html(self)
        return page


def diff(
    table: str,
    old: tuple[int, ir.Table, ir.Table],
    new: tuple[int, ir.Table, ir.Table],
    renamed: Mapping[str, str],
    drift: Mapping[str, ir.Table],
) -> Diff:
    """Compare two versions of a table.

    Parameters
    ----------
    old, new
        The number of the version, the table at that version, and the same with row ids.
    renamed
        The new names of columns by their old ones.
    drift
        The result of `vector_drift` for each embedding index of both versions.
    """
    before, after = old[2], new[2]
    schemas = old[1].schema(), new[1].schema()
    common = {name: renamed.get(name, name) for name in schemas[0] if name in schemas[0]}
    common = {old_name: new_name for old_name, new_name in common.items() if new_name in schemas[1]}
    retyped = {
        new_name: (str(schemas[0][old_name]), str(schemas[1][new_name]))
        for old_name, new_name in common.items()
        if schemas[0][old_name] != schemas[1][new_name]
    }
    marked = _changed_states(before, after, common)
    pairs = [f"{new_name}_{state}" for new_name in common.values() for state in ("old", "new")]
    return Diff(
        table=table,
        old=old[0],
        new=new[0],
        added=after.anti_join(before, RID).order_by(RID).select(*schemas[1]),
        removed=before.anti_join(after, RID).order_by(RID).select(*schemas[0]),
        changed=marked.select(*pairs),
        marked=marked,
        schema=SchemaChange(
            added=tuple(name for name in schemas[1] if name not in common.values()),
            removed=tuple(name for name in schemas[0] if name not in common),
            renamed={
                old_name: new_name for old_name, new_name in common.items() if old_name != new_name
            },
            retyped=retyped,
        ),
        drift=drift,
    )


def vector_drift(
    before: ir.Table,
    after: ir.Table,
    columns: tuple[str, str],
    vectors: tuple[str, str],
    similarity: Callable[[ops.Value, ops.Value, str], ops.Value],
) -> ir.Table:
    """Pair the rows whose vector differs, with the cosine of the two vectors.

    Parameters
    ----------
    columns, vectors
        The names, before and after, of the embedded column and of its vectors.
    similarity
        Returns the similarity of two vectors by a metric.
    """
    was, now = columns[0], columns[1]
    old = before.select(RID, bb_was=before[vectors[0]], **{f"{now}_old": before[was]})
    new = after.select(bb_rid=after[RID], bb_now=after[vectors[1]], **{f"{now}_new": after[now]})
    pairs: Any = old.join(new, old[RID] == new["bb_rid"])
    pairs = pairs.select("bb_was", "bb_now", f"{now}_old", f"{now}_new")
    pairs = pairs.filter(~pairs.bb_was.identical_to(pairs.bb_now))
    cosine = similarity(pairs.bb_was.op(), pairs.bb_now.op(), "cosine").to_expr()
    return pairs.select(f"{now}_old", f"{now}_new", cosine=cosine.cast("float64"))


def _changed_states(before: ir.Table, after: ir.Table, common: Mapping[str, str]) -> ir.Table:
    """Pair the differing states of rows that both versions have; mark the differing columns."""
    old = before.select(RID, **{f"{now}_old": before[was] for was, now in common.items()})
    new = after.select(bb_rid=after[RID], **{f"{now}_new": after[now] for now in common.values()})
    pairs: Any = old.join(new, old[RID] == new["bb_rid"])
    differs = {
        f"{DIFFERS}{now}": _values_differ(pairs[f"{now}_old"], pairs[f"{now}_new"])
        for now in common.values()
    }
    names = [f"{now}_{state}" for now in common.values() for state in ("old", "new")]
    marked = pairs.order_by(RID).select(*names, **differs)
    if not differs:
        return marked.limit(0)
    return marked.filter(functools.reduce(operator.or_, [marked[name] for name in differs]))


def _values_differ(old: ir.Value, new: ir.Value) -> ir.Value:
    """Whether two values differ; values of different types are cast to a common type first."""
    if old.type().copy(nullable=True) == new.type().copy(nullable=True):
        return ~old.identical_to(new)
    both = _common_dtype(storage(old.type()), storage(new.type()))
    if both is None:
        return old.notnull() | new.notnull()
    return ~old.cast(both).identical_to(new.cast(both))


def _common_dtype(old: dt.DataType, new: dt.DataType) -> dt.DataType | None:
    """Return a type in which values of two types can be compared, if there is one."""
    old, new = old.copy(nullable=True), new.copy(nullable=True)
    if old == new:
        return new
    families = [declaration(dtype).family for dtype in (old, new)]
    if families == ["number", "number"]:
        return _common_number_dtype(old, new)
    if "text" in families:
        other = new if families[0] == "text" else old
        plain = other.is_primitive() or other.is_temporal() or other.is_uuid()
        return dt.string if plain else None
    if families == ["day", "day"]:
        return new if new.is_timestamp() else old
    if isinstance(old, dt.Array) and isinstance(new, dt.Array):
        inner = _common_dtype(old.value_type, new.value_type)
        return None if inner is None else dt.Array(inner)
    return None


def _common_number_dtype(old: dt.DataType, new: dt.DataType) -> dt.DataType:
    if old.is_integer() and new.is_integer():
        wide = max(old, new, key=lambda kind: kind.nbytes)
        return wide if type(old).__name__[0] == type(new).__name__[0] else dt.Decimal(38, 0)
    decimals = [kind for kind in (old, new) if kind.is_decimal()]
    return decimals[-1] if decimals and not {old, new} & {dt.float32, dt.float64} else dt.float64
