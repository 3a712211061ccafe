"""Keys of dicts that JSON would write as one.

Owns that check alone. JSON has texts for keys: `{1: "a", "1": "b"}` would be written with one key
twice, of which readers keep the last value.
"""

from __future__ import annotations

import functools
import json
from typing import Any

__all__ = ["check_keys"]

_PLAIN = {str, int, float, bool, type(None)}


def check_keys(value: Any) -> None:
    """Refuse a value in which a dict, at any depth, has two keys that JSON writes alike.

    Raises
    ------
    ValueError
        It names the two keys.

    Examples
    --------
    >>> check_keys([{1: "a", "2": {"x": 1}}])
    >>> check_keys({"counts": {1: "a", "1": "b"}})
    Traceback (most recent call last):
    ValueError: the keys 1 and '1' of a dict are one key in JSON
    """
    if (write := _strict()) is not None:
        try:
            write(value)
        except TypeError:  # a key that is no text, or a value that only we can write
            pass
        else:
            return
    inside = [value]
    while inside:
        item = inside.pop()
        if isinstance(item, dict):
            if len(set(map(type, item))) > 1:
                _refuse_doubles(item)
            inside += [each for each in item.values() if type(each) not in _PLAIN]
        elif isinstance(item, list | tuple):
            inside += [each for each in item if type(each) not in _PLAIN]


@functools.cache
def _strict() -> Any:
    """Return a writer that takes no keys but texts, and a fifth of the time of looking at them."""
    try:
        import orjson  # of Chroma
    except ImportError:
        return None
    return orjson.dumps


def _refuse_doubles(item: dict[Any, Any]) -> None:
    written: dict[str, Any] = {}
    for key in item:
        text = str.__str__(key) if isinstance(key, str) else json.dumps(key)
        if text in written:
            raise ValueError(
                f"the keys {written[text]!r} and {key!r} of a dict are one key in JSON"
            )
        written[text] = key
