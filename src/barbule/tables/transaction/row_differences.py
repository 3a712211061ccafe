"""Where two states of rows differ, cell by cell.

Owns what counts as the same value: what SQL's IS NOT DISTINCT FROM does, NaN and NaN included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Cells: TypeAlias = pa.Array | pa.ChunkedArray

__all__ = ["differing", "rows_by_changes"]

_MAX_GROUPS = 16  # of rows that are written apart, as other columns of them changed


def differing(old: Cells, new: Cells) -> npt.NDArray[np.bool_]:
    """Tell of each cell of two columns whether they differ there, as a NumPy array.

    Examples
    --------
    >>> import pyarrow as pa
    >>> old, new = [[1.0, 2.0], None, []], [[1.0, 3.0], None, [1.0]]
    >>> differing(pa.array(old), pa.array(new)).tolist()
    [True, False, True]
    """
    import numpy as np
    import pyarrow.compute as pc

    old, new = _in_one(old), _in_one(new)
    if new.type != old.type:
        new = new.cast(old.type)
    there, come = (each.is_valid().to_numpy(zero_copy_only=False) for each in (old, new))
    found = there != come
    both = np.flatnonzero(there & come)
    if not len(both):
        return found
    if len(both) < len(found):
        old, new = pc.take(old, both), pc.take(new, both)
    found[both] = _values_differ(old, new)
    return found


def _in_one(column: Cells) -> pa.Array:
    import pyarrow as pa

    if not isinstance(column, pa.ChunkedArray):
        return column
    column = column.combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # of no rows
        return column.chunk(0) if column.num_chunks else pa.array([], column.type)
    return column


def _values_differ(old: pa.Array, new: pa.Array) -> npt.NDArray[np.bool_]:
    """Compare columns of values none of which is missing."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = old.type
    if pa.types.is_struct(kind):
        found = np.zeros(len(old), bool)
        for place in range(kind.num_fields):
            found |= differing(pc.struct_field(old, [place]), pc.struct_field(new, [place]))
        return found
    if pa.types.is_float16(kind):  # which Arrow does not compare
        old, new = old.cast(pa.float32()), new.cast(pa.float32())
    if pa.types.is_nested(kind):
        return _lists_differ(old, new)
    found = pc.not_equal(old, new).to_numpy(zero_copy_only=False)
    if pa.types.is_floating(kind):
        nan = pc.and_(pc.is_nan(old), pc.is_nan(new)).to_numpy(zero_copy_only=False)
        found = found & ~nan
    return found


def _lists_differ(old: pa.Array, new: pa.Array) -> npt.NDArray[np.bool_]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_map(old.type):
        pairs = pa.list_(pa.struct([("key", old.type.key_type), ("value", old.type.item_type)]))
        old, new = old.cast(pairs), new.cast(pairs)
    lengths, others = (pc.list_value_length(each).to_numpy() for each in (old, new))
    found = lengths != others
    same = np.flatnonzero(~found)
    old, new = pc.take(old, same), pc.take(new, same)
    inside = differing(pc.list_flatten(old), pc.list_flatten(new))
    counts = np.bincount(
        np.repeat(np.arange(len(same)), lengths[same])[inside], minlength=len(same)
    )
    found[same] = counts > 0
    return found


def rows_by_changes(
    changed: Mapping[str, npt.NDArray[np.bool_]],
) -> list[tuple[set[str], npt.NDArray[np.intp]]]:
    """Group rows by the columns that changed in them; those in which none did are left out.

    Parameters
    ----------
    changed
        By column, for each row whether it changed: NumPy arrays.

    Returns
    -------
    list
        The columns, and the places of the rows as a NumPy array.
    """
    import numpy as np

    names = list(changed)
    if not names:
        return []
    table = np.stack([changed[name] for name in names], axis=1)
    if len(names) == 1 or table.all():
        places = np.flatnonzero(table.any(axis=1))
        return [(set(names), places)] if len(places) else []
    kinds, kind_of = np.unique(table, axis=0, return_inverse=True)
    groups = []
    for number, kind in enumerate(kinds):
        if kind.any():
            chosen = {name for name, hit in zip(names, kind, strict=True) if hit}
            groups.append((chosen, np.flatnonzero(kind_of.reshape(-1) == number)))
    groups.sort(key=lambda group: len(group[1]), reverse=True)
    if len(groups) <= _MAX_GROUPS:
        return groups
    rest = groups[_MAX_GROUPS - 1 :]
    together = set().union(*(chosen for chosen, _ in rest))
    return [*groups[: _MAX_GROUPS - 1], (together, np.concatenate([at for _, at in rest]))]
