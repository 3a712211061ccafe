"""Templates with placeholders, as for `str.format`.

Owns which placeholders are allowed, and the check of a template before there is a row to fill it.
"""

from __future__ import annotations

import datetime
import decimal
import functools
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from barbule.errors import ExpressionError
from barbule.functions.language_models.message_content import text_of

__all__ = ["check", "fill"]

_MAX_WIDTH = 1000  # characters, or digits: templates may be data, and a placeholder is short
_DIGITS = re.compile(r"\d+")
_WIDTH_HINT = "Give a smaller width or precision."
_BRACES_HINT = "Double braces that are not placeholders: {{ and }}."


@dataclass(frozen=True)
class _Field:
    """A placeholder: the name of its value, a path within it, and its format."""

    name: str
    path: str
    conversion: str
    spec: str

    def __str__(self) -> str:
        conversion = f"!{self.conversion}" if self.conversion else ""
        spec = f":{self.spec}" if self.spec else ""
        return f"{{{self.name}{self.path}{conversion}{spec}}}"

    @property
    def attribute(self) -> str | None:
        """The first attribute on its path; None if it reads none."""
        outside = re.split(r"\[[^\[\]]*\]", self.path)
        return next((part.split(".")[1] for part in outside if "." in part), None)

    @property
    def is_plain(self) -> bool:
        """Whether it takes the text of a value unchanged."""
        return not (self.path or self.conversion or self.spec)


@functools.lru_cache(maxsize=1024)
def _fields(template: str) -> tuple[_Field, ...]:
    fields: list[_Field] = []
    count = 0
    for _, expression, spec, conversion in string.Formatter().parse(template):
        if expression is None:
            continue
        positions = (position for position in map(expression.find, ".[") if position >= 0)
        end = min(positions, default=len(expression))
        name, path = expression[:end], expression[end:]
        if not name:
            name, count = str(count), count + 1
        fields.append(_Field(name, path, conversion or "", spec or ""))
        fields += _fields(spec or "")  # a width may be a field too
    return tuple(fields)


def check(template: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Refuse a template that these values, possibly columns, cannot fill.

    Raises
    ------
    ExpressionError
        It names the placeholder.
    """
    try:
        fields = _fields(template)
    except ValueError as error:
        raise _refused(template, f"the template is invalid: {error}", _BRACES_HINT) from error
    values = {**{str(position): value for position, value in enumerate(args)}, **kwargs}
    for field in fields:
        if field.name not in values:
            names = ", ".join(values) or "none"
            reason = f"the placeholder {field} has no value; values are given for {names}"
            raise _refused(template, reason, f"Give one. {_BRACES_HINT}")
        if (attribute := field.attribute) is not None:
            hint = f"Write a field of a struct as {{{field.name}[{attribute}]}}."
            raise _refused(template, f"the placeholder {field} reads an attribute", hint)
        if _is_wide(field.spec):
            raise _refused(
                template, f"the placeholder {field} is wider than {_MAX_WIDTH}", _WIDTH_HINT
            )
        value = values[field.name]
        if not field.path and "{" not in field.spec and isinstance(value, ir.Value):
            _check_spec(template, field, value.type())


def _is_wide(spec: str) -> bool:
    """Whether a format has a width or a precision that is refused."""
    max_digits = len(str(_MAX_WIDTH))
    numbers = (match[0].lstrip("0") for match in _DIGITS.finditer(spec))
    return any(len(digits) > max_digits or int(digits or 0) > _MAX_WIDTH for digits in numbers)


def _refused(template: str, reason: str, hint: str) -> ExpressionError:
    return ExpressionError(f"string.format: {reason}.", value=template, hint=hint)


_SAMPLES: tuple[tuple[type[dt.DataType], Any], ...] = (
    (dt.Boolean, True),
    (dt.Integer, 1),
    (dt.Floating, 1.5),
    (dt.Decimal, decimal.Decimal("1.5")),
    (dt.JSON, None),  # which may be anything
    (dt.String, "a"),
    (dt.Timestamp, datetime.datetime(2026, 1, 31, tzinfo=datetime.UTC)),
    (dt.Date, datetime.date(2026, 1, 31)),
    (dt.Time, datetime.time()),
    (dt.Array, []),
    (dt.Struct, {}),
)


def _check_spec(template: str, field: _Field, dtype: dt.DataType) -> None:
    """Try the format of a placeholder on a value of the column's type."""
    sample = next((value for kind, value in _SAMPLES if isinstance(dtype, kind)), None)
    if sample is None or field.is_plain:
        return
    try:
        string.Formatter().vformat(str(replace(field, name="value")), (), {"value": sample})
    except (ValueError, TypeError) as error:
        reason = f"the placeholder {field} is filled with {dtype}: {error}"
        raise _refused(template, reason, "Cast the column, or remove the format.") from error


class _MissingError(Exception):
    """The value of a placeholder is missing."""


class _PromptFormatter(string.Formatter):
    """Writes values as text for prompts, if the template has no format for them."""

    def convert_field(self, value: object, conversion: str | None) -> object:
        if value is None:
            raise _MissingError
        return super().convert_field(value, conversion)

    def format_field(self, value: object, format_spec: str) -> str:
        if _is_wide(format_spec):  # by a value of the row
            raise _refused(format_spec, f"a placeholder is wider than {_MAX_WIDTH}", _WIDTH_HINT)
        return format(value, format_spec) if format_spec else text_of(value)


_FORMATTER = _PromptFormatter()


def fill(template: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    """Fill a template; a missing value returns a missing result."""
    if None in args or None in kwargs.values():
        return None
    check(template, args, kwargs)
    if all(field.is_plain for field in _fields(template)):  # many times faster
        texts = {name: text_of(value) for name, value in kwargs.items()}
        return template.format(*map(text_of, args), **texts)
    try:
        return _FORMATTER.vformat(template, args, kwargs)
    except _MissingError:
        return None
