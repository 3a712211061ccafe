"""Calls in every clause follow Python semantics and run only for the rows that remain."""

from __future__ import annotations

import ibis
import pytest
from ibis import _

import barbule as bb
from barbule.errors import FunctionError

# Ibis sets a pandas option that pandas 4 removes.
pytestmark = pytest.mark.filterwarnings("ignore:The 'future.infer_string' option")

ROWS = [
    {"name": "up", "year": 2009, "revenue": 735.1},
    {"name": "alien", "year": 1979, "revenue": 106.3},
    {"name": "aliens", "year": 1986, "revenue": 131.1},
    {"name": None, "year": 2001, "revenue": None},
    {"name": "heat", "year": 1995, "revenue": 187.4},
]
NAMED = [row for row in ROWS if row["name"] is not None]
CALLED: list = []


@bb.udf
def shout(text: str) -> str:
    CALLED.append(text)
    return text.upper() + "!"


@bb.udf
def size(text: str) -> int:
    CALLED.append(text)
    return len(text)


@bb.udf
def fits(left: str, right: str) -> bool:
    CALLED.append((left, right))
    return right.startswith(left)


@pytest.fixture(autouse=True)
def reset_called():
    CALLED.clear()


@pytest.fixture
def films(session):
    table = bb.create_table("films", {"name": bb.String, "year": bb.Int, "revenue": bb.Float})
    table.insert(ROWS)
    return table


@pytest.fixture
def people(session):
    table = bb.create_table("people", {"who": bb.String, "film": bb.String})
    table.insert([{"who": "Ripley", "film": "ALIEN!"}, {"who": "Carl", "film": "UP!"}])
    return table


def test_call_in_select_and_mutate(films):
    result = films.order_by("year").mutate(loud=shout(films.name)).select("loud").collect()
    assert result["loud"] == ["ALIEN!", "ALIENS!", "HEAT!", None, "UP!"]
    assert sorted(CALLED) == ["alien", "aliens", "heat", "up"]


def test_call_in_filter_runs_after_cheap_predicates(films):
    result = films.filter(size(films.name) > 4, films.year < 1990).order_by("year").collect()
    assert result["name"] == ["alien", "aliens"]
    assert sorted(CALLED) == ["alien", "aliens"]


def test_later_cheap_filters_and_limits_run_before_the_call(films):
    query = films.mutate(n=size(films.name)).order_by("year").filter(_.year > 1980).limit(2)
    assert query.collect()["n"] == [6, 4]
    assert sorted(CALLED) == ["aliens", "heat"]


def test_limit_after_a_filter_by_a_call_applies_to_its_result(films):
    result = films.order_by("year").filter(size(films.name) == 4).limit(1).collect()
    assert result["name"] == ["heat"]


def test_call_in_order_by(films):
    result = films.filter(films.name.notnull()).order_by(size(films.name), "name").collect()
    assert result["name"] == sorted(
        (row["name"] for row in NAMED), key=lambda name: (len(name), name)
    )


def test_call_in_group_by_and_in_aggregates(films):
    result = films.group_by(long=size(films.name) > 4).agg(n=_.count(), most=size(films.name).max())
    by_key = {row["long"]: (row["n"], row["most"]) for row in result.collect()}
    assert by_key == {True: (2, 6), False: (2, 4), None: (1, None)}
    assert sorted(CALLED) == ["alien", "aliens", "heat", "up"]  # equal calls run once


