# ruff: noqa: N802 - Ibis finds these methods by the names of its operations
"""Operations on strings whose SQL differs from that of Ibis' compiler."""

from __future__ import annotations

from typing import Any, ClassVar

import ibis.backends.sql.compilers as sc
import ibis.common.exceptions as com
import ibis.expr.operations as ops
import sqlglot.expressions as sge
from ibis.backends.sql.compilers.base import NULL

__all__ = ["StringOperations"]

_INT = sge.DataType(this=sge.DataType.Type.INT)
_MAX_TEXT_LENGTH = 2**30  # characters
_DIGESTS = {"sha224", "sha256", "sha384", "sha512"}


class StringOperations(sc.postgres.PostgresCompiler):
    """Ibis' compiler, with operations on strings as DuckDB computes them."""

    __slots__ = ()
    SIMPLE_OPS: ClassVar[dict[Any, str]] = {}  # those of the base class are inherited as methods
    UNSUPPORTED_OPS = ()

    def visit_Repeat(
        self, op: ops.Repeat, *, arg: sge.Expression, times: sge.Expression
    ) -> sge.Expression:
        """Repeat a string; the count is an int32 in Postgres."""
        return self.f.repeat(arg, self._to_int32(op.times, times))

    def visit_Substring(
        self,
        op: ops.Substring,
        *,
        arg: sge.Expression,
        start: sge.Expression,
        length: sge.Expression,
    ) -> sge.Expression:
        """Return a part of a string; positions are int32 in Postgres."""
        width = None if length is None else self._to_int32(op.length, length)
        position = self._to_int32(op.start, start)
        return super().visit_Substring(op, arg=arg, start=position, length=width)

    def _to_int32(self, node: ops.Value, number: sge.Expression) -> sge.Expression:
        if isinstance(node, ops.Literal):
            return number if node.value <= _MAX_TEXT_LENGTH else sge.convert(_MAX_TEXT_LENGTH)
        bounded = self.f.least(self.f.greatest(number, -_MAX_TEXT_LENGTH), _MAX_TEXT_LENGTH)
        return sge.Cast(this=bounded, to=_INT.copy())

    def visit_HexDigest(
        self, op: ops.HexDigest, *, arg: sge.Expression, how: str
    ) -> sge.Expression:
        """Return the digest of a string or of bytes."""
        if how == "md5":
            return self.f.anon.md5(arg)
        if how not in _DIGESTS:
            raise com.UnsupportedOperationError(f"hexdigest() by {how}")
        content = self.f.anon.convert_to(arg, "UTF8") if op.arg.dtype.is_string() else arg
        return self.f.encode(self.f.anon[how](content), "hex")

    def visit_StringSQLLike(
        self,
        op: ops.StringSQLLike,
        *,
        arg: sge.Expression,
        pattern: sge.Expression,
        escape: sge.Expression,
    ) -> sge.Expression:
        """Match a pattern, in which a backslash is an ordinary character."""
        sign = sge.convert("") if escape is None else escape
        return sge.Escape(this=arg.like(pattern), expression=sign)

    def visit_StringSQLILike(
        self,
        op: ops.StringSQLILike,
        *,
        arg: sge.Expression,
        pattern: sge.Expression,
        escape: sge.Expression,
    ) -> sge.Expression:
        """Match a pattern, in upper or lower case."""
        sign = sge.convert("") if escape is None else escape
        return sge.Escape(this=arg.ilike(pattern), expression=sign)

    def visit_StringSplit(
        self, op: ops.StringSplit, *, arg: sge.Expression, delimiter: sge.Expression
    ) -> sge.Expression:
        """Split a string; an empty one has one empty part."""
        parts = self.f.anon.string_to_array(arg, delimiter)
        return self.if_(arg.eq(sge.convert("")), self.f.array(sge.convert("")), parts)

    def visit_FindInSet(
        self, op: ops.FindInSet, *, needle: sge.Expression, values: sge.Expression
    ) -> sge.Expression:
        """Find a string among others; a missing one is not found."""
        position = super().visit_FindInSet(op, needle=needle, values=values)
        return self.if_(needle.is_(NULL), NULL, position)
