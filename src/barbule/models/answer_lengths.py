"""How long an answer is going to be that has to fit a JSON schema.

Owns two examples of what fits: one of a usual length, and the longest, where the schema bounds
it. How many tokens they have is the business of `estimates`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Length", "length_of"]

_DEPTH = 8  # of objects within objects; a schema that refers to itself has no end
_ITEMS = 3  # of a list whose length the schema leaves open
_WORDS = "some words that fit"
_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:34:56.789012+00:00",
    "time": "12:34:56.789012",
    "duration": "P1DT12H34M56S",
    "uuid": "123e4567-e89b-12d3-a456-426614174000",
}
_NUMBERS = {
    "boolean": (True, False),
    "integer": (42, -9_223_372_036_854_775_807),
    "number": (0.85, -0.1234567890123456),
    "null": (None, None),
}


@dataclass(frozen=True)
class Length:
    """Answers that fit a schema, as JSON.

    Attributes
    ----------
    usual
        One of a usual length.
    longest
        One that is as long as it may be; None where nothing bounds it.
    """

    usual: str
    longest: str | None


@dataclass(frozen=True)
class _Values:
    usual: Any
    longest: Any
    bounded: bool = True


def length_of(schema: Mapping[str, Any]) -> Length:
    """Return answers that fit a schema.

    Examples
    --------
    >>> truth = {"type": "object", "properties": {"answer": {"type": "boolean"}}}
    >>> length_of(truth)
    Length(usual='{"answer":true}', longest='{"answer": false}')
    >>> length_of({"type": "string"})
    Length(usual='"some words that fit"', longest=None)
    """
    found = _values(schema, schema, _DEPTH)
    usual = json.dumps(found.usual, ensure_ascii=False, separators=(",", ":"))
    return Length(usual, json.dumps(found.longest, ensure_ascii=False) if found.bounded else None)


def _values(schema: Any, root: Mapping[str, Any], depth: int) -> _Values:
    if not isinstance(schema, dict) or depth == 0:
        return _Values(_WORDS, _WORDS, bounded=False)
    if (reference := schema.get("$ref")) is not None:
        return _values(_referred(reference, root), root, depth - 1)
    if "const" in schema:
        return _Values(schema["const"], schema["const"])
    if options := schema.get("enum"):
        by_length = sorted(options, key=lambda option: len(str(option)))
        return _Values(by_length[len(by_length) // 2], by_length[-1])
    if (several := _alternatives(schema)) is not None:
        return _one_of(several, root, depth)
    kind = schema.get("type")
    if kind in _NUMBERS:
        return _Values(*_NUMBERS[kind])
    if kind == "object":
        return _record(schema, root, depth)
    if kind == "array":
        return _list(schema, root, depth)
    return _text(schema)


def _referred(reference: str, root: Mapping[str, Any]) -> Any:
    found: Any = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _alternatives(schema: Mapping[str, Any]) -> Sequence[Any] | None:
    kind = schema.get("type")
    if isinstance(kind, list):
        return [{**schema, "type": each} for each in kind]
    several = schema.get("anyOf") or schema.get("oneOf") or (schema.get("allOf") or [])[:1]
    return several or None


def _one_of(schemas: Sequence[Any], root: Mapping[str, Any], depth: int) -> _Values:
    options = [_values(each, root, depth - 1) for each in schemas]
    usual = next((each.usual for each in options if each.usual is not None), None)
    longest = max((each.longest for each in options), key=lambda value: len(json.dumps(value)))
    return _Values(usual, longest, all(each.bounded for each in options))


def _record(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> _Values:
    fields = {
        name: _values(each, root, depth - 1)
        for name, each in (schema.get("properties") or {}).items()
    }
    return _Values(
        {name: each.usual for name, each in fields.items()},
        {name: each.longest for name, each in fields.items()},
        bool(fields) and all(each.bounded for each in fields.values()),
    )


def _list(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> _Values:
    items = schema.get("items")
    item = _values(items, root, depth - 1)
    least, most = schema.get("minItems", 0), schema.get("maxItems")
    if most is None and isinstance(items, dict) and items.get("enum"):
        most = len(items["enum"])  # labels, each of them once
    count = max(least, min(_ITEMS, most if most is not None else _ITEMS))
    return _Values(
        [item.usual] * count,
        [item.longest] * (most or count),
        item.bounded and most is not None,
    )


def _text(schema: Mapping[str, Any]) -> _Values:
    if (form := _FORMATS.get(schema.get("format", ""))) is not None:
        return _Values(form, form)
    most = schema.get("maxLength")
    if isinstance(most, int):
        return _Values(_WORDS[:most], "m" * most)
    return _Values(_WORDS, _WORDS, bounded=False)
