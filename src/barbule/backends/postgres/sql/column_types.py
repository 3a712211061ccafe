"""In which columns of Postgres values of each Ibis type are kept."""

from __future__ import annotations

from typing import Any

import ibis.expr.datatypes as dt
import sqlglot.expressions as sge
from ibis.backends.sql.datatypes import PostgresType

__all__ = ["PostgresTypes", "column_type"]

_CODE = sge.DataType.Type
_JSONB = sge.DataType(this=_CODE.JSONB)
_PLAIN: dict[type[dt.DataType], Any] = {
    dt.Int8: _CODE.SMALLINT,
    dt.UInt8: _CODE.SMALLINT,
    dt.UInt16: _CODE.INT,
    dt.UInt32: _CODE.BIGINT,
}
_FINEST_SECONDS = 6  # Postgres counts microseconds


class PostgresTypes(PostgresType):
    """How columns of Ibis types are kept."""

    @classmethod
    def from_ibis(cls, dtype: dt.DataType) -> sge.DataType:
        """Return the column type for an Ibis type."""
        if isinstance(dtype, dt.String):
            return sge.DataType(this=_CODE.TEXT)
        if isinstance(dtype, dt.JSON | dt.Struct):
            return _JSONB.copy()
        if isinstance(dtype, dt.Interval):  # of any unit; Postgres has words for some
            return sge.DataType(this=_CODE.INTERVAL)
        if isinstance(dtype, dt.UInt64):
            return super().from_ibis(dt.Decimal(20, 0))
        if type(dtype) in _PLAIN:
            return sge.DataType(this=_PLAIN[type(dtype)])
        if isinstance(dtype, dt.Timestamp) and (dtype.scale or 0) > _FINEST_SECONDS:
            return super().from_ibis(dtype.copy(scale=None))
        if isinstance(dtype, dt.Array):
            inside = dtype.value_type
            kept = _JSONB.copy() if isinstance(inside, dt.Array) else cls.from_ibis(inside)
            return sge.DataType(this=_CODE.ARRAY, expressions=[kept], nested=True)
        return super().from_ibis(dtype)

    @classmethod
    def _from_sqlglot_JSONB(cls, nullable: bool | None = None) -> dt.JSON:  # noqa: N802 - Ibis finds it by its name
        return dt.JSON(nullable=True if nullable is None else nullable)


def column_type(dtype: dt.DataType) -> sge.DataType:
    """Return the type of a column that keeps values of an Ibis type."""
    return PostgresTypes.from_ibis(dtype.copy(nullable=True))
