"""Type changes of base columns: views follow, or the change is refused and names the view."""

from __future__ import annotations

import pytest
from ibis import _

import barbule as bb
from barbule.errors import FunctionError, SchemaError


@pytest.fixture
def calls():
    return []


@pytest.fixture
def formatted(calls):
    @bb.udf(name="types_of_views.shown")
    def formatted(value: bb.Json) -> str:
        calls.append(value)
        return repr(value)

    return formatted


@pytest.fixture
def table(session):
    table = session.create_table("t", {"k": bb.Int, "n": "int16"})
    table.insert([{"k": 1, "n": 5}, {"k": 2, "n": 20}])
    return table


def types_of(view):
    return {name: str(kind) for name, kind in view.schema().items()}


def rows_of(view, *names):
    return sorted((tuple(row[name] for name in names) for row in view.collect()), key=str)


DEPENDENTS = {
    "filter": lambda s, t: s.create_view("v", t.filter(t.n >= 10)),
    "column": lambda s, t: s.create_view("v", t, computed_columns={"d": t.n * 2}),
    "projection": lambda s, t: s.create_view("v", t.select("k", d=t.n * 2)),
    "aggregate": lambda s, t: s.create_view("v", t.group_by("k").agg(s=t.n.sum())),
    "join": lambda s, t: s.create_view("v", t.join(t.view(), "k").select("k", d=_.n + 1)),
    "view of a view": lambda s, t: s.create_view("v", s.create_view("w", t).filter(_.n >= 10)),
    "view of an aggregate": lambda s, t: s.create_view(
        "v", s.create_view("w", t.group_by("k").agg(m=t.n.max())).filter(_.m > 3)
    ),
}


@pytest.mark.parametrize("kind", ["int16", bb.Int])
@pytest.mark.parametrize("dependent", DEPENDENTS)
def test_type_change_that_breaks_view_is_refused(session, kind, dependent):
    table = session.create_table("t", {"k": bb.Int, "n": kind})
    table.insert([{"k": 1, "n": 5}, {"k": 2, "n": 20}])
    before = types_of(table)
    view = DEPENDENTS[dependent](session, table)
    rows = sorted(map(str, view.collect()))
    with pytest.raises(SchemaError, match=r"table 't': the view 'v' cannot be computed from"):
        table.change_type("n", bb.String)
    assert types_of(table) == before
    assert sorted(map(str, view.collect())) == rows
    assert table.insert(k=3, n=7).rows == 1
    assert table.update({"n": 8}, where=_.k == 3).rows == 1
    table.add_columns({"extra": bb.String})
    table.revert(to=1)
    assert sorted(map(str, view.collect())) == rows
    session.drop_table("v")
    if "w" in session.list_tables():
        session.drop_table("w")
    table.change_type("n", bb.String)
    assert rows_of(table, "n") == [("20",), ("5",)]


@pytest.mark.parametrize("stored", [False, True])
def test_type_change_names_computed_column_it_breaks(table, stored):
    table.add_computed_column(d=table.n * 2, stored=stored)
    with pytest.raises(SchemaError, match="the column 'd' cannot be computed"):
        table.change_type("n", bb.String)
    assert table.insert(k=3, n=7).rows == 1


def test_type_change_names_view_function_it_breaks(session, table):
    @bb.udf
    def plus(value: int) -> int:
        return value + 1

    session.create_view("v", table, computed_columns={"d": plus(table.n)})
    with pytest.raises(FunctionError, match="table 'v', column 'd'"):
        table.change_type("n", bb.String)
    assert types_of(table)["n"] == "int16"
    assert table.insert(k=3, n=7).rows == 1


def test_replaced_expression_that_breaks_view_is_refused(session, table):
    table.add_computed_column(d=table.n + 1)
    view = session.create_view("v", table.filter(table.d > 6))
    with pytest.raises(SchemaError, match="the view 'v' cannot be computed"):
        table.add_computed_column(d=table.n.cast("string"), if_exists="replace")
    assert rows_of(view, "d") == [(21,)]
    assert table.insert(k=3, n=7).rows == 1


def test_type_change_widens_dependent_views(session, table, formatted, calls):
    table.add_computed_column(d=table.n)
    view = session.create_view("v", table.filter(_.n > 0), computed_columns={"e": table.n})
    view.add_computed_column(f=formatted(view.d), g=view.e, h=formatted(view.k))
    upper_view = session.create_view("w", view.filter(_.e > 5), computed_columns={"i": view.g})
    tops = session.create_view("a", table.group_by("k").agg(m=table.n.max()))
    tops.add_computed_column(j=tops.m, f=formatted(tops.m))
    highest = session.create_view("b", tops.agg(top=tops.m.max()))
    over = session.create_view("c", upper_view.join(tops, "k").select("k", "g", "m"))
    calls.clear()
    table.change_type("n", bb.Int)
    assert "k" not in calls  # columns that do not read it are not recomputed
    assert types_of(view) == {
        "k": "int64", "n": "int64", "d": "int64", "e": "int64", "f": "string", "g": "int64",
        "h": "string",
    }  # fmt: skip
    assert types_of(upper_view)["i"] == "int64"
    assert types_of(tops) == {"k": "int64", "m": "int64", "j": "int64", "f": "string"}
    assert types_of(highest) == {"top": "int64"}
    assert types_of(over) == {"k": "int64", "g": "int64", "m": "int64"}
    large = 10**12
    table.insert(k=3, n=large)
    assert (large, large, repr(large), "3") in rows_of(view, "e", "g", "f", "h")
    assert rows_of(upper_view, "k", "i") == [(2, 20), (3, large)]
    assert rows_of(tops, "m", "j", "f") == [
        (large, large, repr(large)), (20, 20, "20"), (5, 5, "5"),
    ]  # fmt: skip
    assert rows_of(highest, "top") == [(large,)]
    assert rows_of(over, "k", "g", "m") == [(2, 20, 20), (3, large, large)]
    assert over.to_pyarrow().schema.field("m").type.bit_width == 64


