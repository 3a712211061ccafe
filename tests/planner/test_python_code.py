"""Expressions are printed as Python code that evaluates to them."""

from __future__ import annotations

import datetime

import ibis
import pytest
from ibis import _

import barbule as bb
from barbule.planner.python_code import expression_code

VALUES = [
    "films.revenue - films.budget",
    "(films.revenue - films.budget) * 2 / films.revenue",
    "films.revenue - (films.budget - films.revenue)",
    "-(films.revenue + films.budget)",
    "2 ** films.year",
    "(films.year ** 2) ** films.year",
    "films.year // 10 % 3",
    "(films.revenue > 3) & ~(films.budget <= 2) | (films.name == 'Up')",
    "films.year.between(2000, 2010)",
    "films.year.isin([2009, 2015])",
    "films.name.upper() + '!'",
    "films.name.replace('a', 'b').length()",
    "films.name.substr(0, 3)",
    "films.name[1:3]",
    "films.name.contains('x') | films.name.startswith('y')",
    "films.name.re_search('^U')",
    "films.name.re_extract('(U)', 1)",
    "films.name.split(' ')[0]",
    "films.name.like('U%')",
    "films.name.nullif('')",
    "films.name.isnull()",
    "films.year.cast('string')",
    "films.name.try_cast('int64')",
    "ibis.coalesce(films.name, 'none')",
    "ibis.greatest(films.revenue, films.budget)",
    "ibis.ifelse(films.year > 2000, 'new', 'old')",
    "ibis.cases((films.year > 2000, 'new'), (films.year > 1990, 'old'), else_='older')",
    "films.year.cases((1, 'a'), (2, 'b'), else_='c')",
    "films.revenue.round(2)",
    "films.revenue.sqrt().log(2)",
    "films.shown.year()",
    "films.shown.strftime('%Y')",
    "films.shown.truncate('D')",
    "films.shown.date()",
    "films.shown + ibis.interval(3, unit='D')",
    "films.shown - films.shown",
    "films.shown < ibis.timestamp('2026-01-01 00:00:00')",
    "films.shown.date() == ibis.date('2026-01-01')",
    "films.shown.day_of_week.full_name()",
    "films.words.length()",
    "films.words[0].upper()",
    "films.words.map(lambda word: word.upper())",
    "films.words.filter(lambda word: word.length() > 3)",
    "films.words.contains('x')",
    "films.words.join(', ')",
    "films.words + films.words",
    "films.place.x * 2",
    "ibis.struct({'a': films.year, 'b': films.name})",
    "ibis.array([films.revenue, films.budget])",
    "films.meta.a.b[0].float * 2",
    "films.meta['count'].str.upper()",
    "films['count'] + 1",
    "films['the year'] + 1",
    "films.revenue.sum()",
    "films.revenue.mean(where=films.year > 2000)",
    "films.name.nunique()",
    "films.count()",
    "films.revenue.sum().over(group_by=[films.year])",
    "ibis.row_number().over(group_by=[films.year], order_by=[ibis.desc(films.revenue)])",
    "ibis.literal('x').upper()",
]
QUERIES = [
    "films.filter(films.year > 2000)",
    "films.filter(films.year > 2000, films.name != 'Up').select('name', y=_.year)",
    "films.select('name', double=films.revenue * 2)",
    "films.mutate(double=films.revenue * 2)",
    "films.group_by('year').agg(revenue=films.revenue.sum())",
    "films.group_by(large=films.budget > 180).agg(revenue=films.revenue.sum())",
    "films.agg(n=films.count())",
    "films.order_by(films.year, ibis.desc(films.name)).limit(3, offset=1)",
    "films.drop('words')",
    "films.distinct()",
    "films.select('name').union(films.select('name'), distinct=True)",
    "films.join(cast, [films.name == cast.film])",
    "films.left_join(cast, [films.name == cast.film])",
]


@pytest.fixture(scope="module")
def names():
    kinds = {"name": "string", "revenue": "float64", "budget": "float64", "year": "int64"}
    kinds |= {"shown": "timestamp", "words": "array<string>", "place": "struct<x: float64>"}
    kinds |= {"meta": bb.Json(), "count": "int64", "the year": "int64"}
    films = ibis.table(kinds, name="films")
    cast = ibis.table({"film": "string", "actor": "string"}, name="cast")
    return {"films": films, "cast": cast, "ibis": ibis, "_": _}


@pytest.mark.parametrize("text", VALUES)
def test_value_expression_prints_as_source(text, names):
    value = eval(text, names)
    assert expression_code(value.op()) == text


@pytest.mark.parametrize("text", QUERIES)
def test_query_code_evaluates_to_equal_query(text, names):
    query = eval(text, names)
    again = eval(expression_code(query.op()), names)
    assert again.equals(query)


def test_negative_exponent_is_parenthesized(names):
    films = names["films"]
    assert expression_code((films.year - -1).op()) == "films.year - -1"
    assert expression_code((films.year ** ibis.literal(-1)).op()) == "films.year ** (-1)"


def test_datetime_literal_round_trips(names):
    value = names["films"].shown < datetime.datetime(2026, 1, 31, 9, 30)  # noqa: DTZ001
    assert eval(expression_code(value.op()), names).equals(value)


def test_long_constant_is_truncated(names):
    assert len(expression_code((names["films"].name + "x" * 10_000).op())) < 200
