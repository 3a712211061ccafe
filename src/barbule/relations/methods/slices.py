"""Parts of texts and arrays as Python counts them, what repeats them, and what is among them.

Owns negative bounds, bounds that are columns, and steps, of which Ibis makes other values or
nothing; where in a text another one is found; and lists in Json, whose items Ibis does not know.
"""

from __future__ import annotations

import numbers
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule.errors import ExpressionError

__all__ = ["ListMethods", "TextParts", "list_of_row", "repeated", "repeats", "stepped"]


class TextParts:
    """Parts of texts, by positions that may be negative, or columns."""

    __slots__ = ()

    def __getitem__(self, key: Any) -> Any:
        """Return a character, or the characters between two positions, as Python does."""
        if not isinstance(key, slice):
            return super().__getitem__(key)  # type: ignore[misc]
        if _is_backwards(key):
            return self.reverse()  # type: ignore[attr-defined]
        if key.step is not None and not _is_number(key.step, 1):
            raise ExpressionError(
                "a text is taken without leaving characters out.",
                value=key,
                hint="t.text[1:5], or t.text.reverse() for t.text[::-1].",
            )
        if all(bound is None or _is_from_zero(bound) for bound in (key.start, key.stop)):
            if _is_empty(key):
                return super().__getitem__(slice(0, 0))  # type: ignore[misc]
            return super().__getitem__(slice(key.start, key.stop))  # type: ignore[misc]
        length = self.length()  # type: ignore[attr-defined]
        start = _place(key.start, length)
        if key.stop is None:
            return self.substr(start)  # type: ignore[attr-defined]
        width = _place(key.stop, length) - start
        return self.substr(start, (width < 0).ifelse(0, width))  # type: ignore[attr-defined]

    def find(self, substr: Any, /, start: Any = None, end: Any = None) -> Any:
        """Return the position of a text in this one, as `str.find` does.

        Parameters
        ----------
        substr
            What is looked for.
        start, end
            Between which positions; negative ones are counted from the end.

        Returns
        -------
        ibis.expr.types.IntegerValue
            The position from the start of the whole text; -1 where it is not found.

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
        first = _place(start, length)
        place = self[start:end].find(substr)
        nowhere = place * 0 - 1  # missing where the text is
        return ((place >= 0) & (first <= length)).ifelse(place + first, nowhere)


class ListMethods:
    """Parts of arrays with steps, and the numbers in lists of Json."""

    __slots__ = ()

    def __getitem__(self, key: Any) -> Any:
        """Return an item, or the items between two positions, as Python does."""
        if isinstance(key, slice) and key.step is not None:
            return stepped(self, key)
        return super().__getitem__(key)  # type: ignore[misc]

    def sums(self) -> Any:
        """Return the sum of the numbers."""
        return super(ListMethods, _numbers(self)).sums()  # type: ignore[misc]

    def means(self) -> Any:
        """Return the mean of the numbers."""
        return super(ListMethods, _numbers(self)).means()  # type: ignore[misc]

    def mins(self) -> Any:
        """Return the least item; of Json the least number, or else text."""
        return _in_order(self)[0] if _is_json(self) else super().mins()  # type: ignore[misc]

    def maxs(self) -> Any:
        """Return the greatest item; of Json the greatest text, or else number."""
        return _in_order(self)[-1] if _is_json(self) else super().maxs()  # type: ignore[misc]


def stepped(values: Any, key: slice) -> Any:
    """Take every so many items of an array, backwards where the step is negative.

    Parameters
    ----------
    values
        An array.
    key
        Its bounds may be columns; its step is a number.
    """
    if not isinstance(key.step, int) or isinstance(key.step, bool) or not key.step:
        raise ExpressionError(
            "the step of a slice is a whole number other than zero.",
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
    places = ibis.range(_typed(start), _typed(stop), key.step)
    kind = values.type()
    taken = places.map(lambda place: values[place]).cast(kind.copy(length=None))
    return values.isnull().ifelse(ibis.null(taken.type()), taken)


def list_of_row(values: Any, value: Any) -> Any:
    """Return the list in Json that stands in the row of a value; Ibis looks in all rows of it."""
    if not isinstance(values, ir.JSONColumn) or value.type().is_json():
        return None
    rows = values.op().relations
    return ops.ToJSONArray(values).to_expr() if value.op().relations <= rows else None


def repeats(value: Any, other: Any) -> bool:
    """Whether a text or an array is multiplied, which repeats it."""
    texts = isinstance(value, ir.IntegerValue) and isinstance(other, str)
    return texts or (
        isinstance(value, ir.StringValue | ir.ArrayValue) and not isinstance(other, ir.Value)
    )


def repeated(value: Any, times: Any) -> Any:
    """Repeat a text or an array, a whole number of times."""
    if isinstance(times, str) and isinstance(value, ir.IntegerValue):
        return ibis.literal(times).repeat(value)
    whole = isinstance(times, numbers.Integral) and not isinstance(times, bool)
    return value.repeat(times) if whole else NotImplemented


def _typed(place: Any) -> Any:
    return place if isinstance(place, ir.Value) else ibis.literal(place, dt.int64)


def _clipped(bound: Any, length: Any, lowest: Any, highest: Any) -> Any:
    """Count from the start, within an array."""
    place = _typed(bound)
    place = (place < 0).ifelse(place + length, place)
    return ibis.cases((place < lowest, lowest), (place > highest, highest), else_=place)


def _place(bound: Any, length: Any) -> Any:
    """Count a bound of a text from its start; no bound is the start."""
    if bound is None:
        return ibis.literal(0, dt.int64)
    place = _typed(bound)
    from_end = place + length
    return (place >= 0).ifelse(place, (from_end < 0).ifelse(0, from_end))


def _is_number(value: Any, number: int) -> bool:
    return isinstance(value, int) and value == number


def _is_backwards(key: slice) -> bool:
    return key.start is None and key.stop is None and _is_number(key.step, -1)


def _is_from_zero(bound: Any) -> bool:
    return isinstance(bound, int) and bound >= 0


def _is_empty(key: slice) -> bool:
    return key.stop is not None and (key.start or 0) >= key.stop


def _is_json(values: Any) -> bool:
    return bool(values.type().value_type.is_json())


def _numbers(values: Any) -> Any:
    """Make numbers of the items of Json; what is no number is missing."""
    if not _is_json(values):
        return values
    return values.map(lambda item: ops.UnwrapJSONFloat64(item).to_expr())


def _in_order(values: Any) -> Any:
    """Sort Json, numbers before texts, without what has no order."""
    ordered = values.filter(
        lambda item: (
            ops.UnwrapJSONFloat64(item).to_expr().notnull()
            | ops.UnwrapJSONString(item).to_expr().notnull()
        )
    )
    return ordered.sort()
