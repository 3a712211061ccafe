"""Computed columns: virtual and stored ones, dependencies and refusals."""

from __future__ import annotations

import ibis
import pytest
from ibis import _

import barbule as bb
from barbule.errors import (
    ConfigurationError,
    DataError,
    ExpressionError,
    FunctionError,
    SchemaError,
)


@bb.udf
def doubled(value: int) -> int:
    return 2 * value


@pytest.fixture
def table(session):
    table = session.create_table("t", {"a": bb.Int, "b": bb.Int})
    table.insert([{"a": 1, "b": 10}, {"a": 2, "b": 20}])
    return table


def _record(table):
    return table.op().source.catalog.record(table.op().table_id)


def _kinds(table) -> dict[str, str]:
    return {column.name: column.kind for column in _record(table).columns}


def _physical(table) -> set[str]:
    backend = table.op().source.backend
    return set(backend.ibis.table(_record(table).physical).columns)


def test_expression_column_is_virtual_and_call_column_is_stored(table):
    table.add_computed_column(plain=table.a + table.b)
    table.add_computed_column(called=doubled(table.a))
    assert _kinds(table) == {"a": "data", "b": "data", "plain": "virtual", "called": "stored"}
    assert table.collect() == [
        {"a": 1, "b": 10, "plain": 11, "called": 2},
        {"a": 2, "b": 20, "plain": 22, "called": 4},
    ]


def test_virtual_column_has_no_storage_and_stored_column_has(table):
    before = _physical(table)
    table.add_computed_column(plain=table.a + 1)
    assert _physical(table) == before
    table.add_computed_column(kept=table.a + 1, stored=True)
    assert _kinds(table)["kept"] == "stored"
    assert len(_physical(table)) == len(before) + 1
    assert table.collect()["kept"] == [2, 3]


_KEPT = {
    "sum": lambda t: t.a + t.b,
    "ratio": lambda t: t.a / t.b,
    "taxed": lambda t: t.b * 0.7,
    "text": lambda t: t.a.cast("string") + "!",
    "parity": lambda t: t.a % 2 == 0,
    "day": lambda t: ibis.ifelse(t.a > 2, ibis.date("2020-01-01"), None),
    "list": lambda t: ibis.array([t.a, t.b]),
}


@pytest.mark.parametrize("name", _KEPT)
def test_stored_values_equal_inlined_values(table, name):
    table.delete(where=table.a == 1)
    table.insert([{"a": 3, "b": None}, {"a": 2**53 + 1, "b": 3}])
    done = table.add_computed_column(kept=_KEPT[name], stored=True)
    table.add_computed_column(inlined=_KEPT[name])
    table.insert(a=5, b=7)
    table.update({"b": 11}, where=table.a == 3)
    rows = table.collect()
    assert done.rows == 3
    assert rows["kept"] == rows["inlined"]
    assert len(rows) == 4
    assert "kept" not in table.at(2).columns


def test_failed_computation_names_column_and_adds_none(table):
    with pytest.raises(DataError, match=r"table 't', column 'n'.*compute this.*Filter out"):
        table.add_computed_column(n=(table.a.cast("string") + "x").cast("int64"), stored=True)
    assert table.columns == ("a", "b")
    assert "c2" not in _physical(table)
    assert table.add_computed_column(n=table.a + 1, stored=True).rows == 2
    assert table.collect()["n"] == [2, 3]


def test_nondeterministic_expression_is_stored(table):
    table.add_computed_column(key=ibis.uuid())
    assert _kinds(table)["key"] == "stored"
    assert table.collect()["key"] == table.collect()["key"]


def test_a_call_cannot_be_virtual(table):
    with pytest.raises(ExpressionError, match="table 't', column 'c': a column that calls"):
        table.add_computed_column(c=doubled(table.a), stored=False)
    assert table.columns == ("a", "b")


@pytest.mark.parametrize("stored", [None, True])
def test_chains_are_computed_in_order(table, stored):
    table.add_computed_column(c=table.a + 1, stored=stored)
    table.add_computed_column(d=doubled(table.c))
    table.add_computed_column(e=table.d - table.c, stored=stored)
    table.add_computed_column(f=doubled(table.e))
    table.insert(a=3, b=30)
    table.update({"a": 10}, where=table.a == 1)
    rows = {row["a"]: (row["c"], row["d"], row["e"], row["f"]) for row in table.collect()}
    assert rows == {10: (11, 22, 11, 22), 2: (3, 6, 3, 6), 3: (4, 8, 4, 8)}


