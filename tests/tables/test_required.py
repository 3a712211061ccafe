"""Required values within structs and arrays, which may be null themselves."""

from __future__ import annotations

import ibis
import pyarrow as pa
import pytest

import barbule as bb
from barbule.errors import DataError

KINDS = {
    "id": bb.Int,
    "a": "struct<street: !string, n: int64>",
    "l": "array<!int64>",
    "n": "array<struct<x: !int64>>",
    "m": "map<string, !int64>",
}
WHOLE = {"id": 1, "a": {"street": "Main", "n": None}, "l": [1, 2], "n": [{"x": 1}, None]}


@pytest.fixture
def table(session):
    """Return a table with a complete row and an empty one."""
    table = bb.create_table("t", KINDS)
    table.insert([WHOLE | {"m": {"a": 1}}, {"id": 2}])
    return table


def test_null_struct_needs_no_required_field(session):
    kind = pa.struct([pa.field("street", pa.string(), nullable=False)])
    rows = pa.table({"id": [1, 2], "address": pa.array([{"street": "Main"}, None], kind)})
    t = bb.create_table("t", rows)
    assert str(t.schema()["address"]) == "struct<street: !string>"
    expected = [{"street": "Main"}, None]
    ordered = t.order_by("id")
    assert ordered.collect()["address"] == expected
    assert ordered.to_pyarrow()["address"].to_pylist() == expected
    assert ordered.to_pandas()["address"].tolist() == expected
    assert pa.Table.from_batches(ordered.to_pyarrow_batches())["address"].to_pylist() == expected
    assert "Main" in repr(t.collect())
    t.insert(rows)
    assert t.count().to_pyarrow().as_py() == 4
    t.add_computed_column(kept=t.address, street=t.address.street, stored=True)
    assert t.order_by("id").collect()["street"] == ["Main", "Main", None, None]
    view = bb.create_view("v", t.where(t.id == 2).select("address"))
    assert view.collect()["address"] == [None, None]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"a": {"n": 1}}, "column 'a', row 1: its field 'street' is required"),
        ({"l": [1, None]}, "column 'l', row 1: its items are required"),
        ({"n": [{"x": 1}, None, {"x": None}]}, "column 'n', row 1: its field 'x' is required"),
        ({"m": {"a": 1, "b": None}}, "column 'm', row 1: its items are required"),
    ],
)
def test_missing_required_part_is_refused(table, row, message):
    rows = [WHOLE | {"id": 3}, {"id": 4, **row}]
    with pytest.raises(DataError, match=message):
        table.insert(rows)
    with pytest.raises(DataError, match=r"(is|are) required"):
        table.upsert([{"id": 1, **row}], on="id")
    with pytest.raises(DataError, match=r"(is|are) required"):
        table.update(row, where=table.id == 2)
    assert table.order_by("id").collect()["id"] == [1, 2]


def test_missing_required_part_of_arrow_rows_is_refused(table):
    rows = pa.table({"id": [5, 6], "a": [{"street": "x"}, {"street": None}]})
    with pytest.raises(DataError, match="column 'a', row 1: its field 'street' is required"):
        table.insert(rows)


def test_update_expression_with_missing_required_part_is_refused(table):
    nothing = ibis.struct({"street": ibis.null("string"), "n": ibis.literal(3)})
    with pytest.raises(DataError, match="column 'a': its field 'street' is required"):
        table.update({"a": nothing}, where=table.id == 1)
    assert table.where(table.id == 1).collect()[0, "a"] == {"street": "Main", "n": None}
