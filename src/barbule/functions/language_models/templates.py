"""Templates with places, as `str.format` fills them.

Owns what a place may be, and what can be said of a template before there is a row to fill it.
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

_MAX_WIDTH = 1000  # characters, or digits: templates may be data, and a place is a few characters
_DIGITS = re.compile(r"\d+")
_NARROWER = "Give a smaller width or precision."
_BRACES = "Write braces that are no places twice, as {{ and }}."


@dataclass(frozen=True)
class _Place:
    """A place of a template: what fills it, the way into that, and how it is written."""

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
        """The first attribute that it reads, wherever on its way; None where it reads none."""
        outside = re.split(r"\[[^\[\]]*\]", self.path)
        return next((part.split(".")[1] for part in outside if "." in part), None)

    @property
    def plain(self) -> bool:
        """Whether it takes the text of a value as it is."""
        return not (self.path or self.conversion or self.spec)


@functools.lru_cache(maxsize=1024)
def _places(template: str) -> tuple[_Place, ...]:
    places: list[_Place] = []
    counted = 0
    for _, field, spec, conversion in string.Formatter().parse(template):
        if field is None:
            continue
        end = min((at for at in map(field.find, ".[") if at >= 0), default=len(field))
        name, path = field[:end], field[end:]
        if not name:
            name, counted = str(counted), counted + 1
        places.append(_Place(name, path, conversion or "", spec or ""))
        places += _places(spec or "")  # a width may be a place too
    return tuple(places)


def check(template: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Refuse a template that these values cannot fill; they may be columns.

    Raises
    ------
    ExpressionError
        It names the place.
    """
    try:
        places = _places(template)
    except ValueError as error:
        raise _refused(template, f"the template is none: {error}", _BRACES) from error
    given = {**{str(place): value for place, value in enumerate(args)}, **kwargs}
    for place in places:
        if place.name not in given:
            values = ", ".join(given) or "none"
            reason = f"nothing fills the place {place}; values are given for {values}"
            raise _refused(template, reason, f"Give one. {_BRACES}")
        if (field := place.attribute) is not None:
            hint = f"A field of a record is written {{{place.name}[{field}]}}."
            raise _refused(template, f"the place {place} reads an attribute", hint)
        if _is_wide(place.spec):
            raise _refused(template, f"the place {place} is wider than {_MAX_WIDTH}", _NARROWER)
        value = given[place.name]
        if not place.path and "{" not in place.spec and isinstance(value, ir.Value):
            _check_spec(template, place, value.type())


def _is_wide(spec: str) -> bool:
    """Whether a format has a width or a precision that is refused."""
    longest = len(str(_MAX_WIDTH))
    numbers = (found[0].lstrip("0") for found in _DIGITS.finditer(spec))
    return any(len(each) > longest or int(each or 0) > _MAX_WIDTH for each in numbers)


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


def _check_spec(template: str, place: _Place, kind: dt.DataType) -> None:
    """Try how a place is written on a value of the column's type."""
    sample = next((value for each, value in _SAMPLES if isinstance(kind, each)), None)
    if sample is None or place.plain:
        return
    try:
        string.Formatter().vformat(str(replace(place, name="value")), (), {"value": sample})
    except (ValueError, TypeError) as error:
        reason = f"the place {place} is filled with {kind}: {error}"
        raise _refused(template, reason, "Cast the column, or leave the format out.") from error


class _MissingError(Exception):
    """A place is filled with what is missing."""


class _Texts(string.Formatter):
    """Writes values as prompts want them, where the template does not say how."""

    def convert_field(self, value: Any, conversion: Any) -> Any:
        if value is None:
            raise _MissingError
        return super().convert_field(value, conversion)

    def format_field(self, value: Any, format_spec: str) -> Any:
        if _is_wide(format_spec):  # by a value of the row
            raise _refused(format_spec, f"a place is wider than {_MAX_WIDTH}", _NARROWER)
        return format(value, format_spec) if format_spec else text_of(value)


_TEXTS = _Texts()


def fill(template: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    """Fill a template; a missing value gives a missing result."""
    if None in args or None in kwargs.values():
        return None
    check(template, args, kwargs)
    if all(place.plain for place in _places(template)):  # many times faster
        texts = {name: text_of(value) for name, value in kwargs.items()}
        return template.format(*map(text_of, args), **texts)
    try:
        return _TEXTS.vformat(template, args, kwargs)
    except _MissingError:
        return None
