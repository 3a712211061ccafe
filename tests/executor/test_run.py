"""Results of finished stages: returned as they are, or through a query over them."""

from __future__ import annotations

import ibis
import ibis.expr.operations as ops
import pyarrow as pa
import pytest

import barbule as bb
from barbule.planner.plan import Plan


@bb.udf
def louder(text: str) -> str:
    return text.upper()


@pytest.fixture
def engine(session):
    return session.create_table("t", {"a": bb.Int}).op().source


ROWS = pa.table({"n": pa.array([1, 2, None]), "s": pa.array(["x", None, "z"])})


def _run(engine, make, rows: pa.Table = ROWS) -> pa.Table:
    leaf = engine.stored("bb_stage_0", ibis.schema({"n": "int64", "s": "string"}))
    final = make(leaf)
    return engine.run_plan(Plan((), final, final.schema, final), {"bb_stage_0": rows})


def test_renamed_columns_are_not_copied(engine):
    result = _run(engine, lambda leaf: ops.Project(leaf, {"b": ops.Field(leaf, "s")}))
    assert result.to_pydict() == {"b": ["x", None, "z"]}
    assert result.column("b").chunk(0).buffers()[2].address == (
        ROWS.column("s").chunk(0).buffers()[2].address
    )


def test_column_can_be_selected_twice(engine):
    twice = _run(
        engine, lambda leaf: ops.Project(leaf, {name: ops.Field(leaf, "n") for name in "ab"})
    )
    assert twice.to_pydict() == {"a": [1, 2, None], "b": [1, 2, None]}


def test_computed_and_cast_columns_run_in_the_database(engine):
    plus = _run(
        engine,
        lambda leaf: ops.Project(leaf, {"b": (ops.Field(leaf, "n").to_expr() + 1).op()}),
    )
    assert plus.to_pydict() == {"b": [2, 3, None]}
    small = ROWS.set_column(0, "n", ROWS.column("n").cast("int8"))
    same = _run(engine, lambda leaf: ops.Project(leaf, {"b": ops.Field(leaf, "n")}), small)
    assert same.schema.types == [pa.int64()]
    assert same.to_pydict() == {"b": [1, 2, None]}


def test_calls_keep_row_order(session):
    table = session.create_table("rows", {"n": bb.Int, "s": bb.String})
    table.insert([{"n": n, "s": None if n % 7 == 0 else f"s{n}"} for n in range(40_000)])
    result = table.select(table.n, loud=louder(table.s)).to_pyarrow()
    assert result.column("n").to_pylist() == list(range(40_000))
    assert result.column("loud").to_pylist()[5:9] == ["S5", "S6", None, "S8"]
