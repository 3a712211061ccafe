"""Values as JSON: the one place that decides how bytes, dates, decimals … are written and read.

Owns the forms of a value without a data type, most of which databases hold:

- *tagged*, `{"$bytes": "YQ=="}`: arguments and answers of calls; their bytes are hashed as call
  keys
- *named*, `{"$": "bytes", "v": "YQ=="}`: values in stored expressions
- *plain*, as text: cells of Json columns; a type that JSON lacks is lost
- *pydantic's*: answers that it has validated
- *shown*: for people, and in prompts; any object is its `str`

Stored forms never change: `tests/test_stored_forms.py` holds them. Cells of a data type have their
own forms, in files (`io.text_cells`) and in Postgres (`backends.postgres.sql.literals`).
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import decimal
import enum
import functools
import json
import uuid
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any

from barbule.errors import with_article

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = [
    "as_base64",
    "check_keys",
    "compact_list",
    "from_named",
    "from_tagged",
    "is_tag",
    "iso_text",
    "json_cell",
    "plain_values",
    "pydantic_values",
    "to_ascii",
    "to_compact",
    "to_named",
    "to_readable",
    "to_shown",
    "to_tagged",
]


# -- Values that JSON has no type for --------------------------------------------------------------


def as_base64(value: bytes) -> str:
    """Write bytes as base64."""
    return base64.b64encode(value).decode("ascii")


def iso_text(value: datetime.date | datetime.time) -> str:
    """Write a date, a time or a datetime in ISO 8601."""
    return str(value.isoformat())


@dataclasses.dataclass(frozen=True)
class _Scalar:
    """A type that JSON lacks: how its values are written and read."""

    python: type
    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


# A datetime is also a date, so it comes first.
_SCALARS = {
    "bytes": _Scalar(bytes, as_base64, base64.b64decode),
    "datetime": _Scalar(datetime.datetime, iso_text, datetime.datetime.fromisoformat),
    "date": _Scalar(datetime.date, iso_text, datetime.date.fromisoformat),
    "time": _Scalar(datetime.time, iso_text, datetime.time.fromisoformat),
    "decimal": _Scalar(decimal.Decimal, str, decimal.Decimal),
    "uuid": _Scalar(uuid.UUID, str, uuid.UUID),
}
_TAGGED = {
    **{f"${name}": scalar for name, scalar in _SCALARS.items()},
    "$duration": _Scalar(
        datetime.timedelta,
        lambda value: str(value // datetime.timedelta(microseconds=1)),
        lambda text: datetime.timedelta(microseconds=int(text)),
    ),
    "$float": _Scalar(float, float.__repr__, float),  # NaN and infinity; others are numbers
}
_NAMED = {
    **_SCALARS,
    "timedelta": _Scalar(
        datetime.timedelta,
        lambda value: [value.days, value.seconds, value.microseconds],
        lambda parts: datetime.timedelta(*parts),
    ),
    "float": _Scalar(float, float.__repr__, float),
}


def _form_of(value: object, forms: Mapping[str, _Scalar]) -> tuple[str, Any] | None:
    for name, scalar in forms.items():
        if isinstance(value, scalar.python):
            return name, scalar.write(value)
    return None


def to_tagged(value: object) -> dict[str, Any] | None:
    """Write a value that JSON lacks as an object with one key, its tag; None for other values.

    Examples
    --------
    >>> to_tagged(b"a"), to_tagged("a")
    ({'$bytes': 'YQ=='}, None)
    """
    form = _form_of(value, _TAGGED)
    return None if form is None else dict([form])


def is_tag(key: object) -> bool:
    """Whether the only key of an object is the tag of a value."""
    return key in _TAGGED


def from_tagged(tag: str, text: Any) -> Any:
    """Read the value of a tag."""
    return _TAGGED[tag].read(text)


def to_named(value: object) -> dict[str, Any] | None:
    """Write a value that JSON lacks as an object with its type and its text; None for others.

    Examples
    --------
    >>> to_named(0.5)
    {'$': 'float', 'v': '0.5'}
    """
    form = _form_of(value, _NAMED)
    return None if form is None else {"$": form[0], "v": form[1]}


def from_named(name: str, text: Any) -> Any:
    """Read a value by the name of its type.

    Raises
    ------
    KeyError
        If there is no such type.
    """
    return _NAMED[name].read(text)


# -- Json cells ------------------------------------------------------------------------------------


def plain_values(value: object) -> object:
    """Convert pydantic models, dataclasses and NumPy values to values that JSON has.

    Raises
    ------
    TypeError
        If a value has no JSON form.
    """
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.asdict(value)
        check_keys(fields)
        return fields
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, datetime.date | datetime.time):
        return iso_text(value)
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, enum.Enum):
        return value.value
    raise TypeError(f"{with_article(type(value).__name__)} cannot be written as JSON")


# JSON has no NaN and no infinity, and databases refuse them.
_encode_cell = json.JSONEncoder(default=plain_values, ensure_ascii=False, allow_nan=False).encode


def json_cell(value: object) -> str:
    """Write a value as the cell of a Json column.

    Raises
    ------
    TypeError, ValueError
        If a value has no JSON form, or two keys of a dict are equal in JSON.

    Examples
    --------
    >>> json_cell({"on": datetime.date(2024, 2, 29)})
    '{"on": "2024-02-29"}'
    """
    text = _encode_cell(value)
    if not isinstance(value, str | int):
        check_keys(value)  # afterwards: a value that contains itself has been refused by then
    return text


def pydantic_values(value: object, *, nan_is_null: bool = False) -> object:
    """Convert a value to JSON values as pydantic does, such as an answer that it has validated.

    The ledger holds such answers, in which a datetime in UTC ends with "Z".

    Parameters
    ----------
    nan_is_null
        Whether NaN and infinity become None.
    """
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value, inf_nan_mode="null" if nan_is_null else "constants")


_SCALAR_TYPES = {str, int, float, bool, type(None)}


def check_keys(value: object) -> None:
    """Refuse a value in which a dict, at any depth, has two keys that are equal in JSON.

    JSON keys are strings: `{1: "a", "1": "b"}` would be written with the same key twice, of which
    readers keep the last value.

    Raises
    ------
    ValueError
        It names the two keys.

    Examples
    --------
    >>> check_keys([{1: "a", "2": {"x": 1}}])
    >>> check_keys({"counts": {1: "a", "1": "b"}})
    Traceback (most recent call last):
    ValueError: the keys 1 and '1' of a dict are the same key in JSON
    """
    if (write := _strict_writer()) is not None:
        try:
            write(value)
        except TypeError:  # a key that is not a string, or a value that only barbule can write
            pass
        else:
            return
    pending: list[object] = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            if len(set(map(type, item))) > 1:
                _refuse_duplicates(item)
            pending += [child for child in item.values() if type(child) not in _SCALAR_TYPES]
        elif isinstance(item, list | tuple):
            pending += [child for child in item if type(child) not in _SCALAR_TYPES]


@functools.cache
def _strict_writer() -> Callable[[object], bytes] | None:
    """Return a writer that accepts only string keys, in a fifth of the time of checking them."""
    try:
        import orjson  # of Chroma
    except ImportError:
        return None
    write: Callable[[object], bytes] = orjson.dumps
    return write


def _refuse_duplicates(item: dict[Any, Any]) -> None:
    key_by_text: dict[str, Any] = {}
    for key in item:
        text = str.__str__(key) if isinstance(key, str) else json.dumps(key)
        if text in key_by_text:
            raise ValueError(
                f"the keys {key_by_text[text]!r} and {key!r} of a dict are the same key in JSON"
            )
        key_by_text[text] = key


# -- Texts -----------------------------------------------------------------------------------------


def to_compact(tree: object) -> str:
    """Write JSON values without spaces: the text that databases hold.

    Examples
    --------
    >>> to_compact({"a": [1, "ä"]})
    '{"a":[1,"ä"]}'
    """
    return json.dumps(tree, separators=(",", ":"), ensure_ascii=False)


def to_ascii(tree: object, *, sort_keys: bool = False) -> str:
    r"""Write JSON values in ASCII: texts that are hashed, constants of queries, and `jsonb`.

    Examples
    --------
    >>> to_ascii(["ä", 1])
    '["\\u00e4", 1]'
    """
    return json.dumps(tree, sort_keys=sort_keys)


# JSON of plain values; the encoder itself takes four times as long.
_COMPACT_WRITERS: Mapping[type, Callable[[Any], str]] = {
    str: encode_basestring,
    int: int.__repr__,
    bool: {True: "true", False: "false"}.__getitem__,
    type(None): lambda _none: "null",
}


def compact_list(values: Sequence[Any]) -> str | None:
    """Write a list as `to_compact` does, faster; None if it holds other than strings, ints … ."""
    try:
        return f"[{','.join([_COMPACT_WRITERS[type(value)](value) for value in values])}]"
    except KeyError:
        return None


def to_readable(value: object) -> str:
    """Write JSON values for files, with NaN and Infinity as Python and JavaScript write them."""
    return json.dumps(value, ensure_ascii=False)


def to_shown(value: object, *, ascii_only: bool = False) -> str:
    """Write a value for people and models, who may see any object as its `str`.

    Parameters
    ----------
    ascii_only
        Whether other characters are escaped, as in requests, whose length is estimated.
    """
    return json.dumps(value, ensure_ascii=ascii_only, default=str)
