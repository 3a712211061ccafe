"""Rows for which a virtual column fails: they are named, read around and removed."""

from __future__ import annotations

import pytest

import barbule as bb
from barbule.errors import DataError

COLUMNS = {
    "product": lambda t: t.n * t.n,
    "cast": lambda t: t.s.cast("int64"),
}


@pytest.fixture(params=COLUMNS)
def failing(request, session):
    table = session.create_table("t", {"n": bb.Int, "s": bb.String})
    table.insert(n=2, s="2")
    table.add_computed_column(made=COLUMNS[request.param](table))
    assert table.insert(n=2**40, s="x").rows == 1
    return table


@pytest.mark.parametrize("read", ["collect", "to_pyarrow", "to_pandas", "show"])
def test_virtual_column_error_names_column_and_alternatives(failing, read):
    message = (
        r"table 't', column 'made': .*Read the other columns with t\.drop\('made'\); update\(\)"
    )
    with pytest.raises(DataError, match=message):
        getattr(failing, read)()


def test_other_columns_and_rows_are_readable(failing):
    assert sorted(failing.drop("made").collect()["n"]) == [2, 2**40]
    assert failing.filter(failing.n < 9).collect()["n"] == [2]
    assert failing.count().to_pyarrow().as_py() == 2


def test_failing_row_can_be_updated_or_deleted(failing):
    failing.update({"n": 3, "s": "3"}, where=failing.n > 9)
    assert sorted(failing.collect()["n"]) == [2, 3]
    failing.insert(n=2**40, s="x")
    failing.delete(where=failing.n > 9)
    assert sorted(failing.collect()["n"]) == [2, 3]


def test_failing_virtual_column_can_be_replaced(failing):
    failing.add_computed_column(made=failing.s.try_cast("int64"), if_exists="replace")
    assert failing.order_by("n").collect()["made"] == [2, None]


def test_stored_column_refuses_failing_row_at_insert(session):
    table = session.create_table("t", {"n": bb.Int})
    table.insert(n=2)
    table.add_computed_column(made=table.n * table.n, stored=True)
    with pytest.raises(DataError, match="column 'made'"):
        table.insert(n=2**40)
    assert table.collect()["n"] == [2]
