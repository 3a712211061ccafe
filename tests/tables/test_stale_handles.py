"""Table objects validate values by the current types after changes in another process."""

from __future__ import annotations

import sys

import pytest

import barbule as bb
import programs
from barbule.errors import ColumnNotFoundError, DataError

OTHER = """
import sys, barbule as bb
with bb.connect(sys.argv[1], vectors="exact:") as session:
    table = session.get_table("t")
    for name, kind in (("b", bb.String), ("c", bb.Int), ("d", bb.Int)):
        table.drop_column(name)
        table.add_columns({name: kind})
"""


def test_values_are_validated_by_types_set_in_another_process(tmp_path):
    url = f"duckdb://{tmp_path / 'stale.duckdb'}"
    with bb.connect(url, vectors="exact:") as session:
        table = session.create_table("t", {"a": bb.Int, "b": bb.Int, "c": bb.String, "d": bb.Float})
        table.insert(a=1)
        programs.run([sys.executable, "-c", OTHER, url], check=True)
        for column, value in (("b", 10), ("c", "12"), ("d", 1.7)):
            for write in (
                lambda: table.insert({"a": 2, column: value}),  # noqa: B023
                lambda: table.update({column: value}),  # noqa: B023
                lambda: table.upsert([{"a": 1, column: value}], on="a"),  # noqa: B023
            ):
                with pytest.raises(DataError, match=f"column '{column}'"):
                    write()
        table.insert(a=2, b="10", c=12, d=1)
        assert table.filter(table.a == 2).collect()[0] == {"a": 2, "b": "10", "c": 12, "d": 1}


MORE = """
import sys, barbule as bb
with bb.connect(sys.argv[1], vectors="exact:") as session:
    session.get_table("t").add_columns({"more": bb.Int})
"""


@pytest.mark.parametrize(
    "learn",
    [
        lambda session, _table: session.get_table("t"),
        lambda _session, table: table.collect(),
        lambda _session, table: table.history(),
        lambda _session, table: table.insert(a=2),
    ],
    ids=["get_table", "collect", "history", "insert"],
)
def test_columns_of_another_process_appear_after_next_operation(tmp_path, learn):
    url = f"duckdb://{tmp_path / 'stale.duckdb'}"
    with bb.connect(url, vectors="exact:") as session:
        table = session.create_table("t", [{"a": 1}])
        programs.run([sys.executable, "-c", MORE, url], check=True)
        learn(session, table)
        assert table.columns == ("a", "more")
        assert table.schema()["more"].is_integer()


@bb.udf
def length_beside_one(text: str) -> bb.Vector(2):
    return [1.0, float(len(text))]


def test_search_built_before_column_drop(session):
    table = session.create_table("t", [{"n": 1, "text": "a"}, {"n": 2, "text": "aaaa"}])
    table.add_embedding_index("text", embedding=length_beside_one)
    table.add_computed_column(more=table.n + 1)
    best = table.order_by(table.text.similarity("xxxx"), asc=False).limit(1)
    table.drop_column("more")
    assert best.select("n", "text").collect()["n"] == [2]
    with pytest.raises(ColumnNotFoundError, match="'more'"):
        best.collect()
