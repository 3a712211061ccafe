# ruff: noqa: N802 - Ibis finds these methods by the names of its operations
"""Ibis expressions as SQL of Postgres, over the forms in which cells are kept.

Owns the operations whose SQL differs from that of Ibis' own compiler.
Postgres has no structs and no arrays of arrays: a struct, map or JSON value is a `jsonb`, an
array whose values are arrays is a `jsonb[]`. A value is decoded where it leaves one of them.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar

import ibis.common.exceptions as com
import ibis.expr.datashape as ds
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import sqlglot as sg
import sqlglot.expressions as sge
from ibis.backends.sql.compilers.base import NULL, SQLGlotCompiler

from barbule.backends.postgres.sql.column_types import PostgresTypes
from barbule.backends.postgres.sql.literals import array_text, cell_text, jsonable
from barbule.backends.postgres.sql.operations import PlainOperations, filled

__all__ = ["COMPILER", "VectorSimilarity"]

_JSONB = sge.DataType(this=sge.DataType.Type.JSONB)
_MOST_ARGUMENTS = 100  # of a function


_SIGN = r"^\s*[+-]?"
# Which texts are numbers for certain, by the type that is asked for.
_NUMBERS = {
    dt.Int64: _SIGN + r"\d{1,18}\s*$",
    dt.Int32: _SIGN + r"\d{1,9}\s*$",
    dt.Floating: _SIGN + r"((\d{1,30}(\.\d*)?|\.\d+)([eE][+-]?[0-7])?|[iI]nf|[nN]a[nN])\s*$",
}


class VectorSimilarity(ops.Value):
    """How similar two vectors are; larger is nearer."""

    left: ops.Value
    right: ops.Value
    metric: str

    dtype = dt.float64
    shape = ds.columnar


_SIMILARITIES = {
    "cosine": "SUM(x::FLOAT8 * y) / NULLIF(SQRT(SUM(x::FLOAT8 * x) * SUM(y::FLOAT8 * y)), 0)",
    "ip": "SUM(x::FLOAT8 * y)",
    "l2": "-SQRT(SUM((x::FLOAT8 - y) * (x::FLOAT8 - y)))",
}
# Unnesting in the select list is 1.5 times faster than in FROM.
_OVER_PAIRS = (
    "SELECT {} FROM (SELECT UNNEST(:a) AS x, UNNEST(:b) AS y) AS _bb_pairs "
    "WHERE :a IS NOT NULL AND :b IS NOT NULL"
)


class PostgresCompiler(PlainOperations):
    """Ibis' compiler, for the forms in which cells are kept here."""

    __slots__ = ()
    type_mapper = PostgresTypes
    SIMPLE_OPS: ClassVar[dict[Any, str]] = {}  # those of the base class are inherited as methods
    UNSUPPORTED_OPS = ()

    def to_sqlglot(self, expr: Any, *, limit: Any = None, params: Any = None) -> sge.Expression:
        """Compile an expression; results keep the forms in which they are."""
        return SQLGlotCompiler.to_sqlglot(self, expr, limit=limit, params=params)

    # Forms

    def _encoded(self, dtype: dt.DataType, value: Any) -> Any:
        """Turn a value into a `jsonb`."""
        if isinstance(dtype, dt.JSON | dt.Struct | dt.Map):
            return value
        # A text written in the statement has no type yet.
        return self.f.to_jsonb(self.cast(value, dtype) if dtype.is_string() else value)

    def _decoded(self, dtype: dt.DataType, value: Any) -> Any:
        """Turn a `jsonb` into a value of a type."""
        if isinstance(dtype, dt.JSON | dt.Struct | dt.Map):
            return self.f.nullif(value, sge.Cast(this=sge.convert("null"), to=_JSONB.copy()))
        if not isinstance(dtype, dt.Array):
            text = filled("JSONB_EXTRACT_PATH_TEXT(:value, VARIADIC ARRAY[]::TEXT[])", value=value)
            return self.cast(text, dtype)
        inside = dtype.value_type
        element = sg.column("_bb_e")
        if isinstance(inside, dt.Array):  # stays a `jsonb` within its array
            element = self._decoded(dt.json, element)
        else:
            element = self._decoded(inside, element)
        return filled(
            "CASE WHEN JSONB_TYPEOF(:value) = 'array' THEN "
            "ARRAY(SELECT :element FROM JSONB_ARRAY_ELEMENTS(:value) "
            "WITH ORDINALITY AS _bb_a(_bb_e, _bb_i) ORDER BY _bb_i) END",
            value=value,
            element=element,
        )

    def _inner(self, dtype: dt.DataType, value: Any) -> Any:
        """Turn a value into the form that it has within an array."""
        return self.f.to_jsonb(value) if isinstance(dtype, dt.Array) else value

    def _outer(self, dtype: dt.DataType, value: Any) -> Any:
        """Turn what was within an array into a value."""
        return self._decoded(dtype, value) if isinstance(dtype, dt.Array) else value

    def visit_NonNullLiteral(self, op: Any, *, value: Any, dtype: dt.DataType) -> Any:
        """Write a constant."""
        if isinstance(dtype, dt.Struct | dt.Map):
            return self.cast(json.dumps(jsonable(value, dtype)), dtype)
        if isinstance(dtype, dt.JSON):
            return self.cast(cell_text(value, dtype), dtype)
        if isinstance(dtype, dt.Array):
            return self.cast(array_text(value, dtype), dtype)
        if isinstance(dtype, dt.Date | dt.Time | dt.Binary):
            return self.cast(cell_text(value), dtype)
        return super().visit_NonNullLiteral(op, value=value, dtype=dtype)

    def visit_Cast(self, op: Any, *, arg: Any, to: dt.DataType) -> Any:
        """Change the type of a value."""
        kind = op.arg.dtype
        from_json = isinstance(kind, dt.JSON | dt.Struct | dt.Map)
        to_json = isinstance(to, dt.JSON | dt.Struct | dt.Map)
        if from_json and to_json:
            return arg
        if from_json and isinstance(to, dt.Array):
            return self._decoded(to, arg)
        if isinstance(kind, dt.Array) and to_json:
            return self.f.to_jsonb(arg)
        if isinstance(kind, dt.Numeric) and isinstance(to, dt.JSON):
            return self.f.to_jsonb(arg)
        if isinstance(kind, dt.Array) and isinstance(to, dt.Array):
            nested = (isinstance(each.value_type, dt.Array) for each in (kind, to))
            return arg if all(nested) else self.cast(arg, to)
        return super().visit_Cast(op, arg=arg, to=to)

    def visit_TryCast(self, op: Any, *, arg: Any, to: dt.DataType) -> Any:
        """Change the type of a text that looks like a number, or where nothing can go wrong."""
        kind = op.arg.dtype
        if to.is_string() or (kind.castable(to) and not kind.is_string()):
            return self.visit_Cast(op, arg=arg, to=to)
        if isinstance(kind, dt.Numeric) and isinstance(to, dt.Integer):
            low, high = to.bounds
            rounded = self.f.round(arg)
            fits = sge.Between(this=rounded, low=sge.convert(low), high=sge.convert(high))
            return self.if_(fits, self.visit_Cast(op, arg=arg.copy(), to=to), NULL)
        pattern = next((found for each, found in _NUMBERS.items() if isinstance(to, each)), None)
        if not kind.is_string() or pattern is None:
            raise com.UnsupportedOperationError(f"try_cast() of {kind} to {to}")
        fits = sge.RegexpLike(this=arg, expression=sge.convert(pattern))
        return self.if_(fits, self.cast(arg, to), NULL)

    # Structs

    def visit_StructField(self, op: Any, *, arg: Any, field: str) -> Any:
        """Take a field of a struct."""
        name = sge.convert(field)
        if isinstance(op.dtype, dt.JSON | dt.Struct | dt.Map | dt.Array):
            return self._decoded(op.dtype, self.f.jsonb_extract_path(arg, name))
        return self.cast(self.f.jsonb_extract_path_text(arg, name), op.dtype)

    def visit_StructColumn(self, op: Any, *, names: Any, values: Any) -> Any:
        """Make a struct."""
        pairs = [
            part
            for name, value, node in zip(names, values, op.values, strict=True)
            for part in (sge.convert(name), self._encoded(node.dtype, value))
        ]
        built = [
            self.f.jsonb_build_object(*pairs[start : start + _MOST_ARGUMENTS])
            for start in range(0, len(pairs), _MOST_ARGUMENTS)
        ]
        whole = built[0]
        for more in built[1:]:
            whole = sge.DPipe(this=whole, expression=more)
        return whole

    # JSON

    def _json(self, value: Any) -> Any:
        # A column of another's table may be `json`.
        return sge.Cast(this=value, to=_JSONB.copy())

    def visit_JSONGetItem(self, op: Any, *, arg: Any, index: Any) -> Any:
        """Take an item of an object or array; JSON's null is missing."""
        whole = self._json(arg)
        item = self.f.jsonb_extract_path(whole, self.cast(index, dt.string))
        if isinstance(op.index.dtype, dt.Integer):  # which is no key of an object
            item = self.if_(self.f.jsonb_typeof(whole.copy()).eq(sge.convert("array")), item, NULL)
        return self._decoded(op.dtype, item)

    def _unwrapped(
        self, op: Any, arg: Any, kind: str, pattern: str = "", to: dt.DataType | None = None
    ) -> Any:
        text = filled("JSONB_EXTRACT_PATH_TEXT(:v, VARIADIC ARRAY[]::TEXT[])", v=self._json(arg))
        fits = self.f.jsonb_typeof(self._json(arg)).eq(sge.convert(kind))
        if pattern:
            fits = sg.and_(fits, sge.RegexpLike(this=text.copy(), expression=sge.convert(pattern)))
        return self.if_(fits, self.cast(text, to or op.dtype), NULL)

    def visit_UnwrapJSONString(self, op: Any, *, arg: Any) -> Any:
        """Return a JSON text as text."""
        return self._unwrapped(op, arg, "string")

    def visit_UnwrapJSONInt64(self, op: Any, *, arg: Any) -> Any:
        """Return a whole JSON number; one that is no int64 is none."""
        number = self._unwrapped(op, arg, "number", r"^-?\d+$", dt.Decimal(None, None))
        fits = sge.Between(this=number, low=sge.convert(-(2**63)), high=sge.convert(2**63 - 1))
        return self.if_(fits, self.cast(number.copy(), op.dtype), NULL)

    def visit_UnwrapJSONFloat64(self, op: Any, *, arg: Any) -> Any:
        """Return a JSON number."""
        return self._unwrapped(op, arg, "number")

    def visit_UnwrapJSONBoolean(self, op: Any, *, arg: Any) -> Any:
        """Return a JSON boolean."""
        return self._unwrapped(op, arg, "boolean")

    def visit_ToJSONArray(self, op: Any, *, arg: Any) -> Any:
        """Return the values of a JSON array."""
        return filled(
            "CASE WHEN JSONB_TYPEOF(:v) = 'array' THEN "
            "ARRAY(SELECT :value FROM JSONB_ARRAY_ELEMENTS(:v) AS _bb_a(_bb_e)) END",
            v=self._json(arg),
            value=self._decoded(dt.json, sg.column("_bb_e")),
        )

    def visit_ToJSONMap(self, op: Any, *, arg: Any) -> Any:
        """Return the values of a JSON object by name."""
        plain = self._json(arg)
        return self.if_(self.f.jsonb_typeof(plain).eq(sge.convert("object")), plain, NULL)

    # Arrays

    def visit_Equals(self, op: Any, *, left: Any, right: Any) -> Any:
        """Compare; arrays of numbers as those of one type."""
        return super().visit_Equals(op, **self._alike(op, left=left, right=right))

    def visit_NotEquals(self, op: Any, *, left: Any, right: Any) -> Any:
        """Compare; arrays of numbers as those of one type."""
        return super().visit_NotEquals(op, **self._alike(op, left=left, right=right))

    def visit_InValues(self, op: Any, *, value: Any, options: Any) -> Any:
        """Look for a value among others; arrays are written as those of its type."""
        kind = op.value.dtype
        if isinstance(kind, dt.Array):
            pairs = zip(op.options, options, strict=True)
            options = tuple(self._array(node, option, kind) for node, option in pairs)
        return super().visit_InValues(op, value=value, options=options)

    def _alike(self, op: Any, **sides: Any) -> dict[str, Any]:
        kinds = [op.left.dtype, op.right.dtype]
        if not all(isinstance(kind, dt.Array) for kind in kinds) or kinds[0] == kinds[1]:
            return sides
        kind = dt.highest_precedence(kinds)
        return {n: self._array(getattr(op, n), value, kind) for n, value in sides.items()}

    def _array(self, node: ops.Value, value: Any, kind: dt.DataType) -> Any:
        """Write an array as one of a type; an empty constant has none that Postgres knows."""
        if isinstance(node, ops.Literal) and node.value is not None:
            return self.cast(array_text(node.value, kind), kind)
        return value if node.dtype == kind else self.cast(value, kind)

    def visit_Array(self, op: Any, *, exprs: Any) -> Any:
        """Make an array."""
        kind = op.dtype.value_type
        return self.cast(self.f.array(*(self._inner(kind, each) for each in exprs)), op.dtype)

    def visit_ArrayIndex(self, op: Any, *, arg: Any, index: Any) -> Any:
        """Take one value of an array."""
        return self._outer(op.dtype, super().visit_ArrayIndex(op, arg=arg, index=index))

    def visit_Argument(self, op: Any, *, name: str, shape: Any, dtype: dt.DataType) -> Any:
        """Name the value that a lambda is given."""
        return self._outer(dtype, super().visit_Argument(op, name=name, shape=shape, dtype=dtype))

    def _each(self, op: Any, arg: Any, value: Any, condition: Any = None) -> Any:
        """Go through an array, the values named as the parameters of a lambda."""
        names = [sg.to_identifier(each.param) for each in (op.param, op.index) if each is not None]
        alias = sge.TableAlias(this=sg.to_identifier("_bb_a"), columns=names)
        rows = sge.Unnest(expressions=[arg], alias=alias, offset=op.index is not None)
        query = sg.select(value).from_(rows)
        if condition is not None:
            query = query.where(condition)
        return self.if_(arg.is_(NULL), NULL, self.f.array(query))

    def visit_ArrayMap(self, op: Any, *, arg: Any, body: Any, param: Any, index: Any) -> Any:
        """Compute each value of an array."""
        return self._each(op, arg, self._inner(op.body.dtype, body))

    def visit_ArrayFilter(self, op: Any, *, arg: Any, body: Any, param: Any, index: Any) -> Any:
        """Keep some values of an array."""
        return self._each(op, arg, sg.column(op.param.param), body)

    def visit_ArrayContains(self, op: Any, *, arg: Any, other: Any) -> Any:
        """Tell whether a value is in an array."""
        # Not @>, which Postgres lacks for arrays of some types.
        found = sge.EQ(this=self._inner(op.other.dtype, other), expression=self.f.anon.any(arg))
        unknown = sg.or_(arg.is_(NULL), other.is_(NULL))
        return self.if_(unknown, NULL, self.f.coalesce(found, sge.false()))

    def visit_ArraySort(self, op: Any, *, arg: Any) -> Any:
        """Sort an array; of Json numbers by their size, then texts, then all that has no order."""
        if not op.dtype.value_type.is_json():
            return super().visit_ArraySort(op, arg=arg)
        return filled(
            "CASE WHEN :arg IS NOT NULL THEN ARRAY(SELECT _bb_e FROM UNNEST(:arg) AS _bb_a(_bb_e) "
            "ORDER BY CASE WHEN JSONB_TYPEOF(:item) = 'number' THEN CAST(:item AS NUMERIC) END "
            "NULLS LAST, CASE WHEN JSONB_TYPEOF(:item) = 'string' "
            "THEN JSONB_EXTRACT_PATH_TEXT(:item, VARIADIC ARRAY[]::TEXT[]) END NULLS LAST, :item "
            "NULLS LAST) END",
            arg=arg,
            item=self._json(sg.column("_bb_e")),
        )

    def visit_ArrayPosition(self, op: Any, *, arg: Any, other: Any) -> Any:
        """Find a value in an array."""
        place = self.f.anon.array_position(arg, self._inner(op.other.dtype, other))
        return self.if_(arg.is_(NULL), NULL, self.f.coalesce(place, 0))

    def visit_ArrayZip(self, op: Any, *, arg: Any) -> Any:
        """Make an array of structs of several arrays."""
        names = [sg.to_identifier(f"_bb_{place}") for place in range(len(arg))]
        fields = [
            part
            for name, (field, kind) in zip(names, op.dtype.value_type.items(), strict=True)
            for part in (sge.convert(field), self._encoded(kind, sge.column(name)))
        ]
        alias = sge.TableAlias(this=sg.to_identifier("_bb_a"), columns=names)
        rows = sge.Unnest(expressions=list(arg), alias=alias)
        query = sg.select(self.f.jsonb_build_object(*fields)).from_(rows)
        missing = sg.or_(*(each.is_(NULL) for each in arg))
        return self.if_(missing, NULL, self.f.array(query))

    def visit_ArrayRemove(self, op: Any, *, arg: Any, other: Any) -> Any:
        """Remove a value from an array."""
        return self.f.array_remove(arg, self._inner(op.other.dtype, other))

    def visit_ArrayFlatten(self, op: Any, *, arg: Any) -> Any:
        """Join the arrays in an array."""
        element = self._decoded(op.dtype.value_type, sg.column("_bb_f"))
        return filled(
            "CASE WHEN :arg IS NOT NULL THEN ARRAY(SELECT :element "
            "FROM UNNEST(:arg) WITH ORDINALITY AS _bb_o(_bb_e, _bb_i), "
            "JSONB_ARRAY_ELEMENTS(NULLIF(_bb_e, 'null'::JSONB)) "
            "WITH ORDINALITY AS _bb_p(_bb_f, _bb_j) ORDER BY _bb_i, _bb_j) END",
            arg=arg,
            element=element,
        )

    def visit_Unnest(self, op: Any, *, arg: Any) -> Any:
        """Make a row of each value of an array."""
        if isinstance(op.dtype, dt.Array):
            raise com.UnsupportedOperationError("unnest() of an array of arrays")
        return super().visit_Unnest(op, arg=arg)

    def visit_ArrayCollect(self, op: Any, *, arg: Any, **parts: Any) -> Any:
        """Gather values in an array."""
        return super().visit_ArrayCollect(op, arg=self._inner(op.arg.dtype, arg), **parts)

    # Maps

    def visit_Map(self, op: Any, *, keys: Any, values: Any) -> Any:
        """Make a map of its names and values."""
        value = self._encoded(op.dtype.value_type, sg.column("_bb_v"))
        return filled(
            "CASE WHEN :k IS NOT NULL AND :v IS NOT NULL THEN "
            "(SELECT COALESCE(JSONB_OBJECT_AGG(_bb_k, :value), '{}'::JSONB) "
            "FROM UNNEST(:k, :v) AS _bb_m(_bb_k, _bb_v)) END",
            k=keys,
            v=values,
            value=value,
        )

    def visit_MapGet(self, op: Any, *, arg: Any, key: Any, default: Any) -> Any:
        """Take the value of a name."""
        if op.dtype.is_null():
            return NULL
        found = self._decoded(op.dtype, self.f.jsonb_extract_path(arg, key))
        there = self.f.jsonb_contains(arg, key)
        other = self.if_(arg.is_(NULL), NULL, self.cast(default, op.dtype))
        return self.if_(there, found, other)

    def visit_MapLength(self, op: Any, *, arg: Any) -> Any:
        """Count the names of a map."""
        return self.if_(arg.is_(NULL), NULL, super().visit_MapLength(op, arg=arg))

    def visit_MapValues(self, op: Any, *, arg: Any) -> Any:
        """Return the values of a map."""
        kind = op.dtype.value_type
        value = sg.column("_bb_e")
        value = self._decoded(dt.json if isinstance(kind, dt.Array) else kind, value)
        return filled(
            "CASE WHEN :m IS NOT NULL THEN "
            "ARRAY(SELECT :value FROM JSONB_EACH(:m) AS _bb_a(_bb_k, _bb_e)) END",
            m=arg,
            value=value,
        )

    # Aggregates that Postgres does not have

    def _picked(self, op: Any, arg: Any, where: Any, order_by: Any, last: bool = False) -> Any:
        kept = self.agg.array_agg(self._inner(op.arg.dtype, arg), where=where, order_by=order_by)
        place = self.f.cardinality(kept.copy()) if last else 0  # a number counts from zero here
        return self._outer(op.dtype, sge.paren(kept, copy=False)[place])

    def visit_First(
        self, op: Any, *, arg: Any, where: Any, order_by: Any, include_null: Any
    ) -> Any:
        """Take the first value."""
        return self._picked(op, arg, _given(arg, where, include_null), order_by)

    def visit_Last(self, op: Any, *, arg: Any, where: Any, order_by: Any, include_null: Any) -> Any:
        """Take the last value."""
        return self._picked(op, arg, _given(arg, where, include_null), order_by, last=True)

    def visit_Arbitrary(self, op: Any, *, arg: Any, where: Any) -> Any:
        """Take any value."""
        return self._picked(op, arg, _given(arg, where, False), ())

    # Relations

    def visit_Select(self, op: Any, *, parent: Any, qualified: Any, **parts: Any) -> Any:
        """Select; rows chosen by what a window gives are chosen from a query around it."""
        if not qualified:
            return super().visit_Select(op, parent=parent, qualified=qualified, **parts)
        keys, distinct = parts.pop("sort_keys"), parts.pop("distinct")
        inner = super().visit_Select(
            op, parent=parent, qualified=(), sort_keys=(), distinct=False, **parts
        )
        order = []
        for number, key in enumerate(keys):
            inner = inner.select(key.this.as_(f"_bb_key_{number}"))
            order.append(key.copy())
            order[-1].set("this", sg.column(f"_bb_key_{number}"))
        inner = inner.select(sg.and_(*qualified).as_("_bb_kept"))
        names = [sg.column(name, quoted=True) for name in op.schema.names]
        outer = sg.select(*names).from_(inner.subquery("_bb_all")).where(sg.column("_bb_kept"))
        if order:
            outer = outer.order_by(*order)
        return outer.distinct() if distinct else outer

    def visit_JoinLink(self, op: Any, *, how: str, table: Any, predicates: Any) -> Any:
        """Join; Ibis takes the right side of an inequality for that of the joined table."""
        if how == "asof" and op.table in op.predicates[0].left.relations:
            first = predicates[0]
            turned = _TURNED[type(first)](this=first.expression, expression=first.this)
            predicates = (turned, *predicates[1:])
        return super().visit_JoinLink(op, how=how, table=table, predicates=predicates)

    # Others

    def visit_RegexSearch(self, op: Any, *, arg: Any, pattern: Any) -> Any:
        """Tell whether a pattern is found; as an operator, which every version has."""
        return sge.RegexpLike(this=arg, expression=pattern)

    def visit_VectorSimilarity(self, op: Any, *, left: Any, right: Any, metric: str) -> Any:
        """Compare two vectors."""
        template = _OVER_PAIRS.format(_SIMILARITIES[metric])
        return sge.Subquery(this=filled(template, a=left, b=right))


_TURNED = {sge.GT: sge.LT, sge.LT: sge.GT, sge.GTE: sge.LTE, sge.LTE: sge.GTE}


def _given(arg: Any, where: Any, include_null: Any) -> Any:
    if include_null:
        return where
    present = arg.is_(sg.not_(NULL, copy=False))
    return present if where is None else sge.And(this=present, expression=where)


COMPILER = PostgresCompiler()
