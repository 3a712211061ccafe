"""What the three parts of an adapter do without the adapter."""

from __future__ import annotations

import ibis.expr.schema as sch
import pyarrow as pa

from barbule.backends.base import FOREVER, FROM, RID, TO, Connection, Reader, RowStore
from barbule.extensions import unfulfilled


def check_parts(connection, reader, store):
    """Check that each part fulfils its protocol, and that they write and read rows together."""
    parts = (connection, reader, store)
    assert [*map(unfulfilled, parts, (Connection, Reader, RowStore))] == [None] * 3
    schema = sch.Schema({RID: "int64", FROM: "int64", TO: "int64", "a": "int64"})
    leaf = reader.table("t", schema).to_expr()
    with connection.write_lock(), connection.transaction():
        store.create_table("t", schema)
        new = {RID: [1, 2], FROM: [1, 1], TO: [FOREVER, FOREVER], "a": [3, 4]}
        store.append("t", pa.table(new))
        doubled = leaf.filter(leaf.a > 3).select(RID, a=leaf.a * 2)
        assert store.replace_rows("t", doubled, 2) == 1
    live = leaf.filter(leaf[TO] == FOREVER).order_by(RID)
    assert reader.arrow(live, {})["a"].to_pylist() == [3, 8]
    assert reader.ibis.to_pyarrow(live.a.sum()).as_py() == 11
