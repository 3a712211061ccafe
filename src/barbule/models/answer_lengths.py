"""The length of an answer that has to fit a JSON schema.

Builds two examples that fit the schema: one of a usual length, and the longest, if the schema
bounds it. `estimates` counts their tokens.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from barbule.json_codec import to_compact, to_readable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["AnswerLength", "answer_length"]

_MAX_DEPTH = 8  # of objects within objects; a schema that refers to itself has no end
_DEFAULT_ITEMS = 3  # of a list whose length the schema leaves open
_EXAMPLE_TEXT = "some words that fit"
_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:34:56.789012+00:00",
    "time": "12:34:56.789012",
    "duration": "P1DT12H34M56S",
    "uuid": "123e4567-e89b-12d3-a456-426614174000",
}
_SCALAR_EXAMPLES = {
    "boolean": (True, False),
    "integer": (42, -9_223_372_036_854_775_807),
    "number": (0.85, -0.1234567890123456),
    "null": (None, None),
}


@dataclass(frozen=True)
class AnswerLength:
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
class _Examples:
    usual: Any
    longest: Any
    bounded: bool = True


def answer_length(schema: Mapping[str, Any]) -> AnswerLength:
    """Return answers that fit a schema.

    Examples
    --------
    >>> truth = {"type": "object", "properties": {"answer": {"type": "boolean"}}}
    >>> answer_length(truth)
    AnswerLength(usual='{"answer":true}', longest='{"answer": false}')
    >>> answer_length({"type": "string"})
    AnswerLength(usual='"some words that fit"', longest=None)
    """
    examples = _examples_of(schema, schema, _MAX_DEPTH)
    usual = to_compact(examples.usual)
    return AnswerLength(usual, to_readable(examples.longest) if examples.bounded else None)


def _examples_of(schema: object, root: Mapping[str, Any], depth: int) -> _Examples:
    if not isinstance(schema, dict) or depth == 0:
        return _Examples(_EXAMPLE_TEXT, _EXAMPLE_TEXT, bounded=False)
    if (reference := schema.get("$ref")) is not None:
        return _examples_of(_resolve_reference(reference, root), root, depth - 1)
    if "const" in schema:
        return _Examples(schema["const"], schema["const"])
    if options := schema.get("enum"):
        by_length = sorted(options, key=lambda option: len(str(option)))
        return _Examples(by_length[len(by_length) // 2], by_length[-1])
    if (alternatives := _alternatives(schema)) is not None:
        return _examples_of_alternatives(alternatives, root, depth)
    json_type = schema.get("type")
    if json_type in _SCALAR_EXAMPLES:
        return _Examples(*_SCALAR_EXAMPLES[json_type])
    if json_type == "object":
        return _examples_of_object(schema, root, depth)
    if json_type == "array":
        return _examples_of_list(schema, root, depth)
    return _examples_of_string(schema)


def _resolve_reference(reference: str, root: Mapping[str, Any]) -> object:
    node: object = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        node = node.get(part) if isinstance(node, dict) else None
    return node


def _alternatives(schema: Mapping[str, Any]) -> Sequence[Any] | None:
    json_type = schema.get("type")
    if isinstance(json_type, list):
        return [{**schema, "type": type_name} for type_name in json_type]
    alternatives = schema.get("anyOf") or schema.get("oneOf") or (schema.get("allOf") or [])[:1]
    return alternatives or None


def _examples_of_alternatives(
    schemas: Sequence[Any], root: Mapping[str, Any], depth: int
) -> _Examples:
    options = [_examples_of(schema, root, depth - 1) for schema in schemas]
    usual = next((option.usual for option in options if option.usual is not None), None)
    longest = max((option.longest for option in options), key=lambda value: len(json.dumps(value)))
    return _Examples(usual, longest, all(option.bounded for option in options))


def _examples_of_object(
    schema: Mapping[str, Any], root: Mapping[str, Any], depth: int
) -> _Examples:
    fields = {
        name: _examples_of(field_schema, root, depth - 1)
        for name, field_schema in (schema.get("properties") or {}).items()
    }
    return _Examples(
        {name: field.usual for name, field in fields.items()},
        {name: field.longest for name, field in fields.items()},
        bool(fields) and all(field.bounded for field in fields.values()),
    )


def _examples_of_list(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> _Examples:
    items = schema.get("items")
    item = _examples_of(items, root, depth - 1)
    min_items, max_items = schema.get("minItems", 0), schema.get("maxItems")
    if max_items is None and isinstance(items, dict) and items.get("enum"):
        max_items = len(items["enum"])  # labels, each of them once
    count = max(
        min_items, min(_DEFAULT_ITEMS, max_items if max_items is not None else _DEFAULT_ITEMS)
    )
    return _Examples(
        [item.usual] * count,
        [item.longest] * (max_items or count),
        item.bounded and max_items is not None,
    )


def _examples_of_string(schema: Mapping[str, Any]) -> _Examples:
    if (example := _FORMATS.get(schema.get("format", ""))) is not None:
        return _Examples(example, example)
    max_length = schema.get("maxLength")
    if isinstance(max_length, int):
        return _Examples(_EXAMPLE_TEXT[:max_length], "m" * max_length)
    return _Examples(_EXAMPLE_TEXT, _EXAMPLE_TEXT, bounded=False)
