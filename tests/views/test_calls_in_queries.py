"""Views whose queries call functions, for new and changed rows only."""

from __future__ import annotations

import ibis
import pytest
from ibis import _

import barbule as bb
from barbule.errors import UnsupportedError


@pytest.fixture
def films(session):
    return bb.create_table("films", [{"name": "Up", "year": 2009}, {"name": "Coco", "year": 2017}])


@pytest.fixture
def calls():
    return []


@pytest.fixture
def loud(calls):
    @bb.udf
    def loud(name: str) -> str:
        calls.append(name)
        return name.upper()

    return loud


def _rows(table):
    return sorted(tuple(row.values()) for row in table.collect())


def test_filter_calls_function_for_new_and_changed_rows(films, calls, loud):
    view = bb.create_view("long", films.filter(loud(_.name).length() > 2))
    assert _rows(view) == [("Coco", 2017)]
    assert sorted(calls) == ["Coco", "Up"]
    calls.clear()
    films.insert(name="Brave", year=2012)
    films.update({"year": 2010}, where=films.name == "Up")
    assert calls == ["Brave"]
    assert _rows(view) == [("Brave", 2012), ("Coco", 2017)]
    films.update({"name": "Upwards"}, where=films.name == "Up")
    assert calls == ["Brave", "Upwards"]
    assert _rows(view) == [("Brave", 2012), ("Coco", 2017), ("Upwards", 2010)]
    assert _rows(view.filter(_.year > 2011)) == [("Brave", 2012), ("Coco", 2017)]
    films.update({"name": "Co"}, where=films.name == "Coco")
    assert _rows(view) == [("Brave", 2012), ("Upwards", 2010)]
    assert _rows(view.at(0)) == [("Coco", 2017)]


def test_calls_in_a_projection_become_computed_columns(films, calls, loud):
    query = films.mutate(cry=loud(_.name)).mutate(twice=_.cry + "!").rename(title="name")
    view = bb.create_view("cries", query)
    assert _rows(view) == [("Coco", 2017, "COCO", "COCO!"), ("Up", 2009, "UP", "UP!")]
    assert sorted(calls) == ["Coco", "Up"]
    calls.clear()
    films.insert(name="Brave", year=2012)
    films.update({"year": 2010}, where=films.name == "Up")
    assert calls == ["Brave"]
    assert ("Up", 2010, "UP", "UP!") in _rows(view)
    films.update({"name": "Down"}, where=films.name == "Up")
    assert calls == ["Brave", "Down"]
    assert ("Down", 2010, "DOWN", "DOWN!") in _rows(view)


def test_filter_on_called_column_follows_inserts_and_deletes(films, loud):
    view = bb.create_view("cries", films.mutate(cry=loud(_.name)).filter(_.cry == "UP"))
    assert _rows(view) == [("Up", 2009, "UP")]
    films.insert(name="up", year=2030)
    assert _rows(view) == [("Up", 2009, "UP"), ("up", 2030, "UP")]
    films.delete(where=films.year == 2030)
    assert _rows(view) == [("Up", 2009, "UP")]


def test_view_reports_cell_errors_of_called_column(films):
    @bb.udf(on_error="null")
    def inverse(year: int) -> float:
        return 1 / (year - 2009)

    view = bb.create_view("inverted", films.mutate(share=inverse(_.year)))
    assert [tuple(row.values()) for row in view.filter(_.share.isnull()).collect()] == [
        ("Up", 2009, None)
    ]
    (failed,) = view.errors().collect()
    assert (failed["column"], failed["type"]) == ("share", "ZeroDivisionError")


def test_iterator_view_over_filter_with_call(films, calls, loud):
    @bb.iterator(return_type={"letter": str})
    def letters(word: str):
        return [{"letter": letter} for letter in word]

    query = films.filter(loud(_.name) == "UP")
    view = bb.create_view("letters", query, iterator=letters(films.name))
    assert [row["letter"] for row in view.order_by("pos").collect()] == ["U", "p"]
    assert sorted(calls) == ["Coco", "Up"]


def test_call_on_column_the_view_omits_is_refused(films, loud):
    with pytest.raises(UnsupportedError, match=r"'cry'.*'name', which is not a column of the view"):
        bb.create_view("cries", films.select("year", cry=loud(_.name)))
    with pytest.raises(UnsupportedError, match="all its columns are calls"):
        bb.create_view("cries", films.select(cry=loud(_.name)))
    assert bb.list_tables() == ["films"]


def test_call_in_aggregate_is_refused_with_alternative(films, calls, loud):
    with pytest.raises(UnsupportedError, match=r"combines rows.*this view over that"):
        bb.create_view("cries", films.group_by(cry=loud(_.name)).agg(films=_.count()))
    cries = bb.create_view("cries", films.mutate(cry=loud(_.name)))
    counts = bb.create_view("counts", cries.group_by("cry").agg(films=_.count()))
    calls.clear()
    films.insert(name="up", year=1)
    assert _rows(counts) == [("COCO", 1), ("UP", 2)]
    assert calls == ["up"]


def test_filter_on_other_rows_triggers_full_refresh(films):
    newer = bb.create_view("newer", films.filter(_.year > films.year.mean()))
    assert _rows(newer) == [("Coco", 2017)]
    films.insert([{"name": "Brave", "year": 2012}, {"name": "Bambi", "year": 1942}])
    assert _rows(newer) == [("Brave", 2012), ("Coco", 2017), ("Up", 2009)]


def test_rank_triggers_full_refresh(films, calls, loud):
    ranked = films.mutate(place=ibis.row_number().over(order_by=films.year))
    view = bb.create_view("ranked", ranked, computed_columns={"cry": loud(ranked.name)})
    assert _rows(view) == [("Coco", 2017, 1, "COCO"), ("Up", 2009, 0, "UP")]
    films.insert(name="Bambi", year=1942)
    assert _rows(view) == [
        ("Bambi", 1942, 0, "BAMBI"), ("Coco", 2017, 2, "COCO"), ("Up", 2009, 1, "UP")
    ]  # fmt: skip
