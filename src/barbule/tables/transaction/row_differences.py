"""The differences of two states of rows, cell by cell.

Owns when two cells are equal: as in SQL's IS NOT DISTINCT FROM, and NaN equals NaN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Cells: TypeAlias = pa.Array | pa.ChunkedArray

__all__ = ["cells_differ", "group_rows_by_changes"]

_MAX_GROUPS = 16  # of rows that are written separately, because other columns of them changed


def cells_differ(old: Cells, new: Cells) -> npt.NDArray[np.bool_]:
    """Return for each cell of two columns whether they differ, as a NumPy array.

    Examples
    --------
    >>> import pyarrow as pa
    >>> old, new = [[1.0, 2.0], None, []], [[1.0, 3.0], None, [1.0]]
    >>> cells_differ(pa.array(old), pa.array(new)).tolist()
    [True, False, True]
    """
    import numpy as np
    import pyarrow.compute as pc

    old, new = _combined(old), _combined(new)
    if new.type != old.type:
        new = new.cast(old.type)
    old_valid, new_valid = (
        column.is_valid().to_numpy(zero_copy_only=False) for column in (old, new)
    )
    differs = old_valid != new_valid
    both_valid = np.flatnonzero(old_valid & new_valid)
    if not len(both_valid):
        return differs
    if len(both_valid) < len(differs):
        old, new = pc.take(old, both_valid), pc.take(new, both_valid)
    differs[both_valid] = _values_differ(old, new)
    return differs


def _combined(column: Cells) -> pa.Array:
    import pyarrow as pa

    if not isinstance(column, pa.ChunkedArray):
        return column
    column = column.combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # without rows
        return column.chunk(0) if column.num_chunks else pa.array([], column.type)
    return column


def _values_differ(old: pa.Array, new: pa.Array) -> npt.NDArray[np.bool_]:
    """Compare columns without missing values."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    arrow_type = old.type
    if pa.types.is_struct(arrow_type):
        differs = np.zeros(len(old), bool)
        for position in range(arrow_type.num_fields):
            differs |= cells_differ(
                pc.struct_field(old, [position]), pc.struct_field(new, [position])
            )
        return differs
    if pa.types.is_float16(arrow_type):  # which Arrow does not compare
        old, new = old.cast(pa.float32()), new.cast(pa.float32())
    if pa.types.is_nested(arrow_type):
        return _lists_differ(old, new)
    differs = pc.not_equal(old, new).to_numpy(zero_copy_only=False)
    if pa.types.is_floating(arrow_type):
        nan = pc.and_(pc.is_nan(old), pc.is_nan(new)).to_numpy(zero_copy_only=False)
        differs = differs & ~nan
    return differs


def _lists_differ(old: pa.Array, new: pa.Array) -> npt.NDArray[np.bool_]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_map(old.type):
        pairs = pa.list_(pa.struct([("key", old.type.key_type), ("value", old.type.item_type)]))
        old, new = old.cast(pairs), new.cast(pairs)
    old_lengths, new_lengths = (pc.list_value_length(column).to_numpy() for column in (old, new))
    differs = old_lengths != new_lengths
    same_length = np.flatnonzero(~differs)
    old, new = pc.take(old, same_length), pc.take(new, same_length)
    items_differ = cells_differ(pc.list_flatten(old), pc.list_flatten(new))
    counts = np.bincount(
        np.repeat(np.arange(len(same_length)), old_lengths[same_length])[items_differ],
        minlength=len(same_length),
    )
    differs[same_length] = counts > 0
    return differs


def group_rows_by_changes(
    changed: Mapping[str, npt.NDArray[np.bool_]],
) -> list[tuple[set[str], npt.NDArray[np.intp]]]:
    """Group rows by their changed columns; unchanged rows are left out.

    Parameters
    ----------
    changed
        By column, for each row whether it changed: NumPy arrays.

    Returns
    -------
    list
        The columns, and the positions of the rows as a NumPy array.
    """
    import numpy as np

    names = list(changed)
    if not names:
        return []
    changes = np.stack([changed[name] for name in names], axis=1)
    if len(names) == 1 or changes.all():
        rows = np.flatnonzero(changes.any(axis=1))
        return [(set(names), rows)] if len(rows) else []
    patterns, pattern_of_row = np.unique(changes, axis=0, return_inverse=True)
    groups = []
    for pattern_number, pattern in enumerate(patterns):
        if pattern.any():
            columns = {name for name, is_changed in zip(names, pattern, strict=True) if is_changed}
            groups.append((columns, np.flatnonzero(pattern_of_row.reshape(-1) == pattern_number)))
    groups.sort(key=lambda group: len(group[1]), reverse=True)
    if len(groups) <= _MAX_GROUPS:
        return groups
    smallest = groups[_MAX_GROUPS - 1 :]
    merged_columns = set().union(*(columns for columns, _ in smallest))
    return [
        *groups[: _MAX_GROUPS - 1],
        (merged_columns, np.concatenate([rows for _, rows in smallest])),
    ]
