"""Slices and repetitions of strings and arrays with Python semantics.

Owns negative bounds, bounds that are columns, and steps, which Ibis computes differently or not at
all; the search of a string in another one; and lists in Json, whose items Ibis does not support.
"""

from __future__ import annotations

import numbers
from typing import TypeAlias

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule.errors import ExpressionError

Index: TypeAlias = int | ir.IntegerValue

__all__ = ["ListMethods", "TextSlices", "list_of_row", "repeated", "repeats", "stepped"]


class TextSlices:
    """Slices of strings, with positions that may be negative, or columns."""

    __slots__ = ()

    def __getitem__(self, key: Index | slice) -> ir.StringValue:
        """Return a character, or the characters between two positions, as in Python."""
        if not isinstance(key, slice):
            return super().__getitem__(key)  # type: ignore[misc]
        if _is_backwards(key):
            return self.reverse()  # type: ignore[attr-defined]
        if key.step is not None and not _is_number(key.step, 1):
            raise ExpressionError(
                "a slice of a string has no step.",
                value=key,
                hint="Write t.text[1:5], or t.text.reverse() for t.text[::-1].",
            )
        if all(bound is None or _is_from_zero(bound) for bound in (key.start, key.stop)):
            if _is_empty(key):
                return super().__getitem__(slice(0, 0))  # type: ignore[misc]
            return super().__getitem__(slice(key.start, key.stop))  # type: ignore[misc]
        length = self.length()  # type: ignore[attr-defined]
        start = _from_start(key.start, length)
        if key.stop is None:
            return self.substr(start)  # type: ignore[attr-defined]
        width = _from_start(key.stop, length) - start
        return self.substr(start, (width < 0).ifelse(0, width))  # type: ignore[attr-defined]

    def find(
        self,
        substr: str | ir.StringValue,
        /,
        start: Index | None = None,
        end: Index | None = None,
    ) -> ir.IntegerValue:
        """Return the position of a substring, as `str.find` does.

        Parameters
        ----------
        substr
            The string to look for.
        start, end
            The positions to search between; negative ones count from the end.

        Returns
        -------
        ibis.expr.types.IntegerValue
            The position from the start of the string; -1 if it is not found.

        Examples
        --------
        >>> import barbule as bb
        >>> t = bb.create_table("words", [{"word": "banana"}])
        >>> t.select(x=t.word.find("an", 2), y=t.word.find("an", 0, -3)).collect()[0]
        {'x': 3, 'y': 1}
        """
        if start is None and end is None:
            return super().find(substr)  # type: ignore[misc]
        length = self.length()  # type: ignore[attr-defined]
        first = _from_start(start, length)
        position = self[start:end].find(substr)
        not_found = position * 0 - 1  # missing if the string is missing
        return ((position >= 0) & (first <= length)).ifelse(position + first, not_found)


class ListMethods:
    """Slices of arrays with steps, and the numbers in lists of Json."""

    __slots__ = ()

    def __getitem__(self, key: Index | slice) -> ir.Value:
        """Return an item, or the items between two positions, as in Python."""
        if isinstance(key, slice) and key.step is not None:
            return stepped(self, key)
        return super().__getitem__(key)  # type: ignore[misc]

    def sums(self) -> ir.NumericValue:
        """Return the sum of the numbers."""
        return super(ListMethods, _numbers(self)).sums()  # type: ignore[misc]

    def means(self) -> ir.NumericValue:
        """Return the mean of the numbers."""
        return super(ListMethods, _numbers(self)).means()  # type: ignore[misc]

    def mins(self) -> ir.Value:
        """Return the smallest item; for Json the smallest number, otherwise the smallest string."""
        return _sorted_json(self)[0] if _is_json(self) else super().mins()  # type: ignore[misc]

    def maxs(self) -> ir.Value:
        """Return the largest item; for Json the largest string, otherwise the largest number."""
        return _sorted_json(self)[-1] if _is_json(self) else super().maxs()  # type: ignore[misc]