def test_call_on_an_aggregate_runs_once_per_group(films):
    named = films.filter(films.name.notnull())
    result = named.group_by(century=named.year // 1000).agg(last=shout(named.name.max()))
    assert {row["century"]: row["last"] for row in result.collect()} == {1: "HEAT!", 2: "UP!"}
    assert sorted(CALLED) == ["heat", "up"]


def test_call_in_a_window(films):
    rank = ibis.row_number().over(order_by=size(films.name))
    result = films.filter(films.name.notnull()).mutate(rank=rank).order_by("rank").collect()
    assert result["name"] == ["up", "heat", "alien", "aliens"]
    running = size(films.name).sum().over(order_by=films.year, rows=(None, 0))
    summed = films.filter(films.name.notnull()).mutate(total=running).order_by("year").collect()
    assert summed["total"] == [5, 11, 15, 17]


def test_call_on_a_window_function(films):
    before = films.name.lag().over(order_by=films.year)
    result = films.filter(films.name.notnull()).select("year", x=shout(before)).order_by("year")
    assert result.collect()["x"] == [None, "ALIEN!", "ALIENS!", "HEAT!"]


def test_window_covers_rows_before_a_later_filter(films):
    numbered = films.mutate(n=size(films.name), before=films.year.lag().over(order_by=films.year))
    assert numbered.filter(_.year == 1986).collect()["before"] == [1979]


def test_call_in_and_beside_a_join_predicate(films, people):
    joined = films.join(people, shout(films.name) == people.film)
    result = joined.select(people.who, films.year, n=size(films.name)).order_by("who").collect()
    assert result == [
        {"who": "Carl", "year": 2009, "n": 2},
        {"who": "Ripley", "year": 1979, "n": 5},
    ]


def test_calls_on_both_sides_of_a_join(films, people):
    joined = films.join(people, shout(films.name) == shout(people.film.lower().replace("!", "")))
    assert sorted(joined.select("who").collect()["who"]) == ["Carl", "Ripley"]


def test_left_join_keeps_unmatched_rows(films, people):
    joined = films.left_join(people, shout(films.name) == people.film).select("year", "who")
    result = {row["year"]: row["who"] for row in joined.collect()}
    assert result == {2009: "Carl", 1979: "Ripley", 1986: None, 2001: None, 1995: None}


def test_call_over_a_join_with_columns_of_both_sides(films, people):
    joined = films.join(people, films.year > 0).mutate(same=fits(films.name, people.film.lower()))
    result = joined.filter(_.same).select("name", "who").order_by("who").collect()
    assert result == [{"name": "up", "who": "Carl"}, {"name": "alien", "who": "Ripley"}]


def test_call_over_a_self_join(films):
    other = films.view()
    pairs = films.join(other, [films.year < other.year, fits(films.name, films.name)])
    named = pairs.select(first=films.name, second=other.name)
    result = named.filter(fits(named.first, named.second)).collect()
    assert result == [{"first": "alien", "second": "aliens"}]


def test_call_over_an_alias_of_the_table(films):
    other = films.view()
    assert other.filter(size(other.name) == 6).select(x=shout(other.name)).collect() == [
        {"x": "ALIENS!"}
    ]


def test_call_in_both_branches_of_a_union(films, people):
    both = films.select(x=shout(films.name)).union(people.select(x=shout(people.who)))
    assert sorted(both.filter(_.x.notnull()).collect()["x"]) == [
        "ALIEN!", "ALIENS!", "CARL!", "HEAT!", "RIPLEY!", "UP!",
    ]  # fmt: skip


def test_nested_calls(films):
    result = films.filter(films.year == 2009).select(n=size(shout(shout(films.name)))).collect()
    assert result == [{"n": 4}]
    assert CALLED == ["up", "UP!", "UP!!"]


def test_call_with_nested_containers(films):
    @bb.udf
    def told(messages: list, options: dict) -> str:
        return f"{messages[0]['content']} {messages[0]['role']} {options['n']}"

    messages = [{"role": "user", "content": films.name}]
    query = films.filter(films.year == 1979).select(x=told(messages, {"n": films.year + 1}))
    assert query.collect()["x"] == ["alien user 1980"]


def test_call_with_deferred_arguments(films):
    result = films.filter(_.year == 1979).select(x=shout(_.name), y=size(text=_.name)).collect()
    assert result == [{"x": "ALIEN!", "y": 5}]


def test_ibis_expressions_over_a_call(films):
    assert films.filter(shout(films.name).length() == 3).collect()["name"] == ["up"]
    assert films.filter(films.year == 2009).select(x=size(films.name) * 2 + 1).collect() == [
        {"x": 5}
    ]


def test_scalars_execute(films):
    assert shout(films.name).max().execute() == "UP!"
    assert size(films.name).sum().execute() == 17
    assert films.filter(size(films.name) > 4).count().execute() == 2


def test_function_of_an_aggregate_executes(films):
    @bb.udf
    def rounded(amount: float) -> int:
        return round(amount)

    assert rounded(films.revenue.sum()).execute() == 1160
    assert films.agg(x=rounded(films.revenue.mean())).collect() == [{"x": 290}]


def test_column_executes(films):
    result = films.filter(films.year > 2000, films.name.notnull())
    assert shout(result.name).to_pyarrow().to_pylist() == ["UP!"]
    assert list(shout(result.name).execute()) == ["UP!"]


def test_every_export_of_ibis_makes_the_calls(films, tmp_path):
    query = films.filter(films.year == 2009).select(x=shout(films.name))
    assert query.to_pyarrow().to_pylist() == [{"x": "UP!"}]
    assert query.to_pandas()["x"].tolist() == ["UP!"]
    assert query.to_polars()["x"].to_list() == ["UP!"]
    assert query.to_pyarrow_batches().read_all().to_pylist() == [{"x": "UP!"}]
    query.to_parquet(tmp_path / "x.parquet")
    assert ibis.read_parquet(tmp_path / "x.parquet").to_pyarrow().to_pylist() == [{"x": "UP!"}]


def test_empty_table_makes_no_calls(session):
    empty = bb.create_table("empty", {"name": bb.String})
    query = empty.mutate(n=size(empty.name), x=shout(empty.name))
    assert query.collect() == []
    assert query.to_pyarrow().column_names == ["name", "n", "x"]
    assert size(empty.name).max().execute() is None
    assert CALLED == []


def test_null_is_passed_only_to_functions_that_accept_it(films):
    @bb.udf
    def maybe(text: str | None) -> str:
        return "?" if text is None else text

    @bb.udf
    def default(text: str = None) -> str:  # noqa: RUF013 - the default says it
        return "?" if text is None else text

    missing = films.filter(films.year == 2001)
    result = missing.select(
        plain=shout(missing.name), maybe=maybe(missing.name), default=default(missing.name)
    )
    assert result.collect() == [{"plain": None, "maybe": "?", "default": "?"}]
    assert CALLED == []


def test_unselected_column_makes_no_calls(films):
    films.mutate(loud=shout(films.name)).select("year").collect()
    assert films.mutate(loud=shout(films.name)).count().execute() == 5
    assert CALLED == []


def test_call_over_more_rows_than_a_batch(session):
    @bb.udf
    def next_one(n: int) -> int:
        return n + 1

    import pyarrow as pa

    many = bb.create_table("many", {"n": bb.Int})
    many.insert(pa.table({"n": list(range(40_000))}))
    assert next_one(many.n).sum().execute() == sum(range(1, 40_001))


def test_error_row_is_counted_across_batches(session):
    @bb.udf
    def picky(n: int) -> int:
        if n == 30_000:
            raise ValueError("not this one")
        return n

    import pyarrow as pa

    many = bb.create_table("many", {"n": bb.Int})
    many.insert(pa.table({"n": list(range(40_000))}))
    with pytest.raises(bb.BarbuleError, match=r"row 30000: \S+picky failed: ValueError: not this"):
        many.select(x=picky(many.n)).collect()


def test_retained_error_does_not_hold_the_database_open(session):
    """Its traceback refers to the open query, which would block other processes and the exit."""

    @bb.udf
    def inverse(n: int) -> float:
        return 1 / n

    table = bb.create_table("numbers", [{"n": 0}])
    with pytest.raises(FunctionError, match="division by zero") as raised:
        table.add_computed_column(x=inverse(table.n))
    with pytest.raises(FunctionError, match="division by zero") as also_kept:
        table.select(x=inverse(table.n)).collect()
    assert raised.value.__traceback__ is not None
    assert also_kept.value.__traceback__ is not None
    database = getattr(session._engine.backend, "_database", None)  # None for Postgres
    assert database is None or database._users == 0
