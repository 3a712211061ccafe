"""User-defined aggregates in every position where Ibis allows aggregates."""

from __future__ import annotations

import ibis
import pytest
from ibis import _

import barbule as bb
from barbule.errors import ExpressionError, FunctionError, SchemaError


@pytest.fixture
def films(session):
    films = bb.create_table("films", {"name": bb.String, "genre": bb.String, "year": bb.Int})
    films.insert(
        [
            {"name": "Up", "genre": "a", "year": 2009},
            {"name": "Coco", "genre": "a", "year": 2017},
            {"name": "Soul", "genre": "b", "year": 2020},
            {"name": None, "genre": "b", "year": None},
        ]
    )
    return films


@pytest.fixture
def joined():
    @bb.uda
    class Joined:
        """Put texts one behind the other."""

        def __init__(self, between: str = ","):
            self.texts = []
            self.between = between

        def update(self, text: str | None) -> None:
            self.texts.append(text or "-")

        def value(self) -> str:
            return self.between.join(self.texts)

    return Joined


def test_uda_aggregates_groups_in_order(films, joined):
    found = films.group_by("genre").agg(names=joined(films.name, order_by=films.name.desc()))
    assert sorted(map(tuple, (r.values() for r in found.collect()))) == [
        ("a", "Up,Coco"),
        ("b", "Soul,-"),
    ]


def test_uda_aggregates_all_rows_with_options(films, joined):
    shown = films.filter(films.name.notnull()).agg(
        names=joined(_.name, between="+", order_by=_.name), last=_.year.max()
    )
    assert shown.collect() == [{"names": "Coco+Soul+Up", "last": 2020}]
    assert joined(["a", "b"], between="-") == "a-b"


def test_uda_accepts_several_columns_and_expressions(films):
    @bb.uda(return_type=bb.Struct({"first": bb.Int, "films": bb.Json}))
    class Span:
        def __init__(self):
            self.found = {}

        def update(self, name, year):
            self.found[name] = year

        def value(self):
            return {"first": min(self.found.values()), "films": self.found}

    known = films.filter(films.year.notnull())
    row = (
        known.agg(s=Span(known.name.upper(), known.year))
        .select(first=_.s["first"], films=_.s["films"])
        .collect()[0]
    )
    assert row == {"first": 2009, "films": {"UP": 2009, "COCO": 2017, "SOUL": 2020}}


def test_uda_in_a_cumulative_window(films, joined):
    window = ibis.cumulative_window(group_by="genre", order_by="name")
    known = films.filter(films.name.notnull())
    rows = known.mutate(so_far=joined(known.name, order_by=known.name).over(window)).collect()
    assert {row["name"]: row["so_far"] for row in rows} == {
        "Up": "Coco,Up",
        "Coco": "Coco",
        "Soul": "Soul",
    }


def test_uda_over_an_ordered_group_window(films, joined):
    named = films.filter(films.name.notnull())
    names = joined(named.name, order_by=named.name.desc()).over(group_by="genre")
    rows = named.mutate(names=names).collect()
    assert {row["name"]: row["names"] for row in rows} == {
        "Up": "Up,Coco",
        "Coco": "Up,Coco",
        "Soul": "Soul",
    }


def test_uda_of_no_rows_is_null(films, joined):
    assert films.filter(films.year > 3000).agg(n=joined(films.name)).collect() == [{"n": None}]


def test_uda_error_is_reported(films):
    @bb.uda
    class Failing:
        def update(self, year: int) -> None:
            self.total = 1 / year

        def value(self) -> float:
            raise ValueError("no value")

    with pytest.raises(FunctionError, match="no value"):
        films.filter(films.year.notnull()).agg(x=Failing(films.year)).collect()


def test_uda_class_without_methods_or_type_is_rejected():
    with pytest.raises(ExpressionError, match=r"lacks value"):

        @bb.uda
        class NoValue:
            def update(self, x: int) -> None: ...

    with pytest.raises(SchemaError, match="does not declare its result type"):

        @bb.uda
        class NoType:
            def update(self, x: int) -> None: ...

            def value(self): ...


def test_wrong_uda_argument_is_rejected(films, joined):
    with pytest.raises(ExpressionError, match="Joined"):
        films.agg(x=joined(films.name, glue=","))


def test_uda_column_of_another_type_is_rejected_before_execution(films):
    @bb.uda
    class Total:
        def __init__(self):
            self.seen = []

        def update(self, x: float, unit: str = "m") -> None:
            self.seen.append((type(x).__name__, unit))

        def value(self) -> bb.Json:
            return self.seen

    with pytest.raises(ExpressionError, match=r"Total: the parameter 'x' takes float64.*'name'"):
        films.agg(x=Total(films.name))
    with pytest.raises(ExpressionError, match="the parameter 'unit' takes string"):
        films.agg(x=Total(films.year, unit=3))
    found = films.agg(x=Total(films.year.fill_null(0))).collect()[0, "x"]
    assert set(map(tuple, found)) == {("float", "m")}


def test_uda_skips_null_rows(session):
    @bb.uda
    class Total:
        def __init__(self, start: int = 0):
            self.sum = start

        def update(self, x: int, weight: int | None = None) -> None:
            self.sum += x * (weight or 1)

        def value(self) -> int:
            return self.sum

    rows = [
        {"g": "a", "x": 1, "w": 2},
        {"g": "a", "x": None, "w": 1},
        {"g": "a", "x": 3, "w": None},
        {"g": "b", "x": None, "w": 1},
    ]
    t = bb.create_table("t", rows)
    assert t.agg(s=Total(t.x)).collect()[0, "s"] == 4
    grouped = t.group_by("g").agg(s=Total(t.x, t.w), more=Total(t.x, start=10)).order_by("g")
    assert grouped.collect() == [
        {"g": "a", "s": 5, "more": 14},
        {"g": "b", "s": None, "more": None},
    ]
    assert Total([1, None, 3]) == 4
    assert Total([1, 2], [None, 5], start=1) == 12