def test_diamond_dependency_is_computed_in_order(table):
    table.add_computed_column(left=doubled(table.a))
    table.add_computed_column(right=table.a * 3)
    table.add_computed_column(both=doubled(table.left + table.right))
    table.insert(a=3, b=0)
    table.update({"a": 5}, where=table.a == 2)
    assert {row["a"]: row["both"] for row in table.collect()} == {1: 10, 5: 50, 3: 30}


def test_several_computed_columns_are_added_at_once(table):
    result = table.add_computed_column(c=table.a + 1, d=doubled(table.b), e=_.a * _.b)
    assert result.version == 2
    assert table.collect()[1] == {"a": 2, "b": 20, "c": 3, "d": 40, "e": 40}


def test_an_expression_may_be_deferred_or_a_callable(table):
    table.add_computed_column(c=_.a + 1)
    table.add_computed_column(d=lambda t: t.a - t.b)
    table.add_computed_column(e=7)
    table.add_computed_column(f=doubled(_.c))
    assert table.collect()[0] == {"a": 1, "b": 10, "c": 2, "d": -9, "e": 7, "f": 4}


def test_expression_built_before_schema_change_is_valid(table):
    early = table.a + 1
    table.add_computed_column(x=table.b)
    table.insert(a=5, b=50)
    table.add_computed_column(y=early)
    assert table.select(early.name("e"), table.y).collect()["y"] == [2, 3, 6]


def test_duplicate_column_name_is_refused_or_ignored(table):
    table.add_computed_column(c=table.a + 1)
    with pytest.raises(SchemaError, match="table 't', column 'c': the column already exists"):
        table.add_computed_column(c=table.a + 2)
    version = table.add_computed_column(c=table.a + 2, if_exists="ignore").version
    assert version == 2
    assert table.collect()["c"] == [2, 3]
    with pytest.raises(SchemaError, match="only a computed column of the table itself"):
        table.add_computed_column(a=table.b, if_exists="replace")
    with pytest.raises(ConfigurationError, match="if_exists must be one of"):
        table.add_computed_column(c=table.a, if_exists="replace_force")


@pytest.mark.parametrize(("first", "second"), [(None, None), (True, None), (None, True)])
def test_replace_recomputes_downstream_columns(table, first, second):
    table.add_computed_column(c=table.a + 1, stored=first)
    table.add_computed_column(d=doubled(table.c))
    table.add_computed_column(e=table.d + 1)
    table.add_computed_column(c=table.b + 1, stored=second, if_exists="replace")
    rows = table.collect()
    assert (rows["c"], rows["d"], rows["e"]) == ([11, 21], [22, 42], [23, 43])
    table.insert(a=0, b=0)
    assert table.collect()[-1] == {"a": 0, "b": 0, "c": 1, "d": 2, "e": 3}


def test_a_replaced_column_may_change_its_type(table):
    table.add_computed_column(c=table.a + 1)
    table.add_computed_column(c=table.a.cast("string") + "!", if_exists="replace")
    assert table.schema()["c"].is_string()
    assert table.collect()["c"] == ["1!", "2!"]


def test_cycles_are_refused(table):
    table.add_computed_column(c=table.a + 1)
    table.add_computed_column(d=table.c + 1)
    table.add_computed_column(e=doubled(table.d))
    for circle in (table.c, table.d, table.e):
        with pytest.raises(ExpressionError, match=r"column 'c'.*would depend on itself"):
            table.add_computed_column(c=circle + 1, if_exists="replace")
    assert table.collect()[0] == {"a": 1, "b": 10, "c": 2, "d": 3, "e": 6}


@pytest.mark.parametrize(
    "look",
    [
        lambda t: t.a.sum(),
        lambda t: t.a - t.a.mean(),
        lambda t: t.a.sum().over(ibis.window(group_by=t.b)),
        lambda t: t.a.lag(),
        lambda t: t.a + ibis.row_number(),
        lambda t: t.a.isin(t.b),
        lambda t: t.view().b.max().as_scalar(),
        lambda t: doubled(t.a.max()),
    ],
)
def test_expression_over_other_rows_is_refused(table, look):
    with pytest.raises(ExpressionError, match=r"column 'c'.*values of its own row"):
        table.add_computed_column(c=look(table))
    assert table.columns == ("a", "b")


def test_a_column_of_another_table_is_refused(session, table):
    other = session.create_table("other", {"z": bb.Int})
    with pytest.raises(Exception, match=r"(?i)relation|other|parent"):
        table.add_computed_column(c=other.z + 1)
    assert table.columns == ("a", "b")


