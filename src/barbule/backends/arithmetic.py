# ruff: noqa: N802 - Ibis finds these methods by the names of its operations
"""Arithmetic in SQL that gives what Python gives.

Owns what compilers of Ibis have in common here: exact literals, remainders and quotients that
are rounded down. In which types numbers are computed is known to `relations.promotion`.
"""

from __future__ import annotations

from typing import Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import sqlglot as sg
import sqlglot.expressions as sge

from barbule.errors import DataError

__all__ = ["PythonArithmetic"]

_ZERO = sge.convert(0)
_SAFE_DIVISOR = 2**62  # twice of it is still an int64


def _check_text(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise DataError(
            "a text holds half of a character, which no database takes.",
            value=value,
            hint="Decode it again, or replace the half: value.encode('utf-8', 'replace').decode().",
        ) from None


class PythonArithmetic:
    """Operations of a compiler of Ibis, whose class comes after this one."""

    __slots__ = ()

    def visit_NonNullLiteral(self, op: Any, *, value: Any, dtype: dt.DataType) -> Any:
        """Write a constant; databases read a bare 0.1 as a decimal, or cut its last digit."""
        if isinstance(dtype, dt.Floating):
            return self.cast(repr(float(value)), dtype)  # type: ignore[attr-defined]
        if isinstance(dtype, dt.String):
            _check_text(value)
        return super().visit_NonNullLiteral(op, value=value, dtype=dtype)  # type: ignore[misc]

    def visit_Modulus(self, op: Any, *, left: Any, right: Any) -> Any:
        """Return the remainder, with the sign of the divisor; databases give the dividend's."""
        remainder = self._remainder(op, left, _divisor(op, right))
        if isinstance(op.dtype, dt.Decimal | dt.UnsignedInteger):
            return remainder
        divisor = op.right.value if isinstance(op.right, ops.Literal) else None
        if isinstance(op.dtype, dt.Integer) and divisor and abs(divisor) < _SAFE_DIVISOR:
            return sge.paren(sge.paren(remainder) + sge.paren(right)) % sge.paren(right.copy())
        turned = sge.paren(remainder.copy()) + sge.paren(right.copy())
        return self._floored(remainder, right, turned, remainder.copy())

    def visit_FloorDivide(self, op: Any, *, left: Any, right: Any) -> Any:
        """Return the quotient, rounded down; that of decimals towards zero, as Python does."""
        divisor = _divisor(op, right)
        if any(isinstance(arg.dtype, dt.Floating) for arg in op.args):
            return super().visit_FloorDivide(op, left=left, right=divisor)  # type: ignore[misc]
        remainder = self._remainder(op, left.copy(), divisor.copy())
        if any(isinstance(arg.dtype, dt.Decimal) for arg in op.args):
            exact = sge.paren(left) - sge.paren(remainder)
            return self.cast(sge.paren(exact) / sge.paren(divisor), op.dtype)  # type: ignore[attr-defined]
        quotient = self._quotient(op, left, divisor)
        if isinstance(op.dtype, dt.UnsignedInteger):
            return quotient
        lower = sge.paren(quotient.copy()) - sge.convert(1)
        return self._floored(remainder, right, lower, quotient)

    def visit_ExtractEpochSeconds(self, op: Any, *, arg: Any) -> Any:
        """Count whole seconds since 1970."""
        seconds = super().visit_ExtractEpochSeconds(op, arg=arg)  # type: ignore[misc]
        return self.cast(self.f.floor(seconds), dt.int64)  # type: ignore[attr-defined]

    def visit_Cast(self, op: Any, *, arg: Any, to: dt.DataType) -> Any:
        """Change the type of a value; a duration is counted in microseconds."""
        kind = op.arg.dtype
        if isinstance(kind, dt.Interval) and isinstance(to, dt.Interval):
            return arg
        if isinstance(kind, dt.Interval) and isinstance(to, dt.Integer):
            return self._microseconds(arg)
        if isinstance(kind, dt.Integer) and isinstance(to, dt.Interval) and to.unit.short == "us":
            return self._duration(arg)
        return super().visit_Cast(op, arg=arg, to=to)  # type: ignore[misc]

    def _microseconds(self, duration: Any) -> Any:
        """Count the microseconds of a duration."""
        raise NotImplementedError

    def _duration(self, microseconds: Any) -> Any:
        """Make a duration of microseconds."""
        raise NotImplementedError

    def visit_BitwiseLeftShift(self, op: Any, *, left: Any, right: Any) -> Any:
        """Shift to the left: what does not fit is an error, negative numbers stay negative."""
        one = self.cast(sge.convert(1), dt.int64)  # type: ignore[attr-defined]
        power = sge.BitwiseLeftShift(this=one, expression=sge.paren(right))
        return sge.paren(left) * sge.paren(power)

    def visit_Correlation(self, op: Any, *, how: str, **parts: Any) -> Any:
        """Correlate; whether of a sample or of all, it is the same number."""
        return super().visit_Correlation(op, how="pop", **parts)  # type: ignore[misc]

    def _remainder(self, op: Any, left: Any, right: Any) -> Any:
        """Return the remainder as the database has it, with the sign of the dividend."""
        return sge.paren(left) % sge.paren(right)

    def _quotient(self, op: Any, left: Any, right: Any) -> Any:
        """Divide whole numbers, rounded towards zero."""
        raise NotImplementedError

    def _floored(self, remainder: Any, divisor: Any, differ: Any, alike: Any) -> Any:
        """Choose by whether a remainder and its divisor have different signs."""
        part = sge.paren(remainder.copy())
        signs = sge.paren(part.copy() < _ZERO).neq(sge.paren(sge.paren(divisor.copy()) < _ZERO))
        return self.if_(sg.and_(part.neq(_ZERO), signs), differ, alike)  # type: ignore[attr-defined]


def _divisor(op: Any, right: Any) -> Any:
    """Return what is divided by; nothing is divided by zero."""
    if isinstance(op.right, ops.Literal) and op.right.value:
        return right.copy()
    return sge.Nullif(this=right.copy(), expression=_ZERO.copy())
