"""Small inserts into DuckDB through bound parameters store exact values."""

from __future__ import annotations

import decimal
import struct

import ibis.expr.schema as sch
import pandas as pd
import pyarrow as pa
import pytest

from barbule.backends.duckdb.sql.insert_parameters import insert_parameters
from barbule.backends.duckdb.sql.literals import values_literals
from barbule.backends.opening import open_backend

NAN = float("nan")
INFINITE = float("inf")
SMALLEST = struct.unpack("<f", b"\1\0\0\0")[0]
FLOATS = [0.1, -0.0, SMALLEST, 1.1754944e-38, 3.4028235e38, INFINITE, -INFINITE, 1 / 3]
TEXTS = ["", "it's", "a\0b", "\0", "\\", "表\U0001f600", "NULL", "?", "$1"]
BLOBS = [b"", b"\0", b"\0\xff'\\x41", bytes(range(256))]
YEAR = 31_556_952_000_000  # microseconds
TIMESTAMPS = [0, -1, 1, 123_456, 10_000 * YEAR, -5_000 * YEAR, 2**63 - 2]

# Column type: Arrow type and values; temporal values are counted from 1970.
EXACT = {
    "int64": (pa.int64(), [0, -1, 2**63 - 1, -(2**63)]),
    "int8": (pa.int8(), [-128, 127]),
    "uint64": (pa.uint64(), [0, 2**64 - 1]),
    "boolean": (pa.bool_(), [True, False]),
    "float64": (pa.float64(), [0.1, -0.0, 5e-324, 1.7976931348623157e308, INFINITE, -INFINITE]),
    "float32": (pa.float32(), FLOATS),
    "string": (pa.string(), TEXTS),
    "string ": (pa.large_string(), TEXTS),
    "binary": (pa.binary(), BLOBS),
    "date": (pa.date32(), [0, -1, 2_932_897, -719_163, 19_000]),
    "timestamp(6)": (pa.timestamp("us"), TIMESTAMPS),
    "timestamp('UTC')": (pa.timestamp("us", "UTC"), TIMESTAMPS),
    "timestamp('Europe/Berlin')": (pa.timestamp("us", "Europe/Berlin"), TIMESTAMPS),
    "array<float32, 8>": (pa.list_(pa.float32(), 8), [FLOATS, FLOATS[::-1]]),
    "array<float64, 2>": (pa.list_(pa.float64(), 2), [[0.1, -0.0], [5e-324, 1e308]]),
    "array<float32>": (pa.list_(pa.float32()), [FLOATS, [], [-0.0]]),
    "array<int64>": (pa.list_(pa.int64()), [[2**63 - 1, None], [], [None], [-(2**63)]]),
    "array<boolean>": (pa.list_(pa.bool_()), [[True, None, False], []]),
    "array<string>": (pa.list_(pa.string()), [TEXTS, [], [None, ""]]),
    "array<binary>": (pa.list_(pa.binary()), [BLOBS, []]),
    "array<array<int64>>": (pa.list_(pa.list_(pa.int64())), [[[1, 2], [], None], [], [[2**40]]]),
}
# Values that are not bound as parameters: they would change, or it is not faster.
OTHERS = {
    "NaN": pa.array([NAN]),
    "NaN in a vector": pa.array([[0.5, NAN]], pa.list_(pa.float32(), 2)),
    "NaN in a list": pa.array([[1.0], [NAN]], pa.list_(pa.float64())),
    "a vector with a null": pa.array([[0.5, None]], pa.list_(pa.float32(), 2)),
    "the latest timestamp": pa.array([2**63 - 1], pa.int64()).cast(pa.timestamp("us")),
    "the earliest timestamp": pa.array([1 - 2**63], pa.int64()).cast(pa.timestamp("us", "UTC")),
    "nanoseconds": pa.array([1], pa.int64()).cast(pa.timestamp("ns")),
    "structs": pa.array([{"key": [1], "value": [2]}]),
    "structs in lists": pa.array([[{"a": 1}]]),
    "decimals": pa.array([decimal.Decimal("0.7")], pa.decimal128(20, 4)),
    "no rows": pa.array([], pa.int64()),
    "a large vector": pa.array([[0.5] * 1025], pa.list_(pa.float32(), 1025)),
    "a long string": pa.array(["x" * 100_000]),
}


@pytest.fixture
def backend():
    opened = open_backend("duckdb://")
    yield opened
    opened.disconnect()


def _array(kind: pa.DataType, values: list[object]) -> pa.Array:
    if pa.types.is_temporal(kind):
        return pa.array(values, pa.int32() if kind == pa.date32() else pa.int64()).cast(kind)
    return pa.array(values, kind)


