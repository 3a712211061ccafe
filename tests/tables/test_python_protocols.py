"""Errors for queries and columns that are used as Python containers, numbers and strings."""

from __future__ import annotations

import math

import ibis
import pytest

import barbule as bb
from barbule.errors import ExpressionError


@pytest.fixture
def films(session):
    return session.create_table("films", [{"name": "Up", "year": 2009}])


def assign(target, key):
    target[key] = target.year + 1


def test_assigned_column_of_a_table_is_refused_with_the_method_to_use(films):
    message = (
        r"table 'films', column 'age': columns cannot be assigned\. "
        r"t\.add_computed_column\(age=\.\.\.\) adds .*; t\.mutate\(age=\.\.\.\) returns a query"
    )
    with pytest.raises(TypeError, match=message) as raised:
        assign(films, "age")
    assert isinstance(raised.value, ExpressionError)
    with pytest.raises(AttributeError, match=message) as raised:
        films.age = films.year + 1
    assert isinstance(raised.value, ExpressionError)
    assert films.columns == ("name", "year")


def test_assigned_existing_column_is_refused_with_update(films):
    with pytest.raises(
        ExpressionError, match=r"t\.update\(\{'year': \.\.\.\}\) changes the values"
    ):
        assign(films, "year")
    with pytest.raises(
        ExpressionError, match=r"t\.update\(\{'year': \.\.\.\}\) changes the values"
    ):
        films.year = 1


def test_assigned_name_that_is_no_identifier_is_hinted_as_a_mapping(films):
    with pytest.raises(ExpressionError, match=r"add_computed_column\(\*\*\{'my age': \.\.\.\}\)"):
        assign(films, "my age")


def test_assigned_column_of_a_query_is_refused_with_mutate(films):
    query = films.filter(films.year > 2000)
    with pytest.raises(
        ExpressionError, match=r"columns cannot be assigned\. t\.mutate\(age="
    ) as raised:
        assign(query, "age")
    assert "add_computed_column" not in str(raised.value)
    with pytest.raises(ExpressionError, match=r"columns cannot be assigned\. t\.mutate\(age="):
        query.age = 1


def test_deleted_column_is_refused_with_the_method_to_use(films):
    message = r"del\. t\.drop_column\('year'\) removes it; t\.drop\('year'\) returns a query"
    with pytest.raises(TypeError, match=message):
        del films["year"]
    with pytest.raises(AttributeError, match=message):
        del films.year
    with pytest.raises(ExpressionError, match=r"with del\. t\.drop\('year'\) returns a query"):
        del films.limit(1)["year"]


def test_assigned_cell_is_refused_with_update(films):
    message = r"table 'films', column 'year': .*t\.update\(\{'year': \.\.\.\}, where=\.\.\.\)"
    with pytest.raises(TypeError, match=message):
        films.year[0] = 1
    with pytest.raises(AttributeError, match=message):
        films.year.value = 1


@pytest.mark.parametrize(
    ("convert", "function", "hint"),
    [
        (lambda t: int(t.year), "int", r't\.year\.cast\("int64"\), or use @bb\.udf'),
        (lambda t: float(t.name), "float", r't\.name\.cast\("float64"\)'),
        (lambda t: math.sqrt(t.year), "float", r't\.year\.cast\("float64"\)'),
        (lambda t: len(t.name), "len", r"t\.name\.length\(\)"),
        (lambda t: len(t.year), "len", r"t\.count\(\) counts the rows"),
        (lambda t: int(t.year + 1), "int", r't\.a\.cast\("int64"\)'),
    ],
)
def test_conversion_of_a_column_to_a_python_number_is_refused(films, convert, function, hint):
    message = rf"{function}\(\) returns a single number, .* one value for each row\. .*{hint}"
    with pytest.raises(ExpressionError, match=message):
        convert(films)
    with pytest.raises(TypeError, match=message):
        films.mutate(x=convert)


def test_conversion_of_a_scalar_is_refused_with_its_execution(films):
    with pytest.raises(ExpressionError, match=r"int\(expression\.to_pyarrow\(\)\.as_py\(\)\)"):
        int(films.year.max())
    assert int(films.year.max().to_pyarrow().as_py()) == 2009


@pytest.mark.parametrize(
    "use",
    [
        lambda t, text: t.select(a=text),
        lambda t, text: t.mutate(a=text),
        lambda t, text: t.filter(text),
        lambda t, text: t.order_by(text),
        lambda t, text: t.group_by(text).agg(n=t.count()),
        lambda t, text: t.add_computed_column(a=text),
    ],
    ids=["select", "mutate", "filter", "order_by", "group_by", "add_computed_column"],
)
@pytest.mark.parametrize("text", [lambda t: f"{t.name}!", lambda t: str(t.name) + "!"])
def test_column_formatted_into_a_string_is_refused(films, use, text):
    message = r"table 'films'.*: a column was formatted into a string.*Write t\.name \+ \"!\""
    with pytest.raises(ExpressionError, match=message) as raised:
        use(films, text(films))
    assert len(str(raised.value)) < 500
    assert films.select(a=films.name + "!").collect()["a"] == ["Up!"]


def no_condition(t):
    assert t.columns


@pytest.mark.parametrize(
    "select",
    [
        lambda t, condition: t.filter(condition),
        lambda t, condition: t.where(condition),
        lambda t, condition: t.where(t.year > 1, condition),
        lambda t, condition: t.filter([t.year > 1, condition]),
        lambda t, condition: t.order_by("year").where(condition),
        lambda t, condition: t.group_by("year").having(condition).agg(n=t.count()),
        lambda t, condition: t.agg(n=t.count(), by="year", having=condition),
        lambda t, condition: t.delete(condition),
        lambda t, condition: t.update({"year": 1}, where=condition),
    ],
)
def test_function_that_returns_no_condition_is_refused_by_name(films, select):
    message = r"the condition is None: the function 'no_condition' returned no expression\."
    with pytest.raises(ExpressionError, match=message):
        select(films, no_condition)
    with pytest.raises(ExpressionError, match="the condition is None: the function returned no"):
        select(films, lambda _: None)
    assert films.count().execute() == 1


def test_functions_that_return_conditions_select_rows(films):
    films.insert(name="Soul", year=2020)
    assert films.where(lambda t: t.year > 2010).collect()["name"] == ["Soul"]
    assert films.filter([lambda t: t.year > 1, ibis._.name == "Up"]).collect()["name"] == ["Up"]
    grouped = films.group_by("name").having(lambda t: t.year.max() > 2010).agg(n=ibis._.count())
    assert grouped.collect()["name"] == ["Soul"]
    with pytest.raises(ExpressionError, match="evaluated for each row"):
        films.where(lambda _: True)


def test_representation_of_a_table_says_that_it_is_a_table(films):
    reading = r".collect() returns its rows, .show() prints some."
    assert repr(films).endswith(f"This is a table: {reading}")
    assert repr(films.limit(1)).endswith(f"This query has not been executed: {reading}")
    films.insert(name=f"{films!r}", year=1)
    with pytest.raises(bb.errors.DataError, match="a column was formatted into a string"):
        films.insert(name=f"{films}", year=1)