def test_an_error_at_creation_leaves_no_column(table):
    @bb.udf
    def fails(value: int) -> int:
        if value == 20:
            raise ValueError("twenty is too much")
        return value

    with pytest.raises(FunctionError, match="twenty is too much") as caught:
        table.add_computed_column(c=fails(table.b))
    assert (caught.value.table, caught.value.column, caught.value.row) == ("t", "c", 1)
    assert table.columns == ("a", "b")
    assert len(table.history()) == 2
    table.add_computed_column(c=doubled(table.b))
    assert table.collect()["c"] == [20, 40]


def test_function_error_aborts_insert_and_update(table):
    @bb.udf
    def picky(value: int) -> int:
        if value > 100:
            raise ValueError(f"{value} is too much")
        return value

    table.add_computed_column(c=picky(table.a))
    before = table.collect().to_pyarrow()
    with pytest.raises(FunctionError, match="101 is too much") as caught:
        table.insert([{"a": 3, "b": 0}, {"a": 101, "b": 0}, {"a": 4, "b": 0}])
    assert (caught.value.table, caught.value.column, caught.value.row) == ("t", "c", 1)
    with pytest.raises(FunctionError, match="102 is too much"):
        table.update({"a": 102}, where=table.a == 1)
    assert table.collect().to_pyarrow().equals(before)
    assert table.history()[0, "operation"] == "add computed column"
    assert table.insert(a=5, b=0).rows == 1
    assert table.collect()["c"] == [1, 2, 5]


def test_on_error_null_leaves_cell_null_and_counts_error(table):
    @bb.udf(on_error="null")
    def shaky(value: int) -> int:
        if value % 2:
            raise ValueError("odd")
        return value

    assert table.add_computed_column(c=shaky(table.a)).errors == 1
    result = table.insert([{"a": 3}, {"a": 4}])
    assert (result.rows, result.errors) == (2, 1)
    assert table.collect()["c"] == [None, 2, None, 4]


@bb.udf
def inverse(value: int) -> float:
    return 10 / value


def test_insert_with_on_error_null_leaves_failed_cells_null(session, table):
    table.add_computed_column(i=inverse(table.a), j=inverse(table.b), stored=True)
    table.add_computed_column(after=inverse(table.i.cast("int64")))
    view = bb.create_view("v", table.where(table.a < 5), computed_columns={"k": inverse(table.b)})
    rows = [{"a": 0, "b": 1}, {"a": 3, "b": 0}, {"a": 5, "b": 5}]
    with pytest.raises(FunctionError, match=r"table 't', column 'i', row 0.*ZeroDivisionError"):
        table.insert(rows)
    assert table.count().execute() == 2
    done = table.insert(rows, on_error="null")
    assert (done.rows, done.errors) == (3, 3)
    new = session.get_table("t").order_by("a").where(ibis._.b.isin([0, 1, 5]))
    assert new.select("i", "j", "after").collect() == [
        {"i": None, "j": 10.0, "after": None},
        {"i": 10 / 3, "j": None, "after": 10 / 3},
        {"i": 2.0, "j": 2.0, "after": 5.0},
    ]
    assert new.select(why=table.i.error.message).collect()["why"] == [
        "division by zero",
        None,
        None,
    ]
    assert {(e["column"], e["type"]) for e in table.errors().collect()} == {
        ("i", "ZeroDivisionError"),
        ("j", "ZeroDivisionError"),
    }
    assert view.order_by("a").collect()["k"] == [10.0, 1.0, 0.5, None]
    # on_error applies to one insert alone, and failed cells can be recomputed
    with pytest.raises(FunctionError, match="ZeroDivisionError"):
        table.insert(rows)
    table.update({"a": 1}, where=table.a == 0)
    assert table.where(table.b == 1).collect()[0, "i"] == 10.0


def test_on_error_abort_of_column_overrides_insert(table):
    table.add_computed_column(i=inverse(table.a), on_error="abort")
    with pytest.raises(FunctionError, match="ZeroDivisionError"):
        table.insert([{"a": 0}], on_error="null")
    assert table.count().execute() == 2


def test_null_is_not_passed_to_function_without_optional_parameter(table):
    table.add_computed_column(c=doubled(table.a))
    table.insert(b=1)
    assert table.collect()["c"] == [2, 4, None]


