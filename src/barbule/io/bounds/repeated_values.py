"""The size of Arrow columns if each value is stored as often as it occurs.

Owns the sizes of dictionaries, runs and views, in which one long string may represent millions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    import pyarrow as pa

__all__ = ["Spread", "spread"]

_VIEW = 4  # 32-bit numbers, the first of which is the length of a string


class Spread(NamedTuple):
    """The size of a column.

    Attributes
    ----------
    total
        Bytes, with each value as often as it occurs.
    widest
        Bytes of the longest value that may be repeated; 0 if none can be.
    """

    total: int
    widest: int


def spread(rows: pa.Table | pa.RecordBatch) -> Spread:
    """Return the total size of the columns of some rows.

    Examples
    --------
    >>> import pyarrow as pa
    >>> texts = pa.array(["a" * 1000, "b"]).dictionary_encode()
    >>> spread(pa.table({"t": texts.take(pa.array([0, 0, 0, 1]))}))
    Spread(total=3001, widest=1000)
    """
    if not any(map(_repeats, set(rows.schema.types))):
        return Spread(rows.nbytes, 0)
    total = widest = 0
    for column in rows.columns:
        if not _repeats(column.type):
            total += column.nbytes
            continue
        chunks = getattr(column, "chunks", [column])
        spreads = [_of(chunk) for chunk in chunks if len(chunk)]
        total += sum(spread.total for spread in spreads)
        widest += max((spread.widest for spread in spreads), default=0)
    return Spread(total, widest)


def _repeats(kind: pa.DataType) -> bool:
    """Whether a value may be stored once and used many times."""
    import pyarrow.types as pat

    if (storage := getattr(kind, "storage_type", None)) is not None:  # of an extension
        return _repeats(storage)
    own = (
        pat.is_dictionary, pat.is_run_end_encoded, pat.is_string_view, pat.is_binary_view,
        pat.is_list_view, pat.is_large_list_view, pat.is_union,
    )  # fmt: skip
    if any(check(kind) for check in own):
        return True
    return any(_repeats(kind.field(index).type) for index in range(kind.num_fields))


def _of(array: Any) -> Spread:
    import pyarrow.types as pat

    kind = array.type
    if not _repeats(kind):
        return Spread(array.nbytes, 0)
    if hasattr(array, "storage"):
        return _of(array.storage)
    if pat.is_dictionary(kind):
        return _dictionary(array)
    if pat.is_run_end_encoded(kind):
        return _runs(array)
    if pat.is_string_view(kind) or pat.is_binary_view(kind):
        lengths = _view_lengths(array)
        return Spread(int(lengths.sum()), int(lengths.max(initial=0)))
    if pat.is_list_view(kind) or pat.is_large_list_view(kind):
        return _list_views(array)
    if pat.is_union(kind):
        inner = [_of(array.field(index)) for index in range(kind.num_fields)]
        widest = sum(spread.total for spread in inner)
        return Spread(widest * len(array), widest)
    if pat.is_struct(kind):
        return _added(map(_of, array.flatten()))
    inside = _of(array.flatten())
    most = _longest_list(array)
    return Spread(inside.total + array.nbytes, inside.widest * most)


def _added(parts: Iterable[Spread]) -> Spread:
    spreads = list(parts)
    return Spread(sum(spread.total for spread in spreads), sum(spread.widest for spread in spreads))


def _longest_list(array: Any) -> int:
    import pyarrow.compute as pc
    import pyarrow.types as pat

    if pat.is_map(array.type):
        return len(array.keys)
    return int(pc.max(pc.list_value_length(array)).as_py() or 0)


def _lengths(values: Any) -> np.ndarray[Any, Any]:
    """Return the bytes of each of some values; for nested ones the total."""
    import numpy as np
    import pyarrow.compute as pc
    import pyarrow.types as pat

    kind = values.type
    if pat.is_string_view(kind) or pat.is_binary_view(kind):
        return _view_lengths(values)
    if any(
        check(kind)
        for check in (pat.is_string, pat.is_large_string, pat.is_binary, pat.is_large_binary)
    ):
        lengths = pc.fill_null(pc.binary_length(values), 0).to_numpy(zero_copy_only=False)
        return lengths.astype(np.int64)
    if kind.num_fields or _repeats(kind):
        return np.full(len(values), _of(values).total, np.int64)
    return np.full(len(values), max(1, values.nbytes // max(1, len(values))), np.int64)


def _dictionary(array: Any) -> Spread:
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = _lengths(array.dictionary)
    if not len(lengths):
        return Spread(array.nbytes, 0)
    total = pc.sum(pc.take(pa.array(lengths), array.indices)).as_py() or 0
    return Spread(int(total), int(lengths.max()))


def _runs(array: Any) -> Spread:
    import numpy as np

    lengths = _lengths(array.values)
    ends = array.run_ends.to_numpy().astype(np.int64)
    here = np.clip(ends, array.offset, array.offset + len(array)) - array.offset
    return Spread(int((np.diff(here, prepend=0) * lengths).sum()), int(lengths.max(initial=0)))


def _view_lengths(array: Any) -> np.ndarray[Any, Any]:
    import numpy as np

    numbers = np.frombuffer(array.buffers()[1], np.int32)
    return numbers[array.offset * _VIEW :][: len(array) * _VIEW : _VIEW].astype(np.int64)


def _list_views(array: Any) -> Spread:
    import pyarrow.compute as pc

    inside, count = _of(array.values), len(array.values)
    lengths = pc.list_value_length(array)
    total, most = (int(function(lengths).as_py() or 0) for function in (pc.sum, pc.max))
    item_bytes = inside.widest or -(-inside.total // max(1, count))
    return Spread(total * max(1, item_bytes), most * max(1, item_bytes))
