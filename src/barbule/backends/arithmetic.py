# ruff: noqa: N802 - Ibis finds these methods by the names of its operations
"""Arithmetic in SQL with the results of Python.

Owns the common parts of both compilers: exact literals, and remainders and quotients that are
rounded down. `relations.promotion` decides the types of results.
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
_MAX_DIVISOR = 2**62  # its sum with a remainder is still an int64


def _check_encodable(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise DataError(
            "a string holds half of a surrogate pair, which no database can store.",
            value=value,
            hint="Decode the source again, or replace the invalid character:  "
            "value.encode('utf-8', 'replace').decode().",
        ) from None


class PythonArithmetic:
    """Operations of a compiler, mixed in before the class of Ibis' compiler."""

    __slots__ = ()

    def visit_NonNullLiteral(
        self, op: ops.Literal, *, value: Any, dtype: dt.DataType
    ) -> sge.Expression:
        """Write a literal; databases read a bare 0.1 as a decimal, or cut its last digit."""
        if isinstance(dtype, dt.Floating):
            return self.cast(repr(float(value)), dtype)  # type: ignore[attr-defined]
        if isinstance(dtype, dt.String):
            _check_encodable(value)
        return super().visit_NonNullLiteral(op, value=value, dtype=dtype)  # type: ignore[misc]

    def visit_Modulus(
        self, op: ops.Modulus, *, left: sge.Expression, right: sge.Expression
    ) -> sge.Expression:
        """Return the remainder, with the sign of the divisor; databases use the dividend's."""
        remainder = self._remainder(op, left, _divisor(op, right))
        if isinstance(op.dtype, dt.Decimal | dt.UnsignedInteger):
            return remainder
        divisor = op.right.value if isinstance(op.right, ops.Literal) else None
        if isinstance(op.dtype, dt.Integer) and divisor and abs(divisor) < _MAX_DIVISOR:
            return sge.paren(sge.paren(remainder) + sge.paren(right)) % sge.paren(right.copy())
        shifted = sge.paren(remainder.copy()) + sge.paren(right.copy())
        return self._floored(remainder, right, shifted, remainder.copy())

    def visit_FloorDivide(
        self, op: ops.FloorDivide, *, left: sge.Expression, right: sge.Expression
    ) -> sge.Expression:
        """Return the quotient, rounded down; of decimals towards zero, as Python does."""
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

    def visit_ExtractEpochSeconds(
        self, op: ops.ExtractEpochSeconds, *, arg: sge.Expression
    ) -> sge.Expression:
        """Count complete seconds since 1970."""
        seconds = super().visit_ExtractEpochSeconds(op, arg=arg)  # type: ignore[misc]
        return self.cast(self.f.floor(seconds), dt.int64)  # type: ignore[attr-defined]

    def visit_Cast(self, op: ops.Cast, *, arg: sge.Expression, to: dt.DataType) -> sge.Expression:
        """Cast a value; the number of a duration is its microseconds."""
        source = op.arg.dtype
        if isinstance(source, dt.Interval) and isinstance(to, dt.Interval):
            return arg
        if isinstance(source, dt.Interval) and isinstance(to, dt.Integer):
            return self._microseconds(arg)
        if isinstance(source, dt.Integer) and isinstance(to, dt.Interval) and to.unit.short == "us":
            return self._duration(arg)
        return super().visit_Cast(op, arg=arg, to=to)  # type: ignore[misc]

    def _microseconds(self, duration: sge.Expression) -> sge.Expression:
        """Count the microseconds of a duration."""
        raise NotImplementedError

    def _duration(self, microseconds: sge.Expression) -> sge.Expression:
        """Return a duration of microseconds."""
        raise NotImplementedError

    def visit_BitwiseLeftShift(
        self, op: ops.BitwiseLeftShift, *, left: sge.Expression, right: sge.Expression
    ) -> sge.Expression:
        """Shift to the left: an overflow is an error, negative numbers stay negative."""
        one = self.cast(sge.convert(1), dt.int64)  # type: ignore[attr-defined]
        power = sge.BitwiseLeftShift(this=one, expression=sge.paren(right))
        return sge.paren(left) * sge.paren(power)

    def visit_Correlation(self, op: ops.Correlation, *, how: str, **parts: Any) -> sge.Expression:
        """Correlate; of a sample and of a population it is the same number."""
        return super().visit_Correlation(op, how="pop", **parts)  # type: ignore[misc]

    def _remainder(
        self, op: ops.Value, left: sge.Expression, right: sge.Expression
    ) -> sge.Expression:
        """Return the remainder as the database computes it, with the sign of the dividend."""
        return sge.paren(left) % sge.paren(right)

    def _quotient(
        self, op: ops.Value, left: sge.Expression, right: sge.Expression
    ) -> sge.Expression:
        """Divide integers, rounded towards zero."""
        raise NotImplementedError

    def _floored(
        self,
        remainder: sge.Expression,
        divisor: sge.Expression,
        different: sge.Expression,
        equal: sge.Expression,
    ) -> sge.Expression:
        """Choose by whether a remainder and its divisor have different signs."""
        part = sge.paren(remainder.copy())
        signs = sge.paren(part.copy() < _ZERO).neq(sge.paren(sge.paren(divisor.copy()) < _ZERO))
        return self.if_(sg.and_(part.neq(_ZERO), signs), different, equal)  # type: ignore[attr-defined]


def _divisor(op: ops.Value, right: sge.Expression) -> sge.Expression:
    """Return the divisor, NULL instead of zero."""
    if isinstance(op.right, ops.Literal) and op.right.value:
        return right.copy()
    return sge.Nullif(this=right.copy(), expression=_ZERO.copy())