def test_function_results_of_each_type_are_stored(table):
    kinds = {
        "text": (str, "x"),
        "data": (dict, {"k": [1, None]}),
        "many": (list[str], ["a", "b"]),
        "vector": (bb.Vector(2), [1.0, 2.0]),
        "record": (bb.Struct({"x": bb.Int, "y": bb.String}), {"x": 1, "y": "z"}),
        "raw": (bytes, b"\x00"),
    }
    for name, (kind, value) in kinds.items():

        @bb.udf(return_type=kind, name=f"test_computed.{name}")
        def made(a: int, value=value):
            return value

        table.add_computed_column(**{name: made(table.a)})
    row = table.collect()[0]
    assert {name: row[name] for name in kinds} == {name: v for name, (_kind, v) in kinds.items()}
    table.insert(a=9, b=9)
    assert table.filter(table.record.x == 1).count().to_pyarrow().as_py() == 3
    assert table.filter(table.data.k[0].int == 1).count().to_pyarrow().as_py() == 3


# -- Many rows -------------------------------------------------------------------------------------


@bb.udf
def careful(value: int) -> int:
    if value == 8:
        raise ValueError("eight")
    return value + 1


@bb.udf(on_error="null")
def lenient(value: int) -> int:
    return careful(value)


@bb.udf(batch_size=4)
def placed(values: list[int]) -> list[bb.Vector(400)]:
    return [[float(value)] * 400 for value in values]


def test_column_of_many_rows_is_computed_in_batches(session, monkeypatch):
    """Results are computed in bounded batches and give one column, or one error."""
    from barbule.tables.compute import computed_columns

    monkeypatch.setattr(computed_columns, "_BATCH_BYTES", 100)
    monkeypatch.setattr(computed_columns, "_MIN_BATCH_ROWS", 4)
    table = session.create_table("t", {"a": bb.Int})
    table.insert([{"a": n} for n in range(30)])
    table.delete(where=table.a.between(3, 6))
    table.update({"a": 100}, where=table.a == 7)
    with pytest.raises(FunctionError, match=r"column 'c', row 3: .*eight"):
        table.add_computed_column(c=careful(table.a))
    table.add_computed_column(d=lenient(table.a), v=placed(table.a))
    assert "c" not in table.columns
    rows = table.order_by("a").collect()
    assert rows["d"] == [None if a == 8 else a + 1 for a in rows["a"]]
    assert [vector[399] for vector in rows["v"]] == rows["a"]
    assert table.errors().collect()["column"] == ["d"]


def test_inserted_rows_are_computed_in_batches(session, monkeypatch):
    from barbule.tables.compute import computed_columns

    monkeypatch.setattr(computed_columns, "_BATCH_BYTES", 100)
    monkeypatch.setattr(computed_columns, "_MIN_BATCH_ROWS", 4)
    table = session.create_table("t", {"a": bb.Int})
    table.add_computed_column(c=careful(table.a))
    table.add_computed_column(d=table.c + lenient(table.a), v=placed(table.c))
    big = session.create_view("big", table.where(table.a > 10))
    big.add_computed_column(w=placed(big.c))
    with pytest.raises(FunctionError, match=r"table 't', column 'c', row 8: .*eight"):
        table.insert([{"a": n} for n in range(30)])
    table.insert([{"a": n} for n in range(30) if n != 8])
    table.update({"a": table.a + 100}, where=table.a >= 20)
    table.recompute("c", "v")
    rows = table.order_by("a").collect()
    assert rows["c"] == [a + 1 for a in rows["a"]]
    assert rows["d"] == [2 * a + 2 for a in rows["a"]]
    assert [vector[399] for vector in rows["v"]] == rows["c"]
    observed = big.order_by("a").collect()
    assert observed["a"] == rows["a"][10:]
    assert [vector[0] for vector in observed["w"]] == observed["c"]


def test_vectors_match_their_rows_in_each_version(session):
    table = session.create_table("t", {"a": bb.Int})
    table.insert([{"a": n} for n in range(6000)])
    table.delete(where=table.a.between(1000, 1999))
    table.update({"a": table.a + 10_000}, where=table.a >= 5500)
    before = table.checkpoint("before")
    table.add_computed_column(v=placed(table.a))
    table.update({"a": -1}, where=table.a == 0)
    rows = table.order_by("a").collect()
    assert len(rows) == 5000
    assert [vector[0] for vector in rows["v"]] == rows["a"]
    assert table.at(before).count().execute() == 5000
    assert table.at(1).count().execute() == 6000