def test_values_converted_by_type_change_reach_all_views(session, table, formatted):
    view = session.create_view("v", table, computed_columns={"f": formatted(table.n)})
    tops = session.create_view("a", table.agg(m=table.n.max()))
    tops.add_computed_column(f=formatted(tops.m))
    over = session.create_view("b", view.group_by("f").agg(rows=view.count()))
    table.change_type("n", bb.String)
    assert rows_of(view, "n", "f") == [("20", "'20'"), ("5", "'5'")]
    assert rows_of(tops, "m", "f") == [("5", "'5'")]  # the maximum of strings
    assert rows_of(over, "f", "rows") == [("'20'", 1), ("'5'", 1)]
    assert rows_of(view.at(0), "n", "f") == [(20, "20"), (5, "5")]
    assert rows_of(tops.at(0), "m") == [(20,)]
    table.insert(k=3, n="7")
    assert rows_of(view, "n", "f")[2] == ("7", "'7'")
    assert rows_of(tops, "m") == [("7",)]


def test_type_change_recomputes_iterator_rows(session, table):
    @bb.iterator(return_type={"part": str})
    def digits(value: bb.Json):
        yield from ({"part": repr(value)} for _digit in str(value))

    view = session.create_view("v", table, iterator=digits(table.n))
    table.change_type("n", bb.String)
    assert rows_of(view, "n", "part") == [("20", "'20'"), ("20", "'20'"), ("5", "'5'")]


def test_view_of_unnested_items_refuses_wider_item_type(session):
    table = session.create_table("t", {"xs": bb.Array("int16")})
    table.insert(xs=[1, 2])
    view = session.create_view("v", table.select(x=table.xs.unnest()))
    with pytest.raises(SchemaError, match=r"the view 'v' .* it stores 'x' as int16, not int64"):
        table.change_type("xs", bb.Array(bb.Int))
    table.insert(xs=[3])
    assert rows_of(view, "x") == [(1,), (2,), (3,)]


def test_type_change_never_narrows_computed_values(session, table):
    table.add_computed_column(d=table.n * 2)  # computed as int64
    with pytest.raises(
        SchemaError, match=r"'d' cannot be .* it computes 'n' as int64, not float64"
    ):
        table.change_type("n", bb.Float)
    table.add_computed_column(d=table.n.cast("int8"), if_exists="replace")
    table.change_type("n", bb.Int)
    assert types_of(table) == {"k": "int64", "n": "int64", "d": "int8"}


def test_revert_restores_types_in_views(session, table, formatted):
    early = session.create_view(
        "early", table, computed_columns={"e": table.n, "f": formatted(_.n)}
    )
    table.change_type("n", bb.Int)
    late = session.create_view("late", table, computed_columns={"e": table.n, "f": formatted(_.n)})
    tops = session.create_view("a", table.agg(m=table.n.max()))
    table.insert(k=3, n=10**12)
    table.revert(to=1)
    assert types_of(early)["e"] == types_of(late)["e"] == types_of(tops)["m"] == "int16"
    for view in (early, late):
        assert rows_of(view, "n", "e", "f") == [(20, 20, "20"), (5, 5, "5")]
    assert rows_of(tops, "m") == [(20,)]
    table.insert(k=4, n=30)
    assert rows_of(tops, "m") == [(30,)]
    table.revert()
    table.revert(to=2)
    assert types_of(late)["e"] == "int64"
    assert rows_of(late, "e") == [(20,), (5,)]


def test_revert_to_type_that_breaks_later_view_is_refused(session, table):
    table.change_type("n", bb.String)
    session.create_view("v", table.filter(_.n.length() > 1))
    with pytest.raises(SchemaError, match="the view 'v' cannot be computed"):
        table.revert(to=1)
    assert table.insert(k=3, n="700").rows == 1
    assert rows_of(session.get_table("v"), "n") == [("20",), ("700",)]


def test_revert_past_rename_restores_types_of_join_view(session):
    table = session.create_table("t", [{"id": 1, "n": 5}, {"id": 2, "n": 20}])
    table.checkpoint("good")
    view = session.create_view("v", table.join(table.view(), "n").select("n", "id"))
    table.change_type("n", bb.String)
    table.rename_column("id", "key")
    assert session.get_table("v").schema()["n"].is_string()
    session.get_table("t").revert(to="good")
    assert session.get_table("t").columns == ("id", "n")
    assert sorted(map(tuple, (row.values() for row in view.collect()))) == [(5, 1), (20, 2)]
