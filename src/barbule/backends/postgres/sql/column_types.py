"""The column types of Postgres for Ibis types."""

from __future__ import annotations

import ibis.expr.datatypes as dt
import sqlglot.expressions as sge
from ibis.backends.sql.datatypes import PostgresType

from barbule.types.declarations import by_class

__all__ = ["PostgresTypes", "column_type"]

_CODE = sge.DataType.Type
_JSONB = sge.DataType(this=_CODE.JSONB)
_TYPES: dict[type[dt.DataType], sge.DataType.Type] = {
    dt.String: _CODE.TEXT,
    dt.JSON: _CODE.JSONB,
    dt.Struct: _CODE.JSONB,
    dt.Interval: _CODE.INTERVAL,  # of any unit
    dt.Int8: _CODE.SMALLINT,
    dt.UInt8: _CODE.SMALLINT,
    dt.UInt16: _CODE.INT,
    dt.UInt32: _CODE.BIGINT,
}
_MAX_TIMESTAMP_SCALE = 6  # microseconds


class PostgresTypes(PostgresType):
    """The mapping between Ibis types and column types."""

    @classmethod
    def from_ibis(cls, dtype: dt.DataType) -> sge.DataType:
        """Return the column type for an Ibis type."""
        if (code := by_class(_TYPES, dtype)) is not None:
            return sge.DataType(this=code)
        if isinstance(dtype, dt.UInt64):
            return super().from_ibis(dt.Decimal(20, 0))
        if isinstance(dtype, dt.Timestamp) and (dtype.scale or 0) > _MAX_TIMESTAMP_SCALE:
            return super().from_ibis(dtype.copy(scale=None))
        if isinstance(dtype, dt.Array):
            is_nested = isinstance(dtype.value_type, dt.Array)
            value_type = _JSONB.copy() if is_nested else cls.from_ibis(dtype.value_type)
            return sge.DataType(this=_CODE.ARRAY, expressions=[value_type], nested=True)
        return super().from_ibis(dtype)

    @classmethod
    def _from_sqlglot_JSONB(cls, nullable: bool | None = None) -> dt.JSON:  # noqa: N802 - Ibis finds it by its name
        return dt.JSON(nullable=True if nullable is None else nullable)


def column_type(dtype: dt.DataType) -> sge.DataType:
    """Return the type of a column for values of an Ibis type."""
    return PostgresTypes.from_ibis(dtype.copy(nullable=True))
