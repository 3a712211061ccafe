"""Values of every type, unusual names and small tables for the tests of adapters."""

from __future__ import annotations

import datetime
import decimal
import json
from typing import TYPE_CHECKING, Any

import ibis.expr.schema as sch
import pyarrow as pa

from barbule.backends.base import FOREVER, FROM, RID, TO

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from barbule.backends.base import Backend

LIFE = {RID: "int64", FROM: "int64", TO: "int64"}
ODD_NAMES = (
    "select",
    "order",
    'qu"ote',
    "it's",
    "two words",
    "naïve 表",
    "a.b",
    "%s",
    "Case",
    "; DROP TABLE t; --",
    "l" * 100,
)
TEXTS = ("", "it's", '"; DROP TABLE t; --', "\\", "%s {0} $1", "a\nb\tc", "表\U0001f600", "NULL")
NOON = datetime.datetime(2024, 2, 29, 12, 0, 0, 123456)  # noqa: DTZ001 - without a zone
UUID = "0a1b2c3d-4e5f-6789-abcd-ef0123456789"
STRUCT = "struct<x: int64, y: string, z: array<float64>, w: struct<at: timestamp('UTC')>>"
# Types, and values of them that are not missing.
VALUES: dict[str, list[Any]] = {
    "int64": [0, 2**63 - 1, -(2**63)],
    "int8": [-128, 127],
    "uint8": [255],
    "uint64": [2**64 - 1],
    "float64": [0.1, -0.0, 1e308, float("inf"), float("-inf"), float("nan")],
    "float32": [1.5, float("nan")],
    "boolean": [True, False],
    "string": list(TEXTS),
    "timestamp": [NOON, datetime.datetime(1900, 1, 1)],  # noqa: DTZ001 - without a zone
    "timestamp(6)": [NOON],
    "timestamp('UTC')": [NOON.replace(tzinfo=datetime.UTC)],
    "date": [datetime.date(2024, 2, 29), datetime.date(1, 1, 1)],
    "time": [datetime.time(23, 59, 59, 999999)],
    "uuid": [UUID],
    "binary": [b"", b"\x00\xff'\\", bytes(range(256))],
    "json": ['{"a": [1, null, "é"], "b": {"c": 1.5}}', "null", "[]", '"text"', "3"],
    "decimal(20, 4)": [decimal.Decimal("-1234567.8901")],
    "array<float32, 3>": [[1.5, -0.25, 0.0]],
    "array<string>": [list(TEXTS), [], [None, "a"]],
    "array<boolean>": [[True, None]],
    "array<timestamp('UTC')>": [[NOON.replace(tzinfo=datetime.UTC)]],
    "array<array<int64>>": [[[1, 2], [], None], []],
    "array<json>": [['{"a": 1}', None]],
    "array<struct<x: int64, s: string>>": [[{"x": 1, "s": 'q"'}, None], []],
    STRUCT: [
        {
            "x": 2**63 - 1,
            "y": "é'",
            "z": [0.1, float("inf")],
            "w": {"at": NOON.replace(tzinfo=datetime.UTC)},
        },
        {"x": None, "y": None, "z": None, "w": None},
    ],
    "struct<b: binary, j: json, d: date, n: decimal(10, 2)>": [
        {
            "b": b"\x00\xff",
            "j": '{"a": 1}',
            "d": datetime.date(2024, 1, 1),
            "n": decimal.Decimal("1.25"),
        }
    ],
}


def comparable(dtype: str, value: object) -> object:
    """Return a comparable form of a value: JSON by its content, NaN equal to itself."""
    if dtype == "json" and isinstance(value, str):
        return json.loads(value)
    if isinstance(value, dict) and "j" in value:
        value = {**value, "j": json.loads(value["j"])}
    return repr(value)


def read(backend: Backend, name: str, columns: dict[str, str]) -> list[dict[str, Any]]:
    """Return the rows of a table."""
    leaf = backend.table(name, sch.Schema(columns)).to_expr()
    return backend.arrow(leaf, {}).to_pylist()


def comparable_values(dtype: str, rows: pa.Table) -> list[str]:
    """Return the comparable forms of the values of the column `v`, sorted."""
    return sorted(repr(comparable(dtype, value)) for value in rows["v"].to_pylist())


def string_key(row: dict[str, Any]) -> str:
    """Return a sort key for rows with a string `s`."""
    return repr(row["s"])


def create_live_rows(backend: Backend, columns: dict[str, str] | None = None) -> dict[str, str]:
    """Create a table of three live rows; return its columns."""
    schema = {**LIFE, **(columns or {"x": "int64"})}
    backend.create_table("t", sch.Schema(schema))
    backend.append("t", pa.table({RID: [0, 1, 2], FROM: [1, 1, 1], TO: [FOREVER] * 3}))
    return schema


def create_numbers(backend: Backend, count: int) -> ir.Table:
    """Create a table of numbers; return the query that reads them in order."""
    schema = sch.Schema({"n": "int64"})
    backend.create_table("numbers", schema)
    backend.append("numbers", pa.table({"n": range(count)}))
    return backend.table("numbers", schema).to_expr().order_by("n")


def write_under_lock(backend: Backend) -> None:
    """Create a table under the write lock."""
    with backend.write_lock():
        backend.create_table("w", sch.Schema({"a": "int64"}))
