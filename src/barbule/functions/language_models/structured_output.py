"""Schemas of structured output: pydantic models, dataclasses, mappings of names to types.

Owns how a schema is named in a stored call, its JSON form and the validation of an answer;
`structured_calls` sends the requests. A class is never loaded because a database names it: it must
be defined in this process.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import re
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from barbule import types
from barbule.errors import ExpressionError, UnknownFunctionError, with_article
from barbule.functions.identity.code import MAIN
from barbule.functions.language_models.json_in_text import candidates
from barbule.json_codec import pydantic_values, to_ascii

if TYPE_CHECKING:
    import pydantic


__all__ = [
    "OutputSchema",
    "choice_schema",
    "class_schema",
    "dtype_of",
    "is_schema_class",
    "is_stored_schema",
    "is_strict",
    "load_schema",
    "store_schema",
]


@dataclass(frozen=True)
class OutputSchema:
    """The schema that an answer must match.

    Parameters
    ----------
    name
        Its name for models and in errors.
    schema
        The schema as JSON.
    read
        Parses JSON into plain Python; raises `pydantic.ValidationError`.
    """

    name: str
    schema: Mapping[str, Any]
    read: Callable[[str], Any]

    def parse(self, text: str) -> Any:
        """Return the answer in a model's text, which may contain other words.

        Raises
        ------
        ValueError
            If no candidate matches: the error of the first candidate.
        """
        first_error: ValueError | None = None
        for candidate in candidates(text):
            try:
                return self.read(candidate)
            except ValueError as error:  # pydantic's errors are ValueErrors
                first_error = first_error or error
        raise first_error or ValueError("it contains no JSON")


# -- Schemas in stored calls ----------------------------------------------------------------------

_CLASSES: dict[tuple[str, str], type] = {}
"""The classes that stored calls have named, by name and fingerprint."""


def is_schema_class(value: object) -> bool:
    """Whether a value is a class with fields, which can be the schema of an answer."""
    return inspect.isclass(value) and types.fields_of(value) is not None


def store_schema(schema: Any) -> dict[str, Any]:
    """Return the JSON with which a stored call names a schema.

    Parameters
    ----------
    schema
        A pydantic model, dataclass or TypedDict; or a mapping of names to types.

    Raises
    ------
    ExpressionError
        If it is neither.

    Examples
    --------
    >>> store_schema({"name": str, "age": int})
    {'record': 'struct<name: string, age: int64>'}
    """
    if typing.is_typeddict(schema):
        # pydantic does not take those of the standard library before Python 3.12.
        schema = types.fields_of(schema)
    if isinstance(schema, Mapping):
        if is_stored_schema(schema):
            return dict(schema)
        kind = dt.Struct(dict(types.schema(schema).items()))
        _python_type(kind, "Record")  # refuses types that models cannot return
        return {"record": str(kind)}
    if not is_schema_class(schema):
        raise ExpressionError(
            "a schema must be a pydantic model, a dataclass, or a mapping of names to types.",
            value=schema,
            hint='For example {"name": str, "total": float}.',
        )
    _check(schema)
    name = f"{schema.__module__}.{schema.__qualname__}"
    fingerprint = _fingerprint(schema)
    _CLASSES[name, fingerprint] = schema
    return {"class": name, "is": fingerprint}


def is_stored_schema(schema: object) -> bool:
    """Whether this is the JSON of a schema in a stored call, not a mapping of names to types.

    Examples
    --------
    >>> is_stored_schema({"class": "films.Film", "is": "0123456789abcdef"})
    True
    >>> is_stored_schema({"class": str})
    False
    """
    if not isinstance(schema, Mapping) or not all(
        isinstance(value, str) for value in schema.values()
    ):
        return False
    if set(schema) == {"record"}:
        return schema["record"].lstrip("!").startswith("struct<")
    return set(schema) == {"class", "is"} and re.fullmatch(_FINGERPRINT, schema["is"]) is not None


def _check(cls: type) -> None:
    """Refuse a class that has no JSON schema."""
    import pydantic

    from barbule.types import holds_media

    if holds_media(types.dtype(cls)):  # which reports types that a column cannot hold
        raise _unanswerable(cls, "it holds files")
    try:
        _adapter(cls).json_schema()
    except pydantic.errors.PydanticUserError as error:
        raise _unanswerable(cls, str(error).splitlines()[0].rstrip(".")) from error


def _unanswerable(cls: type, reason: str) -> ExpressionError:
    return ExpressionError(
        f"a model cannot return {with_article(cls.__name__)}: {reason}.",
        value=cls,
        hint="Use strings, numbers, bools, dates, lists, and classes of these.",
    )


def dtype_of(stored: Mapping[str, Any]) -> dt.DataType:
    """Return the type of a column of answers."""
    if "record" in stored:
        return dt.dtype(stored["record"])
    return types.dtype(_class_of(stored["class"], stored["is"]))


def load_schema(stored: Mapping[str, Any]) -> OutputSchema:
    """Return the schema that a stored call names.

    Raises
    ------
    UnknownFunctionError
        If this process does not define its class, or defines it differently.
    """
    if "record" in stored:
        return _record_schema(stored["record"])
    return class_schema(_class_of(stored["class"], stored["is"]))


def _class_of(name: str, fingerprint: str) -> type:
    if (name, fingerprint) in _CLASSES:
        return _CLASSES[name, fingerprint]
    cls = _find_class(name)
    short_name = name.rpartition(".")[2]
    if cls is None:
        is_interactive = name.partition(".")[0] in MAIN
        step = "Run the notebook cell" if is_interactive else "Import the module"
        raise UnknownFunctionError(
            f"the class {name!r} is not defined in this process.",
            hint=f"{step} that defines {short_name!r} first. Values that were computed before can "
            "still be read.",
        )
    if _fingerprint(cls) != fingerprint:
        raise UnknownFunctionError(
            f"the class {name!r} has changed since the column was added.",
            hint="Add the column again, with if_exists='replace'.",
        )
    _CLASSES[name, fingerprint] = cls
    return cls


def _find_class(name: str) -> type | None:
    """Find a class in the modules that are already imported; none is imported for it."""
    parts = name.split(".")
    for count in range(len(parts) - 1, 0, -1):
        value: Any = sys.modules.get(".".join(parts[:count]))
        for part in parts[count:]:
            value = getattr(value, part, None)
        if is_schema_class(value):
            return value
    return None


_FINGERPRINT = "[0-9a-f]{16}"


def _fingerprint(cls: type) -> str:
    text = to_ascii(_adapter(cls).json_schema(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# -- Answers --------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def _adapter(cls: type) -> pydantic.TypeAdapter[Any]:
    import pydantic

    return pydantic.TypeAdapter(cls)


@functools.lru_cache(maxsize=256)
def class_schema(cls: type) -> OutputSchema:
    """Return the schema of answers that match a class."""
    adapter = _adapter(cls)

    def read(text: str) -> object:
        return _plain(adapter.validate_json(text))

    return OutputSchema(cls.__name__, _strict(adapter.json_schema()), read)


def _plain(value: Any) -> object:
    """Convert objects validated by pydantic to plain Python: only the fields."""
    if isinstance(value, str | bytes | int | float | None) and not isinstance(value, Enum):
        return value
    if getattr(type(value), "__pydantic_root_model__", False):
        return _plain(value.root)
    if (fields := types.fields_of(value)) is not None and not isinstance(value, dict):
        values = types.values_of(value) or {}
        return {name: _plain(values.get(name)) for name in fields}
    if isinstance(value, Mapping):
        return {str(_plain(name)): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return pydantic_values(value)


@functools.lru_cache(maxsize=256)
def _record_schema(record: str) -> OutputSchema:
    return dataclasses.replace(
        class_schema(_python_type(dt.dtype(record), "Record")), name="Record"
    )


def _python_type(kind: dt.DataType, name: str) -> Any:
    """Return the Python type that pydantic validates for a data type; records become models."""
    import pydantic

    if isinstance(kind, dt.Struct):
        fields = {
            field: (_python_type(dtype, field) | None, ...) for field, dtype in kind.fields.items()
        }
        return pydantic.create_model(name, **fields)  # type: ignore[call-overload]
    if isinstance(kind, dt.Array):
        item: Any = _python_type(kind.value_type, name)
        return list[item]
    if (answer := types.declaration(kind).answer) is not None:
        return answer
    raise ExpressionError(
        f"a model cannot return {with_article(str(kind))}.",
        hint="Use strings, numbers, bools, dates and lists.",
    )


@functools.lru_cache(maxsize=256)
def choice_schema(labels: tuple[str, ...], *, several: bool = False) -> OutputSchema:
    """Return the schema of an answer that is one or several of the given labels."""
    import pydantic

    label: Any = typing.Literal[labels]
    kind: Any = list[label] if several else label
    cls = pydantic.create_model("Choice", answer=(kind, ...))
    return class_schema(cls)


def _strict(schema: Any) -> Any:
    """Return a JSON schema whose objects require all their fields, as strict providers demand."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(item) for key, item in schema.items() if key != "default"}
    if isinstance(fields := schema.get("properties"), dict) and schema.get("type") == "object":
        strict["properties"] = {name: _strict(item) for name, item in fields.items()}
        strict["required"] = list(fields)
        strict["additionalProperties"] = False
    return strict


def is_strict(schema: object) -> bool:
    """Whether all objects of a JSON schema have only named fields."""
    if isinstance(schema, list):
        return all(map(is_strict, schema))
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        return False
    return all(map(is_strict, schema.values()))
