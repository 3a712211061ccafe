# ruff: noqa: N802 - Ibis finds these methods by the names of its operations
"""Operations on arrays of Postgres, whose elements are `jsonb` where they are arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import ibis.common.exceptions as com
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import sqlglot as sg
import sqlglot.expressions as sge
from ibis.backends.sql.compilers.base import NULL

from barbule.backends.postgres.sql.jsonb import JsonbOperations
from barbule.backends.postgres.sql.literals import array_text
from barbule.backends.postgres.sql.templates import fill_template

if TYPE_CHECKING:
    from collections.abc import Sequence

    import ibis.expr.datashape as ds

__all__ = ["ArrayOperations"]


class ArrayOperations(JsonbOperations):
    """Ibis' compiler, with arrays of arrays."""

    __slots__ = ()
    SIMPLE_OPS: ClassVar[dict[Any, str]] = {}  # those of the base class are inherited as methods
    UNSUPPORTED_OPS = ()

    def visit_Equals(
        self, op: ops.Equals, *, left: sge.Expression, right: sge.Expression
    ) -> sge.Expression:
        """Compare; arrays of numbers as those of one type."""
        return super().visit_Equals(op, **self._with_common_type(op, left=left, right=right))

    def visit_NotEquals(
        self, op: ops.NotEquals, *, left: sge.Expression, right: sge.Expression
    ) -> sge.Expression:
        """Compare; arrays of numbers as those of one type."""
        return super().visit_NotEquals(op, **self._with_common_type(op, left=left, right=right))

    def visit_InValues(
        self, op: ops.InValues, *, value: sge.Expression, options: Sequence[sge.Expression]
    ) -> sge.Expression:
        """Search for a value among others; arrays are written as arrays of its type."""
        dtype = op.value.dtype
        if isinstance(dtype, dt.Array):
            pairs = zip(op.options, options, strict=True)
            options = tuple(self._array_of_type(node, option, dtype) for node, option in pairs)
        return super().visit_InValues(op, value=value, options=options)

    def _with_common_type(self, op: ops.Binary, **sides: sge.Expression) -> dict[str, Any]:
        """Return both sides of a comparison, arrays as arrays of one type."""
        dtypes = [op.left.dtype, op.right.dtype]
        if not all(isinstance(dtype, dt.Array) for dtype in dtypes) or dtypes[0] == dtypes[1]:
            return sides
        common = dt.highest_precedence(dtypes)
        return {
            side: self._array_of_type(getattr(op, side), value, common)
            for side, value in sides.items()
        }

    def _array_of_type(
        self, node: ops.Value, value: sge.Expression, dtype: dt.Array
    ) -> sge.Expression:
        """Write an array as one of a type; an empty literal has none in Postgres."""
        if isinstance(node, ops.Literal) and node.value is not None:
            return self.cast(array_text(node.value, dtype), dtype)
        return value if node.dtype == dtype else self.cast(value, dtype)

    def visit_Array(self, op: ops.Array, *, exprs: Sequence[sge.Expression]) -> sge.Expression:
        """Build an array."""
        value_type = op.dtype.value_type
        elements = (self._to_element(value_type, expr) for expr in exprs)
        return self.cast(self.f.array(*elements), op.dtype)

    def visit_ArrayIndex(
        self, op: ops.ArrayIndex, *, arg: sge.Expression, index: sge.Expression
    ) -> sge.Expression:
        """Return an element of an array."""
        return self._from_element(op.dtype, super().visit_ArrayIndex(op, arg=arg, index=index))

    def visit_Argument(
        self, op: ops.Argument, *, name: str, shape: ds.DataShape, dtype: dt.DataType
    ) -> sge.Expression:
        """Return the argument of a lambda."""
        return self._from_element(
            dtype, super().visit_Argument(op, name=name, shape=shape, dtype=dtype)
        )

    def _map_elements(
        self,
        op: ops.Value,
        arg: sge.Expression,
        value: sge.Expression,
        condition: sge.Expression | None = None,
    ) -> sge.Expression:
        """Build an array with a lambda, whose parameters name the elements of another."""
        parameters = (op.param, op.index)
        names = [sg.to_identifier(node.param) for node in parameters if node is not None]
        alias = sge.TableAlias(this=sg.to_identifier("_bb_a"), columns=names)
        rows = sge.Unnest(expressions=[arg], alias=alias, offset=op.index is not None)
        query = sg.select(value).from_(rows)
        if condition is not None:
            query = query.where(condition)
        return self.if_(arg.is_(NULL), NULL, self.f.array(query))

    def visit_ArrayMap(
        self,
        op: ops.ArrayMap,
        *,
        arg: sge.Expression,
        body: sge.Expression,
        param: sge.Expression,
        index: sge.Expression,
    ) -> sge.Expression:
        """Compute each element of an array."""
        return self._map_elements(op, arg, self._to_element(op.body.dtype, body))

    def visit_ArrayFilter(
        self,
        op: ops.ArrayFilter,
        *,
        arg: sge.Expression,
        body: sge.Expression,
        param: sge.Expression,
        index: sge.Expression,
    ) -> sge.Expression:
        """Filter the elements of an array."""
        return self._map_elements(op, arg, sg.column(op.param.param), body)

    def visit_ArrayContains(
        self, op: ops.ArrayContains, *, arg: sge.Expression, other: sge.Expression
    ) -> sge.Expression:
        """Return whether a value is in an array."""
        # Not @>, which Postgres lacks for arrays of some types.
        contains = sge.EQ(
            this=self._to_element(op.other.dtype, other), expression=self.f.anon.any(arg)
        )
        unknown = sg.or_(arg.is_(NULL), other.is_(NULL))
        return self.if_(unknown, NULL, self.f.coalesce(contains, sge.false()))

    def visit_ArraySort(self, op: ops.ArraySort, *, arg: sge.Expression) -> sge.Expression:
        """Sort an array; of JSON numbers by their size, then strings, then the others."""
        if not op.dtype.value_type.is_json():
            return super().visit_ArraySort(op, arg=arg)
        return fill_template(
            "CASE WHEN :arg IS NOT NULL THEN ARRAY(SELECT _bb_e FROM UNNEST(:arg) AS _bb_a(_bb_e) "
            "ORDER BY CASE WHEN JSONB_TYPEOF(:item) = 'number' THEN CAST(:item AS NUMERIC) END "
            "NULLS LAST, CASE WHEN JSONB_TYPEOF(:item) = 'string' "
            "THEN JSONB_EXTRACT_PATH_TEXT(:item, VARIADIC ARRAY[]::TEXT[]) END NULLS LAST, :item "
            "NULLS LAST) END",
            arg=arg,
            item=self._json(sg.column("_bb_e")),
        )

    def visit_ArrayPosition(
        self, op: ops.ArrayPosition, *, arg: sge.Expression, other: sge.Expression
    ) -> sge.Expression:
        """Find a value in an array."""
        position = self.f.anon.array_position(arg, self._to_element(op.other.dtype, other))
        return self.if_(arg.is_(NULL), NULL, self.f.coalesce(position, 0))

    def visit_ArrayZip(self, op: ops.ArrayZip, *, arg: Sequence[sge.Expression]) -> sge.Expression:
        """Build an array of structs from several arrays."""
        names = [sg.to_identifier(f"_bb_{index}") for index in range(len(arg))]
        fields = [
            part
            for name, (field, dtype) in zip(names, op.dtype.value_type.items(), strict=True)
            for part in (sge.convert(field), self._to_jsonb(dtype, sge.column(name)))
        ]
        alias = sge.TableAlias(this=sg.to_identifier("_bb_a"), columns=names)
        rows = sge.Unnest(expressions=list(arg), alias=alias)
        query = sg.select(self.f.jsonb_build_object(*fields)).from_(rows)
        missing = sg.or_(*(array.is_(NULL) for array in arg))
        return self.if_(missing, NULL, self.f.array(query))

    def visit_ArrayRemove(
        self, op: ops.ArrayRemove, *, arg: sge.Expression, other: sge.Expression
    ) -> sge.Expression:
        """Remove a value from an array."""
        return self.f.array_remove(arg, self._to_element(op.other.dtype, other))

    def visit_ArrayFlatten(self, op: ops.ArrayFlatten, *, arg: sge.Expression) -> sge.Expression:
        """Join the arrays in an array."""
        element = self._from_jsonb(op.dtype.value_type, sg.column("_bb_f"))
        return fill_template(
            "CASE WHEN :arg IS NOT NULL THEN ARRAY(SELECT :element "
            "FROM UNNEST(:arg) WITH ORDINALITY AS _bb_o(_bb_e, _bb_i), "
            "JSONB_ARRAY_ELEMENTS(NULLIF(_bb_e, 'null'::JSONB)) "
            "WITH ORDINALITY AS _bb_p(_bb_f, _bb_j) ORDER BY _bb_i, _bb_j) END",
            arg=arg,
            element=element,
        )

    def visit_Unnest(self, op: ops.Unnest, *, arg: sge.Expression) -> sge.Expression:
        """Return a row for each value of an array."""
        if isinstance(op.dtype, dt.Array):
            raise com.UnsupportedOperationError("unnest() of an array of arrays")
        return super().visit_Unnest(op, arg=arg)

    def visit_ArrayCollect(
        self, op: ops.ArrayCollect, *, arg: sge.Expression, **parts: Any
    ) -> sge.Expression:
        """Aggregate values to an array."""
        return super().visit_ArrayCollect(op, arg=self._to_element(op.arg.dtype, arg), **parts)