def stepped(values: ir.ArrayValue, key: slice) -> ir.ArrayValue:
    """Return every n-th item of an array, backwards if the step is negative.

    Parameters
    ----------
    values
        An array.
    key
        Its bounds may be columns; its step is an integer.
    """
    if not isinstance(key.step, int) or isinstance(key.step, bool) or not key.step:
        raise ExpressionError(
            "the step of a slice must be an integer other than zero.",
            value=key.step,
            hint="t.tags[::2], t.tags[::-1].",
        )
    if key.step == 1:
        return values[key.start : key.stop]
    length = values.length()
    lowest, highest = (0, length) if key.step > 0 else (-1, length - 1)
    start, stop = (lowest, highest) if key.step > 0 else (highest, lowest)
    if key.start is not None:
        start = _clipped(key.start, length, lowest, highest)
    if key.stop is not None:
        stop = _clipped(key.stop, length, lowest, highest)
    positions = ibis.range(_position(start), _position(stop), key.step)
    kind = values.type()
    items = positions.map(lambda position: values[position]).cast(kind.copy(length=None))
    return values.isnull().ifelse(ibis.null(items.type()), items)


def list_of_row(values: object, value: ir.Value) -> ir.ArrayValue | None:
    """Return the list in Json of the row of a value; Ibis would search all rows."""
    if not isinstance(values, ir.JSONColumn) or value.type().is_json():
        return None
    rows = values.op().relations
    return ops.ToJSONArray(values).to_expr() if value.op().relations <= rows else None


def repeats(value: ir.Value, other: object) -> bool:
    """Whether a string or an array is multiplied, which repeats it."""
    repeated_string = isinstance(value, ir.IntegerValue) and isinstance(other, str)
    return repeated_string or (
        isinstance(value, ir.StringValue | ir.ArrayValue) and not isinstance(other, ir.Value)
    )


def repeated(value: ir.Value, times: object) -> ir.Value:
    """Repeat a string or an array a number of times."""
    if isinstance(times, str) and isinstance(value, ir.IntegerValue):
        return ibis.literal(times).repeat(value)
    is_integer = isinstance(times, numbers.Integral) and not isinstance(times, bool)
    return value.repeat(times) if is_integer else NotImplemented


def _position(index: Index) -> ir.IntegerValue:
    return index if isinstance(index, ir.Value) else ibis.literal(index, dt.int64)


def _clipped(bound: Index, length: Index, lowest: Index, highest: Index) -> ir.IntegerValue:
    """Convert a position to one from the start of an array."""
    position = _position(bound)
    position = (position < 0).ifelse(position + length, position)
    return ibis.cases((position < lowest, lowest), (position > highest, highest), else_=position)


def _from_start(bound: Index | None, length: ir.IntegerValue) -> ir.IntegerValue:
    """Convert a bound of a string to one from its start; no bound is the start."""
    if bound is None:
        return ibis.literal(0, dt.int64)
    position = _position(bound)
    from_end = position + length
    return (position >= 0).ifelse(position, (from_end < 0).ifelse(0, from_end))


def _is_number(value: object, number: int) -> bool:
    return isinstance(value, int) and value == number


def _is_backwards(key: slice) -> bool:
    return key.start is None and key.stop is None and _is_number(key.step, -1)


def _is_from_zero(bound: object) -> bool:
    return isinstance(bound, int) and bound >= 0


def _is_empty(key: slice) -> bool:
    return key.stop is not None and (key.start or 0) >= key.stop


def _is_json(values: ir.ArrayValue) -> bool:
    return bool(values.type().value_type.is_json())


def _numbers(values: ir.ArrayValue) -> ir.ArrayValue:
    """Convert the items of Json to numbers; other items become missing."""
    if not _is_json(values):
        return values
    return values.map(lambda item: ops.UnwrapJSONFloat64(item).to_expr())


def _sorted_json(values: ir.ArrayValue) -> ir.ArrayValue:
    """Sort Json, numbers before strings, without items that have no order."""
    ordered = values.filter(
        lambda item: (
            ops.UnwrapJSONFloat64(item).to_expr().notnull()
            | ops.UnwrapJSONString(item).to_expr().notnull()
        )
    )
    return ordered.sort()
