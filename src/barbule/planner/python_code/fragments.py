"""Pieces of Python that know how tightly their parts are bound.

Owns where brackets are needed, and how what is no expression is written.
"""

from __future__ import annotations

from typing import Any, Self

import ibis.expr.datatypes as dt
import ibis.expr.types as ir

__all__ = ["ATOM", "Code", "attribute", "cut", "plain"]

ATOM, POWER, UNARY, TIMES, PLUS, SHIFT, AND, XOR, OR, COMPARED = range(9, -1, -1)
LONGEST = 200  # characters of a literal


class Code(str):
    """A piece of Python, and how tightly its parts are bound."""

    __slots__ = ("level",)

    level: int

    def __new__(cls, text: str, level: int = ATOM) -> Self:
        """Make a piece of code of the level of its outermost operation."""
        made = super().__new__(cls, text)
        made.level = level
        return made

    def within(self, level: int) -> str:
        """Return it with brackets where it stands beside something that binds more tightly."""
        return str(self) if self.level >= level else f"({self})"


def plain(value: Any) -> str:
    """Write an argument: code as it is, what is no node as Python has it."""
    if isinstance(value, Code):
        return str(value)
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(plain, value))}]"
    if isinstance(value, dt.DataType):
        return repr(str(value))
    if hasattr(value, "short"):  # units of time
        return repr(value.short)
    return repr(value)


def attribute(of: str, name: str) -> Code:
    """Write a column, or a field, by its name."""
    plain = name.isidentifier() and not hasattr(ir.Table, name)
    return Code(f"{of}.{name}" if plain else f"{of}[{name!r}]")


def cut(text: str) -> str:
    """Leave out the middle of a long constant."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}…{text[-10:]}"
