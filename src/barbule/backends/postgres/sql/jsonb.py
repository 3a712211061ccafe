# ruff: noqa: N802 - Ibis finds these methods by the names of its operations
"""Operations on values that Postgres stores as `jsonb`: structs, maps and JSON.

Postgres has no structs and no arrays of arrays: a struct, map or JSON value is a `jsonb`, an array
of arrays is a `jsonb[]`. Owns the conversions between values and `jsonb`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ClassVar

import ibis.common.exceptions as com
import ibis.expr.datatypes as dt
import sqlglot as sg
import sqlglot.expressions as sge
from ibis.backends.sql.compilers.base import NULL

from barbule.backends.postgres.sql.literals import is_jsonb, value_text
from barbule.backends.postgres.sql.operations import PlainOperations
from barbule.backends.postgres.sql.templates import fill_template

if TYPE_CHECKING:
    from collections.abc import Sequence

    import ibis.expr.operations as ops

__all__ = ["JsonbOperations"]

_JSONB = sge.DataType(this=sge.DataType.Type.JSONB)
_MAX_ARGUMENTS = 100  # of a function
_SIGN = r"^\s*[+-]?"
# Patterns of strings that are numbers for certain, by the type of a cast.
_NUMBER_PATTERNS = {
    dt.Int64: _SIGN + r"\d{1,18}\s*$",
    dt.Int32: _SIGN + r"\d{1,9}\s*$",
    dt.Floating: _SIGN + r"((\d{1,30}(\.\d*)?|\.\d+)([eE][+-]?[0-7])?|[iI]nf|[nN]a[nN])\s*$",
}


class JsonbOperations(PlainOperations):
    """Ibis' compiler, with structs, maps and JSON as `jsonb`."""

    __slots__ = ()
    SIMPLE_OPS: ClassVar[dict[Any, str]] = {}  # those of the base class are inherited as methods
    UNSUPPORTED_OPS = ()

    # Conversions

    def _to_jsonb(self, dtype: dt.DataType, value: sge.Expression) -> sge.Expression:
        """Convert a value to `jsonb`."""
        if is_jsonb(dtype):
            return value
        # A string literal has no type yet.
        return self.f.to_jsonb(self.cast(value, dtype) if dtype.is_string() else value)

    def _from_jsonb(self, dtype: dt.DataType, value: sge.Expression) -> sge.Expression:
        """Convert a `jsonb` to a value of a type."""
        if is_jsonb(dtype):
            return self.f.nullif(value, sge.Cast(this=sge.convert("null"), to=_JSONB.copy()))
        if not isinstance(dtype, dt.Array):
            text = fill_template(
                "JSONB_EXTRACT_PATH_TEXT(:value, VARIADIC ARRAY[]::TEXT[])", value=value
            )
            return self.cast(text, dtype)
        # An array in an array stays a `jsonb`.
        value_type = dt.json if isinstance(dtype.value_type, dt.Array) else dtype.value_type
        element = self._from_jsonb(value_type, sg.column("_bb_e"))
        return fill_template(
            "CASE WHEN JSONB_TYPEOF(:value) = 'array' THEN "
            "ARRAY(SELECT :element FROM JSONB_ARRAY_ELEMENTS(:value) "
            "WITH ORDINALITY AS _bb_a(_bb_e, _bb_i) ORDER BY _bb_i) END",
            value=value,
            element=element,
        )

    def _to_element(self, dtype: dt.DataType, value: sge.Expression) -> sge.Expression:
        """Convert a value to an element of an array."""
        return self.f.to_jsonb(value) if isinstance(dtype, dt.Array) else value

    def _from_element(self, dtype: dt.DataType, value: sge.Expression) -> sge.Expression:
        """Convert an element of an array to a value."""
        return self._from_jsonb(dtype, value) if isinstance(dtype, dt.Array) else value

    def visit_NonNullLiteral(
        self, op: ops.Literal, *, value: Any, dtype: dt.DataType
    ) -> sge.Expression:
        """Write a constant."""
        if is_jsonb(dtype) or isinstance(dtype, dt.Array | dt.Date | dt.Time | dt.Binary):
            return self.cast(value_text(value, dtype), dtype)
        return super().visit_NonNullLiteral(op, value=value, dtype=dtype)

    def visit_Cast(self, op: ops.Cast, *, arg: sge.Expression, to: dt.DataType) -> sge.Expression:
        """Cast a value."""
        source = op.arg.dtype
        from_json = is_jsonb(source)
        to_json = is_jsonb(to)
        if from_json and to_json:
            return arg
        if from_json and isinstance(to, dt.Array):
            return self._from_jsonb(to, arg)
        if isinstance(source, dt.Array) and to_json:
            return self.f.to_jsonb(arg)
        if isinstance(source, dt.Numeric) and isinstance(to, dt.JSON):
            return self.f.to_jsonb(arg)
        if isinstance(source, dt.Array) and isinstance(to, dt.Array):
            nested = (isinstance(dtype.value_type, dt.Array) for dtype in (source, to))
            return arg if all(nested) else self.cast(arg, to)
        return super().visit_Cast(op, arg=arg, to=to)

    def visit_TryCast(
        self, op: ops.TryCast, *, arg: sge.Expression, to: dt.DataType
    ) -> sge.Expression:
        """Cast strings that look like numbers, and values whose cast cannot fail."""
        source = op.arg.dtype
        if to.is_string() or (source.castable(to) and not source.is_string()):
            return self.visit_Cast(op, arg=arg, to=to)
        if isinstance(source, dt.Numeric) and isinstance(to, dt.Integer):
            low, high = to.bounds
            rounded = self.f.round(arg)
            fits = sge.Between(this=rounded, low=sge.convert(low), high=sge.convert(high))
            return self.if_(fits, self.visit_Cast(op, arg=arg.copy(), to=to), NULL)
        patterns = (pattern for dtype, pattern in _NUMBER_PATTERNS.items() if isinstance(to, dtype))
        pattern = next(patterns, None)
        if not source.is_string() or pattern is None:
            raise com.UnsupportedOperationError(f"try_cast() of {source} to {to}")
        fits = sge.RegexpLike(this=arg, expression=sge.convert(pattern))
        return self.if_(fits, self.cast(arg, to), NULL)

    # Structs

    def visit_StructField(
        self, op: ops.StructField, *, arg: sge.Expression, field: str
    ) -> sge.Expression:
        """Return a field of a struct."""
        name = sge.convert(field)
        if is_jsonb(op.dtype) or isinstance(op.dtype, dt.Array):
            return self._from_jsonb(op.dtype, self.f.jsonb_extract_path(arg, name))
        return self.cast(self.f.jsonb_extract_path_text(arg, name), op.dtype)

    def visit_StructColumn(
        self, op: ops.StructColumn, *, names: Sequence[str], values: Sequence[sge.Expression]
    ) -> sge.Expression:
        """Build a struct."""
        pairs = [
            part
            for name, value, node in zip(names, values, op.values, strict=True)
            for part in (sge.convert(name), self._to_jsonb(node.dtype, value))
        ]
        objects = (
            self.f.jsonb_build_object(*pairs[start : start + _MAX_ARGUMENTS])
            for start in range(0, len(pairs), _MAX_ARGUMENTS)
        )
        return functools.reduce(lambda a, b: sge.DPipe(this=a, expression=b), objects)

    # JSON

    def _json(self, value: sge.Expression) -> sge.Expression:
        # A column of a table that barbule has not created may be `json`.
        return sge.Cast(this=value, to=_JSONB.copy())

    def visit_JSONGetItem(
        self, op: ops.JSONGetItem, *, arg: sge.Expression, index: sge.Expression
    ) -> sge.Expression:
        """Return an item of an object or array; JSON null is missing."""
        container = self._json(arg)
        value = self.f.jsonb_extract_path(container, self.cast(index, dt.string))
        if isinstance(op.index.dtype, dt.Integer):  # which is no key of an object
            is_array = self.f.jsonb_typeof(container.copy()).eq(sge.convert("array"))
            value = self.if_(is_array, value, NULL)
        return self._from_jsonb(op.dtype, value)

    def _json_scalar(
        self,
        op: ops.Unary,
        arg: sge.Expression,
        json_type: str,
        pattern: str = "",
        to: dt.DataType | None = None,
    ) -> sge.Expression:
        """Return a JSON value of a type and a pattern, cast; NULL for others."""
        text = fill_template(
            "JSONB_EXTRACT_PATH_TEXT(:v, VARIADIC ARRAY[]::TEXT[])", v=self._json(arg)
        )
        fits = self.f.jsonb_typeof(self._json(arg)).eq(sge.convert(json_type))
        if pattern:
            fits = sg.and_(fits, sge.RegexpLike(this=text.copy(), expression=sge.convert(pattern)))
        return self.if_(fits, self.cast(text, to or op.dtype), NULL)

    def visit_UnwrapJSONString(
        self, op: ops.UnwrapJSONString, *, arg: sge.Expression
    ) -> sge.Expression:
        """Return a JSON string as a string."""
        return self._json_scalar(op, arg, "string")

    def visit_UnwrapJSONInt64(
        self, op: ops.UnwrapJSONInt64, *, arg: sge.Expression
    ) -> sge.Expression:
        """Return a JSON number as int64; NULL for one that is not."""
        number = self._json_scalar(op, arg, "number", r"^-?\d+$", dt.Decimal(None, None))
        fits = sge.Between(this=number, low=sge.convert(-(2**63)), high=sge.convert(2**63 - 1))
        return self.if_(fits, self.cast(number.copy(), op.dtype), NULL)

    def visit_UnwrapJSONFloat64(
        self, op: ops.UnwrapJSONFloat64, *, arg: sge.Expression
    ) -> sge.Expression:
        """Return a JSON number."""
        return self._json_scalar(op, arg, "number")

    def visit_UnwrapJSONBoolean(
        self, op: ops.UnwrapJSONBoolean, *, arg: sge.Expression
    ) -> sge.Expression:
        """Return a JSON boolean."""
        return self._json_scalar(op, arg, "boolean")

    def visit_ToJSONArray(self, op: ops.ToJSONArray, *, arg: sge.Expression) -> sge.Expression:
        """Return the values of a JSON array."""
        return fill_template(
            "CASE WHEN JSONB_TYPEOF(:v) = 'array' THEN "
            "ARRAY(SELECT :value FROM JSONB_ARRAY_ELEMENTS(:v) AS _bb_a(_bb_e)) END",
            v=self._json(arg),
            value=self._from_jsonb(dt.json, sg.column("_bb_e")),
        )

    def visit_ToJSONMap(self, op: ops.ToJSONMap, *, arg: sge.Expression) -> sge.Expression:
        """Return the values of a JSON object by name."""
        value = self._json(arg)
        return self.if_(self.f.jsonb_typeof(value).eq(sge.convert("object")), value, NULL)

    # Maps

    def visit_Map(
        self, op: ops.Map, *, keys: sge.Expression, values: sge.Expression
    ) -> sge.Expression:
        """Build a map from its keys and values."""
        value = self._to_jsonb(op.dtype.value_type, sg.column("_bb_v"))
        return fill_template(
            "CASE WHEN :k IS NOT NULL AND :v IS NOT NULL THEN "
            "(SELECT COALESCE(JSONB_OBJECT_AGG(_bb_k, :value), '{}'::JSONB) "
            "FROM UNNEST(:k, :v) AS _bb_m(_bb_k, _bb_v)) END",
            k=keys,
            v=values,
            value=value,
        )

    def visit_MapGet(
        self, op: ops.MapGet, *, arg: sge.Expression, key: sge.Expression, default: sge.Expression
    ) -> sge.Expression:
        """Return the value of a key."""
        if op.dtype.is_null():
            return NULL
        value = self._from_jsonb(op.dtype, self.f.jsonb_extract_path(arg, key))
        has_key = self.f.jsonb_contains(arg, key)
        otherwise = self.if_(arg.is_(NULL), NULL, self.cast(default, op.dtype))
        return self.if_(has_key, value, otherwise)

    def visit_MapLength(self, op: ops.MapLength, *, arg: sge.Expression) -> sge.Expression:
        """Count the keys of a map."""
        return self.if_(arg.is_(NULL), NULL, super().visit_MapLength(op, arg=arg))

    def visit_MapValues(self, op: ops.MapValues, *, arg: sge.Expression) -> sge.Expression:
        """Return the values of a map."""
        is_nested = isinstance(op.dtype.value_type, dt.Array)
        value_type = dt.json if is_nested else op.dtype.value_type
        value = self._from_jsonb(value_type, sg.column("_bb_e"))
        return fill_template(
            "CASE WHEN :m IS NOT NULL THEN "
            "ARRAY(SELECT :value FROM JSONB_EACH(:m) AS _bb_a(_bb_k, _bb_e)) END",
            m=arg,
            value=value,
        )
