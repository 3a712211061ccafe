"""Answers in a form that was asked for: pydantic models, dataclasses, mappings of types.

Owns how a form is named in a stored call, its JSON schema and the check of an answer; how it is
asked for is the business of `asking`. A class is never loaded because a database names it: it has
to be defined in this process.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import hashlib
import inspect
import json
import re
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from barbule import types
from barbule.errors import ExpressionError, UnknownFunctionError
from barbule.functions.identity.code import MAIN
from barbule.functions.language_models.json_in_text import candidates

if TYPE_CHECKING:
    import pydantic


__all__ = [
    "Form",
    "choice_form",
    "class_form",
    "dtype_of",
    "form_of",
    "is_form",
    "is_stored",
    "is_strict",
    "stored_form",
]

_PYTHON: tuple[tuple[type[dt.DataType], Any], ...] = (
    (dt.Boolean, bool),
    (dt.Integer, int),
    (dt.Floating, float),
    (dt.Decimal, float),
    (dt.String, str),
    (dt.Timestamp, datetime.datetime),
    (dt.Date, datetime.date),
    (dt.Time, datetime.time),
    (dt.JSON, Any),
)


@dataclass(frozen=True)
class Form:
    """What an answer has to be.

    Parameters
    ----------
    name
        How models and errors call it.
    schema
        Its JSON schema.
    read
        Turns the text of an answer into plain Python; raises `pydantic.ValidationError`.
    """

    name: str
    schema: Mapping[str, Any]
    read: Callable[[str], Any]

    def found_in(self, text: str) -> Any:
        """Return the answer in what a model said, which may be more.

        Raises
        ------
        ValueError
            When nothing in it fits: what is wrong with what comes first.
        """
        first: ValueError | None = None
        for candidate in candidates(text):
            try:
                return self.read(candidate)
            except ValueError as error:  # pydantic's errors are ValueErrors
                first = first or error
        raise first or ValueError("there is no JSON in it")


# -- Naming a form in a stored call ---------------------------------------------------------------

_KNOWN: dict[tuple[str, str], type] = {}


def is_form(value: Any) -> bool:
    """Whether a value is a class that says what an answer has to be."""
    return inspect.isclass(value) and types.fields_of(value) is not None


def stored_form(schema: Any) -> dict[str, Any]:
    """Return what a stored call says of a form.

    Parameters
    ----------
    schema
        A pydantic model, dataclass or TypedDict; or a mapping of names to types.

    Raises
    ------
    ExpressionError
        When it is neither.

    Examples
    --------
    >>> stored_form({"name": str, "age": int})
    {'record': 'struct<name: string, age: int64>'}
    """
    if typing.is_typeddict(schema):
        # pydantic does not take those of the standard library before Python 3.12.
        schema = types.fields_of(schema)
    if isinstance(schema, Mapping):
        if is_stored(schema):
            return dict(schema)
        kind = dt.Struct(dict(types.schema(schema).items()))
        _model(kind, "Record")  # says what no model can answer
        return {"record": str(kind)}
    if not is_form(schema):
        raise ExpressionError(
            "a schema is a pydantic model, a dataclass, or a mapping of names to types.",
            value=schema,
            hint='For example {"name": str, "total": float}.',
        )
    _check(schema)
    name = f"{schema.__module__}.{schema.__qualname__}"
    mark = _mark(schema)
    _KNOWN[name, mark] = schema
    return {"class": name, "is": mark}


def is_stored(schema: Any) -> bool:
    """Whether this is what a stored call says of a form, and no mapping of names to types.

    Examples
    --------
    >>> is_stored({"class": "films.Film", "is": "0123456789abcdef"}), is_stored({"class": str})
    (True, False)
    """
    if not isinstance(schema, Mapping) or not all(isinstance(x, str) for x in schema.values()):
        return False
    if set(schema) == {"record"}:
        return schema["record"].lstrip("!").startswith("struct<")
    return set(schema) == {"class", "is"} and re.fullmatch(_MARK, schema["is"]) is not None


def _check(cls: type) -> None:
    """Refuse a class of which there is no JSON schema."""
    import pydantic

    from barbule.values.cells import holds_media

    if holds_media(types.dtype(cls)):  # which says what a column cannot hold
        raise _unanswerable(cls, "it holds files")
    try:
        _adapter(cls).json_schema()
    except pydantic.errors.PydanticUserError as error:
        raise _unanswerable(cls, str(error).splitlines()[0].rstrip(".")) from error


def _unanswerable(cls: type, reason: str) -> ExpressionError:
    return ExpressionError(
        f"a model cannot be asked for a {cls.__name__}: {reason}.",
        value=cls,
        hint="Use texts, numbers, bools, dates, lists, and classes of these.",
    )


def dtype_of(stored: Mapping[str, Any]) -> dt.DataType:
    """Return the type of a column of answers in a form."""
    if "record" in stored:
        return dt.dtype(stored["record"])
    return types.dtype(_class_of(stored["class"], stored["is"]))


def form_of(stored: Mapping[str, Any]) -> Form:
    """Return the form that a stored call names.

    Raises
    ------
    UnknownFunctionError
        When this process does not define its class, or defines it otherwise.
    """
    if "record" in stored:
        return _record_form(stored["record"])
    return class_form(_class_of(stored["class"], stored["is"]))


def _class_of(name: str, mark: str) -> type:
    if (name, mark) in _KNOWN:
        return _KNOWN[name, mark]
    found = _defined(name)
    short = name.rpartition(".")[2]
    if found is None:
        interactive = name.partition(".")[0] in MAIN
        do = "Run its cell, the one" if interactive else "Import the module"
        raise UnknownFunctionError(
            f"the class {name!r} is not defined in this process.",
            hint=f"{do} that defines {short!r} first; what was computed before can be read all "
            "the same.",
        )
    if _mark(found) != mark:
        raise UnknownFunctionError(
            f"the class {name!r} is not what it was when the column was added.",
            hint="Add the column again, with if_exists='replace'.",
        )
    _KNOWN[name, mark] = found
    return found


def _defined(name: str) -> type | None:
    """Find a class in the modules that are imported already; none is imported for it."""
    parts = name.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        found: Any = sys.modules.get(".".join(parts[:cut]))
        for part in parts[cut:]:
            found = getattr(found, part, None)
        if is_form(found):
            return found
    return None


_MARK = "[0-9a-f]{16}"


def _mark(cls: type) -> str:
    text = json.dumps(_adapter(cls).json_schema(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# -- Reading an answer ----------------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def _adapter(cls: Any) -> pydantic.TypeAdapter[Any]:
    import pydantic

    return pydantic.TypeAdapter(cls)


@functools.lru_cache(maxsize=256)
def class_form(cls: Any) -> Form:
    """Return the form of answers that fit a class."""
    adapter = _adapter(cls)

    def read(text: str) -> Any:
        return _plain(adapter.validate_json(text))

    return Form(cls.__name__, _strict(adapter.json_schema()), read)


def _plain(value: Any) -> Any:
    """Turn what pydantic has checked into plain Python: the fields, and nothing besides."""
    import pydantic_core

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
    return pydantic_core.to_jsonable_python(value)


@functools.lru_cache(maxsize=256)
def _record_form(record: str) -> Form:
    return dataclasses.replace(class_form(_model(dt.dtype(record), "Record")), name="Record")


def _model(kind: dt.DataType, name: str) -> Any:
    """Return the Python type that pydantic checks for a data type; records become models."""
    import pydantic

    if isinstance(kind, dt.Struct):
        fields = {each: (_model(inner, each) | None, ...) for each, inner in kind.fields.items()}
        return pydantic.create_model(name, **fields)  # type: ignore[call-overload]
    if isinstance(kind, dt.Array):
        inner: Any = _model(kind.value_type, name)
        return list[inner]
    for each, python in _PYTHON:
        if isinstance(kind, each) and not isinstance(kind, types.Media):
            return python
    raise ExpressionError(
        f"a model cannot answer a {kind}.", hint="Use texts, numbers, bools, dates and lists."
    )


@functools.lru_cache(maxsize=256)
def choice_form(labels: tuple[str, ...], *, several: bool = False) -> Form:
    """Return the form of an answer that is one of some labels, or several of them."""
    import pydantic

    label: Any = typing.Literal[labels]
    kind: Any = list[label] if several else label
    cls = pydantic.create_model("Choice", answer=(kind, ...))
    return class_form(cls)


def _strict(schema: Any) -> Any:
    """Return a JSON schema whose objects name all of their fields, as strict providers demand."""
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


def is_strict(schema: Any) -> bool:
    """Whether all objects of a schema have named fields only."""
    if isinstance(schema, list):
        return all(map(is_strict, schema))
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        return False
    return all(map(is_strict, schema.values()))