def _bits(cells: pa.ChunkedArray) -> list[object]:
    """Return the bits of values, and None for nulls."""
    kind = cells.type
    if pa.types.is_temporal(kind):
        return cells.cast(pa.int32() if kind == pa.date32() else pa.int64()).to_pylist()
    if pa.types.is_floating(kind):
        bits = cells.to_numpy().view(f"u{kind.bit_width // 8}")
        return [number if cell.is_valid else None for number, cell in zip(bits, cells, strict=True)]
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        parts = [pa.chunked_array([row.values]) if row.is_valid else None for row in cells]  # noqa: PD011
        return [None if part is None else _bits(part) for part in parts]
    return cells.to_pylist()


def _stored(backend, schema: sch.Schema) -> pa.ChunkedArray:
    leaf = backend.table("t", schema).to_expr()
    return backend.arrow(leaf.order_by("n"), {})["v"]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("kind", EXACT)
def test_few_rows_round_trip_exactly(backend, kind, together):
    assert pd is not None  # without it no parameters are bound
    arrow, values = EXACT[kind]
    schema = sch.Schema({"n": "int64", "v": kind.strip()})
    cells = _array(arrow, [*values, None])
    rows = pa.table({"n": range(len(cells)), "v": cells})
    backend.create_table("t", schema)
    for part in [rows] if together else [rows.slice(n, 1) for n in range(len(cells))]:
        assert insert_parameters(part) is not None
        backend.append("t", part)
    stored = _stored(backend, schema)
    assert _bits(stored.cast(schema["v"].to_pyarrow())) == _bits(pa.chunked_array([cells]))


@pytest.mark.parametrize("kind", EXACT)
def test_few_rows_are_stored_like_many(backend, kind):
    arrow, values = EXACT[kind]
    schema = sch.Schema({"n": "int64", "v": kind.strip()})
    cells = _array(arrow, values)
    few = pa.table({"n": range(len(cells)), "v": cells})
    many = pa.concat_tables([few] * 20)
    backend.create_table("t", schema)
    backend.append("t", few)
    written = _stored(backend, schema)
    backend.create_table("t", schema)
    backend.append("t", many)
    copied = backend.cursor.execute("SELECT DISTINCT n, v FROM t ORDER BY n").to_arrow_table()["v"]
    assert _bits(written) == _bits(copied.cast(written.type))


@pytest.mark.parametrize("kind", OTHERS)
def test_values_unsafe_as_parameters_use_arrow(backend, kind):
    cells = OTHERS[kind]
    rows = pa.table({"v": cells})
    assert insert_parameters(rows) is None
    if kind == "no rows":
        return
    schema = sch.Schema.from_pyarrow(rows.schema)
    backend.create_table("t", schema)
    backend.append("t", rows)
    stored = backend.cursor.execute("SELECT v FROM t").to_arrow_table()["v"]
    assert str(stored.cast(cells.type)) == str(pa.chunked_array([cells]))


def test_rows_of_many_types_round_trip_together(backend):
    kinds = [kind for kind in EXACT if kind == kind.strip()]
    schema = sch.Schema({f"c{n}": kind for n, kind in enumerate(kinds)})
    rows = [
        pa.table(
            {f"c{n}": _array(EXACT[kind][0], EXACT[kind][1][:1]) for n, kind in enumerate(kinds)}
        ),
        pa.table({f"c{n}": _array(EXACT[kind][0], [None]) for n, kind in enumerate(kinds)}),
    ]
    both = pa.concat_tables(rows)
    assert insert_parameters(both) is not None
    backend.create_table("t", schema)
    backend.append("t", both)
    stored = backend.cursor.execute("SELECT * FROM t ORDER BY c0 NULLS LAST").to_arrow_table()
    for name in both.column_names:
        assert _bits(stored[name].cast(both[name].type)) == _bits(both[name]), name


def test_strings_in_statements_are_exact(backend):
    assert values_literals(pa.table({"v": ["a\0b"]})) is None
    schema = sch.Schema({"k": "string", "n": "int64"})
    backend.create_table("t", schema)
    backend.append("t", pa.table({"k": TEXTS, "n": range(len(TEXTS))}))
    leaf = backend.table("t", schema).to_expr()
    for n, text in enumerate(TEXTS):
        assert backend.rows_with_values(leaf, "k", [text]).to_pylist() == [{"k": text, "n": n}]
    assert backend.rows_with_values(leaf, "k", TEXTS).num_rows == len(TEXTS)
