"""Pieces of Python code with the precedence of their operators.

Owns the placement of brackets, and how values that are not expressions are written.
"""

from __future__ import annotations

from typing import Self

import ibis.expr.datatypes as dt
import ibis.expr.types as ir

__all__ = ["ATOM", "Code", "attribute", "plain", "shortened"]

ATOM, POWER, UNARY, TIMES, PLUS, SHIFT, AND, XOR, OR, COMPARED = range(9, -1, -1)
_MAX_CHARACTERS = 200  # of a literal


class Code(str):
    """A piece of Python code, and the precedence of its outermost operator."""

    __slots__ = ("level",)

    level: int

    def __new__(cls, text: str, level: int = ATOM) -> Self:
        """Return a piece of code with the precedence of its outermost operation."""
        code = super().__new__(cls, text)
        code.level = level
        return code

    def bracketed(self, level: int) -> str:
        """Return the code, in brackets if it is the operand of a tighter operator."""
        return str(self) if self.level >= level else f"({self})"


def plain(value: object) -> str:
    """Write an argument: code unchanged, other values as Python literals."""
    if isinstance(value, Code):
        return str(value)
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(plain, value))}]"
    if isinstance(value, dt.DataType):
        return repr(str(value))
    if hasattr(value, "short"):  # units of time
        return repr(value.short)
    return repr(value)


def attribute(owner: str, name: str) -> Code:
    """Write a column, or a field, by its name."""
    dotted = name.isidentifier() and not hasattr(ir.Table, name)
    return Code(f"{owner}.{name}" if dotted else f"{owner}[{name!r}]")


def shortened(text: str) -> str:
    """Shorten a long constant in the middle."""
    if len(text) <= _MAX_CHARACTERS:
        return text
    return f"{text[: _MAX_CHARACTERS // 2]}…{text[-10:]}"
