"""Ibis queries return the same on a managed table as on a raw one with the same rows.

Each expression is a function of two tables. It is built over managed tables and over tables of a
plain Ibis connection, and the results are compared. The managed tables have old row versions and
computed columns, which must not be visible.
"""

# ruff: noqa: ARG005, PD003, PD004 - all expressions take both tables; the verbs are Ibis', not pandas'

from __future__ import annotations

import datetime
import decimal

import ibis
import ibis.selectors as s
import pyarrow as pa
import pytest
from ibis import _

import barbule as bb
from barbule.relations import GroupedQuery, JoinQuery, Query
from barbule.relations.promotion import promoted

D = datetime.date
FILMS = pa.table(
    {
        "id": pa.array(range(1, 9), pa.int64()),
        "name": ["Up", "Cars", "Coco", "Soul", "Luca", "Brave", None, "Up"],
        "year": pa.array([2009, 2006, 2017, 2020, 2021, 2012, None, 2010], pa.int64()),
        "revenue": [735.1, 461.9, None, 121.1, 0.7, 540.4, -1.5, 735.1],
        "kids": [True, True, False, None, True, False, None, True],
        "tags": [["sky", "house"], ["road"], [], None, ["sea", "sky"], ["bow"], ["x"], ["sky"]],
        "made": [D(2009, 5, 16), D(2006, 6, 9), None, D(2020, 12, 25), *[D(2021, 6, 18)] * 4],
        "at_": [
            datetime.datetime.combine(D(2024, 1, d), datetime.time(12, d)) for d in range(1, 9)
        ],
        "cost": pa.array([decimal.Decimal(n) / 4 for n in range(8)], pa.decimal128(10, 2)),
        "who": [{"first": f"f{n}", "born": 1960 + n} for n in range(8)],
        "raw": [b"\x00", b"ab", None, b"", b"z", b"q", b"r", b"s"],
    }
)
STUDIOS = pa.table(
    {
        "film": pa.array([1, 2, 3, 3, 99, None], pa.int64()),
        "studio": ["Pixar", "Pixar", "Disney", "Pixar", "Lost", "None"],
        "share": [1.0, 1.0, 0.4, 0.6, 1.0, None],
    }
)
MEM = pa.table({"year": pa.array([2009, 2020], pa.int64()), "era": ["old", "new"]})


def _kinds(rows: pa.Table) -> ibis.Schema:
    return ibis.Schema.from_pyarrow(rows.schema)


@pytest.fixture(scope="module")
def managed(shared):
    """Managed tables whose rows were inserted, updated and deleted until they were these."""
    films = shared.create_table("films", _kinds(FILMS))
    studios = shared.create_table("studios", _kinds(STUDIOS))
    films.insert(FILMS)
    films.insert(FILMS.slice(0, 3).set_column(0, "id", pa.array([101, 102, 103], pa.int64())))
    films.update({"revenue": films.revenue * 100, "name": "changed"}, where=films.id > 100)
    films.delete(where=films.id > 100)
    films.update({"name": films.name}, where=films.year > 2010)
    studios.insert(STUDIOS)
    return films, studios


@pytest.fixture(scope="module")
def plain():
    """The same tables in a plain Ibis connection."""
    connection = ibis.duckdb.connect()
    yield connection.create_table("films", FILMS), connection.create_table("studios", STUDIOS)
    connection.disconnect()


W = ibis.window(group_by="kids", order_by="id")
EXPRESSIONS = {
    "all": lambda f, g: f,
    "filter": lambda f, g: f.filter(f.year > 2009),
    "filter by several": lambda f, g: f.filter(f.year > 2009, f.revenue.notnull()),
    "filter by deferred": lambda f, g: f.filter(_.name.lower().startswith("c")),
    "filter by a list": lambda f, g: f.filter([f.kids, f.revenue > 1]),
    "filter by or": lambda f, g: f.filter((f.year == 2009) | f.name.isnull()),
    "filter nothing": lambda f, g: f.filter(f.id > 1000),
    "mutate": lambda f, g: f.mutate(next=f.year + 1, half=_.revenue / 2),
    "mutate twice": lambda f, g: f.mutate(a=_.id + 1).mutate(b=_.a * 2).filter(_.b > 8),
    "mutate over": lambda f, g: f.mutate(name=f.name.upper()),
    "select": lambda f, g: f.select("id", f.name, loud=f.name.upper()),
    "select by list": lambda f, g: f[["id", "name"]],
    "select expression": lambda f, g: f.select((f.id * f.year).name("p"), f.id),
    "selector of": lambda f, g: f.select(s.numeric()),
    "selector across": lambda f, g: f.mutate(s.across(s.cols("id", "year"), _ * 2)),
    "selector matches": lambda f, g: f.select("id", s.startswith("r")),
    "selector difference": lambda f, g: f.select(~s.cols("who", "tags", "raw")),
    "group count": lambda f, g: f.group_by("kids").agg(n=_.count()),
    "group several": lambda f, g: f.group_by("kids", long=f.name.length() > 3).agg(
        n=_.id.count(), total=_.revenue.sum(), best=_.revenue.max(), mean=_.year.mean()
    ),
    "group having": lambda f, g: f.group_by("name").having(_.count() > 1).agg(n=_.count()),
    "group size": lambda f, g: f.group_by("kids").size(),
    "group mutate": lambda f, g: f.group_by("kids").mutate(rank=_.id.rank(), top=_.revenue.max()),
    "group order mutate": lambda f, g: f.group_by("kids").order_by("id").mutate(b=_.id.lag()),
    "aggregate": lambda f, g: f.agg(n=_.count(), u=_.name.nunique(), s=_.revenue.std()),
    "aggregate by": lambda f, g: f.aggregate(n=f.count(), by=["year"]),
    "aggregate where": lambda f, g: f.agg(n=f.count(where=f.kids), m=f.revenue.max(where=~f.kids)),
    "aggregate collect": lambda f, g: f.agg(ids=f.id.collect(order_by=f.id.desc())),
    "aggregate arg": lambda f, g: f.agg(a=f.name.argmax(f.revenue), b=f.id.argmin(f.year)),
    "aggregate quantile": lambda f, g: f.agg(q=f.revenue.quantile(0.5), m=f.revenue.median()),
    "aggregate text": lambda f, g: f.agg(t=f.name.group_concat(",", order_by=f.id)),
    "value counts": lambda f, g: f.name.value_counts(),
    "topk": lambda f, g: f.name.topk(1),
    "join": lambda f, g: f.join(g, f.id == g.film),
    "join select": lambda f, g: f.join(g, f.id == g.film).select(f.name, g.studio, x=g.share * 2),
    "left join": lambda f, g: f.left_join(g, f.id == g.film).select(f.id, g.studio),
    "right join": lambda f, g: f.right_join(g, f.id == g.film).select(f.id, g.studio),
    "outer join": lambda f, g: f.outer_join(g, f.id == g.film).select(f.id, g.studio),
    "semi join": lambda f, g: f.semi_join(g, f.id == g.film),
    "anti join": lambda f, g: f.anti_join(g, f.id == g.film),
    "cross join": lambda f, g: f.cross_join(g).select(f.id, g.studio),
    "join on inequality": lambda f, g: f.join(g, [f.id < g.film, f.id > 1]).select(f.id, g.film),
    "join by name": lambda f, g: f.join(g.rename(id="film"), "id").select("id", "studio"),
    "join filtered": lambda f, g: f.filter(_.year > 2007).join(g, _.id == g.film).select("studio"),
    "join of three": lambda f, g: f.join(g, f.id == g.film)
    .join(h := f.view(), f.year == h.year)
    .select(f.id, other=h.id, studio=g.studio),
    "join then group": lambda f, g: f.join(g, f.id == g.film).group_by("studio").agg(n=_.count()),
    "self join": lambda f, g: f.join(h := f.view(), f.name == h.name).select(f.id, other=h.id),
    "self join with suffix": lambda f, g: f.join(f.view(), "name", rname="r_{name}").select(
        "id", "r_id"
    ),
    "join of a memtable": lambda f, g: f.join(ibis.memtable(MEM), "year").select("id", "era"),
    "asof join": lambda f, g: f.asof_join(
        f.view().select("at_", later="id"), "at_", tolerance=ibis.interval(hours=1)
    ).select("id", "later"),
    "union": lambda f, g: f.select("id").union(g.select(id="film")),
    "union distinct": lambda f, g: ibis.union(f[["name"]], f[["name"]], distinct=True),
    "intersect": lambda f, g: f.select("id").intersect(g.select(id="film")),
    "difference": lambda f, g: f.select("id").difference(g.select(id="film")),
    "order by": lambda f, g: f.order_by("year", ibis.desc("id")),
    "order by expression": lambda f, g: f.order_by(f.name.length(), f.id).select("id"),
    "limit": lambda f, g: f.order_by("id").limit(3),
    "limit with offset": lambda f, g: f.order_by(_.id.desc()).limit(2, offset=3),
    "head": lambda f, g: f.order_by("id").head(2),
    "distinct": lambda f, g: f.select("name", "kids").distinct(),
    "distinct on": lambda f, g: f.order_by("id").distinct(on="name", keep=None).select("name"),
    "sample of all": lambda f, g: f.sample(1.0),
    "window sum": lambda f, g: f.mutate(total=f.revenue.sum().over(W)),
    "window rows": lambda f, g: f.mutate(m=f.id.mean().over(rows=(-1, 1), order_by="id")),
    "window rank": lambda f, g: f.mutate(r=ibis.row_number().over(order_by=[f.name, f.id])),
    "window lag": lambda f, g: f.mutate(p=f.id.lag().over(order_by="id"), n=_.id.lead(2).over(W)),
    "window first": lambda f, g: f.mutate(a=f.name.first().over(W), c=f.id.cumsum(order_by=f.id)),
    "filter by a window": lambda f, g: f.filter(f.id == f.id.max().over(group_by="name")),
    "unnest": lambda f, g: f.unnest("tags").select("id", "tags"),
    "unnest column": lambda f, g: f.select(f.id, tag=f.tags.unnest()),
    "arrays": lambda f, g: f.mutate(n=f.tags.length(), a=f.tags[0], c=f.tags.contains("sky")),
    "array map": lambda f, g: f.mutate(u=f.tags.map(lambda x: x.upper()), s=_.tags.sort()),
    "array filter": lambda f, g: f.select("id", t=f.tags.filter(lambda x: x.length() > 3)),
    "struct field": lambda f, g: f.select(f.id, f.who.born, up=f.who["first"].upper()),
    "struct lift": lambda f, g: f.select("id", "who").unpack("who"),
    "struct made": lambda f, g: f.select(p=ibis.struct({"a": f.id, "b": f.name})),
    "pivot longer": lambda f, g: f.select("id", "year", "revenue").pivot_longer(~s.cols("id")),
    "pivot wider": lambda f, g: g.filter(_.film.notnull()).pivot_wider(
        id_cols="film", names_from="studio", values_from="share", names=["Pixar", "Disney"]
    ),
    "drop": lambda f, g: f.drop("who", "tags"),
    "rename": lambda f, g: f.rename(title="name", jahr="year"),
    "rename all": lambda f, g: f.rename("ALL_CAPS"),
    "relocate": lambda f, g: f.relocate("year", before="id"),
    "cast": lambda f, g: f.cast({"year": "string", "id": "int8"}),
    "fill null": lambda f, g: f.fill_null({"name": "?", "year": 0}),
    "drop null": lambda f, g: f.drop_null(["name", "revenue"]),
    "cases": lambda f, g: f.mutate(
        c=ibis.cases((f.year < 2010, "old"), (f.year < 2020, "mid"), else_="new")
    ),
    "column cases": lambda f, g: f.mutate(c=f.name.cases(("Up", 1), ("Cars", 2), else_=0)),
    "ifelse": lambda f, g: f.mutate(c=f.kids.ifelse("yes", "no"), d=(_.id > 2).ifelse(_.id, None)),
    "nullif": lambda f, g: f.mutate(n=f.name.nullif("Up"), c=ibis.coalesce(f.year, f.id)),
    "between": lambda f, g: f.filter(f.year.between(2006, 2012) & ~f.name.isin(["Cars"])),
    "isin": lambda f, g: f.filter(f.name.isin(["Up", "Soul"])),
    "isin subquery": lambda f, g: f.filter(f.id.isin(g.film)),
    "notin subquery": lambda f, g: f.filter(f.id.notin(g.filter(_.film.notnull()).film)),
    "scalar subquery": lambda f, g: f.filter(f.revenue > f.revenue.mean()),
    "scalar of another": lambda f, g: f.mutate(m=g.share.max(), n=_.id + g.film.min()),
    "scalar as subquery": lambda f, g: f.filter(f.id == g.film.max().as_scalar() - 96),
    "text": lambda f, g: f.mutate(
        a=_.name.length(), b=_.name[0:2], c=_.name.replace("a", "o"), d=_.name + "!",
        e=_.name.contains("r"), f_=_.name.re_search("^C"), g=_.name.lpad(6, "*"),
    ),
    "numbers": lambda f, g: f.mutate(
        a=_.revenue.round(0), b=_.revenue.abs(), c=_.id % 3, d=_.id**2, e=-_.id, f_=_.id // 2,
        g=_.revenue.floor(), h=_.cost * 2,
    ),
    "dates": lambda f, g: f.mutate(
        a=_.made.year(), b=_.made + ibis.interval(days=3), c=_.at_.truncate("D"), d=_.at_.hour(),
        e=_.made.strftime("%Y/%m"), f_=_.at_.date() == _.made,
    ),
    "binary": lambda f, g: f.filter(f.raw == b"ab").select("id", "raw"),
    "literals": lambda f, g: f.select("id", a=ibis.literal("it's"), b=ibis.null("int64"), c=True),
    "array literal": lambda f, g: f.filter(ibis.array([1, 2, 3]).contains(f.id)).select("id"),
    "hash and type": lambda f, g: f.select(f.id, t=f.name.cast("binary"), y=_.year.try_cast(str)),
    "sql": lambda f, g: f.sql("SELECT id, upper(name) AS u FROM films WHERE id < 4 AND kids"),
    "sql of a query": lambda f, g: f.filter(f.id > 2).alias("q").sql("SELECT count(*) AS n FROM q"),
    "sql in a query": lambda f, g: f.sql("SELECT * FROM films").filter(_.id > 2).select(x=_.id + 1),
    "sql of a dialect": lambda f, g: f.sql("SELECT `id` FROM `films`", dialect="mysql"),
    "pipe": lambda f, g: f.pipe(lambda t: t.filter(t.id < 3)),
    "bind": lambda f, g: f.select(*f.bind("id", _.name)),
    "info": lambda f, g: f.select("id", "name").info().select("name", "nulls"),
    "nested": lambda f, g: f.filter(_.kids).group_by("year").agg(n=_.count())
    .filter(_.n > 0).order_by("year").mutate(k=_.n.cumsum()).limit(3),
    "view of a query": lambda f, g: (q := f.filter(_.id < 4)).join(v := q.view(), q.id < v.id)
    .select(q.id, other=v.id),
    "filter all columns": lambda f, g: f.filter(s.if_any(s.numeric(), _ < 0)),
    "cache": lambda f, g: f.filter(f.id < 4).select("id", "name").cache(),
}  # fmt: skip

# Ibis calls a deprecated function of DuckDB to get the schema of a piece of SQL.
SQL = pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")


def _sorted(rows: pa.Table) -> list[str]:
    return sorted(map(repr, rows.to_pylist()))


def _widened(expr):
    """Compute numbers in the types that managed tables use; `test_numbers` has their values."""
    return promoted(expr.op()).to_expr()


@SQL
@pytest.mark.parametrize("name", EXPRESSIONS)
def test_query_rows_match_plain_ibis(managed, plain, name):
    ours, theirs = EXPRESSIONS[name](*managed), _widened(EXPRESSIONS[name](*plain))
    actual, expected = ours.to_pyarrow(), theirs.to_pyarrow()
    assert ours.schema() == theirs.schema()
    assert actual.schema.equals(expected.schema)
    ordered = name.startswith(("order", "limit", "head"))
    if ordered:
        assert actual.to_pylist() == expected.to_pylist()
    assert _sorted(actual) == _sorted(expected)
    assert _sorted(ours.collect().to_pyarrow()) == _sorted(expected)
    assert isinstance(ours, Query | JoinQuery)


SCALARS = {
    "count": lambda f: f.count(),
    "nunique": lambda f: f.nunique(),
    "sum": lambda f: f.revenue.sum(),
    "max": lambda f: f.name.max(),
    "arithmetic": lambda f: f.id.max() - f.id.min() + 1,
    "any": lambda f: (f.id > 7).any(),
    "none": lambda f: f.filter(f.id > 100).revenue.sum(),
    "collect": lambda f: f.order_by("id").id.collect(),
    "as_scalar": lambda f: f.filter(f.id == 1).name.as_scalar(),
}
COLUMNS = {
    "plain": lambda f: f.order_by("id").name,
    "number": lambda f: f.order_by("id").revenue * 2,
    "flag": lambda f: f.order_by("id").year > 2010,
    "array": lambda f: f.order_by("id").tags,
    "by item": lambda f: f.order_by("id")["year"],
}


@pytest.mark.parametrize("name", SCALARS)
def test_scalars_match_plain_ibis(managed, plain, name):
    ours, theirs = SCALARS[name](managed[0]), SCALARS[name](plain[0])
    assert ours.to_pyarrow().equals(theirs.to_pyarrow())
    assert repr(ours.execute()) == repr(theirs.execute())


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_match_plain_ibis(managed, plain, name):
    ours, theirs = COLUMNS[name](managed[0]), COLUMNS[name](plain[0])
    assert ours.to_pyarrow().to_pylist() == theirs.to_pyarrow().to_pylist()
    assert ours.execute().equals(theirs.execute())
    assert ours.to_list() == theirs.to_list()


def test_exports_match_plain_ibis(managed, plain, tmp_path):
    import pandas
    import pyarrow.parquet

    ours, theirs = (t[0].filter(_.id < 6).order_by("id").drop("cost") for t in (managed, plain))
    expected = theirs.to_pyarrow()
    pandas.testing.assert_frame_equal(ours.to_pandas(), theirs.to_pandas())
    pandas.testing.assert_frame_equal(ours.execute(), theirs.execute())
    assert ours.to_polars().equals(theirs.to_polars())
    assert ours.to_pyarrow_batches().read_all().equals(expected)
    assert pa.table(ours).equals(expected)
    flat = [t.drop("who", "tags", "raw") for t in (ours, theirs)]
    for position, table in enumerate(flat):
        table.to_parquet(tmp_path / f"{position}.parquet")
        table.to_csv(tmp_path / f"{position}.csv")
        table.to_json(tmp_path / f"{position}.json")
    for suffix in ("csv", "json"):
        first, second = ((tmp_path / f"{position}.{suffix}").read_bytes() for position in (0, 1))
        assert first == second
    actual = pyarrow.parquet.read_table(tmp_path / "0.parquet")
    assert actual.equals(pyarrow.parquet.read_table(tmp_path / "1.parquet"))


def test_batches_have_requested_size(shared):
    table = shared.create_table("numbers", {"n": bb.Int(nullable=False)})
    table.insert(pa.table({"n": range(10_000)}))
    batches = list(table.order_by("n").to_pyarrow_batches(chunk_size=2048))
    assert [batch.num_rows for batch in batches] == [2048] * 4 + [1808]
    assert pa.Table.from_batches(batches).column("n").to_pylist() == list(range(10_000))


def test_export_limit(managed):
    assert managed[0].to_pyarrow(limit=2).num_rows == 2
    assert len(managed[0].execute(limit=3)) == 3


def test_compile_returns_one_statement(managed):
    text = managed[0].filter(_.id > 3).select("name").compile()
    assert "bb_rows" in text
    assert ibis.to_sql(managed[0].select("name"))


VERBS = {
    "filter": lambda f, g: f.filter(_.id > 1),
    "where": lambda f, g: f.where(_.id > 1, _.id < 9),
    "select": lambda f, g: f.select("id"),
    "mutate": lambda f, g: f.mutate(x=1),
    "drop": lambda f, g: f.drop("who"),
    "rename": lambda f, g: f.rename(key="id"),
    "order_by": lambda f, g: f.order_by("id", asc=False),
    "limit": lambda f, g: f.limit(1),
    "head": lambda f, g: f.head(1),
    "distinct": lambda f, g: f.select("id").distinct(),
    "sample": lambda f, g: f.sample(1.0),
    "join": lambda f, g: f.join(g, f.id == g.film),
    "join select": lambda f, g: f.join(g, f.id == g.film).select("id"),
    "left_join": lambda f, g: f.left_join(g, f.id == g.film).filter(_.id > 1),
    "cross_join": lambda f, g: f.cross_join(g).limit(1),
    "group agg": lambda f, g: f.group_by("id").agg(n=_.count()),
    "group having": lambda f, g: f.group_by("id").having(_.count() > 0).agg(n=_.count()),
    "group mutate": lambda f, g: f.group_by("id").order_by("id").mutate(n=_.id.rank()),
    "group count": lambda f, g: f.group_by("id").count(),
    "aggregate": lambda f, g: f.agg(n=_.count()),
    "union": lambda f, g: f.union(f),
    "difference": lambda f, g: f.select("id").difference(f.select("id")),
    "intersect": lambda f, g: f.select("id").intersect(f.select("id")),
    "view": lambda f, g: f.view(),
    "unnest": lambda f, g: f.unnest("tags"),
    "fill_null": lambda f, g: f.fill_null({"name": "?"}),
    "drop_null": lambda f, g: f.drop_null("name"),
    "cast": lambda f, g: f.cast({"id": "string"}),
    "getitem": lambda f, g: f[["id"]],
    "slice": lambda f, g: f[1:3],
    "pipe": lambda f, g: f.pipe(lambda t: t.filter(t.id > 1)),
    "value_counts": lambda f, g: f.name.value_counts(),
    "column as table": lambda f, g: f.id.as_table(),
    "cache": lambda f, g: f.cache(),
    "scalar as table": lambda f, g: f.id.max().as_table(),
    "topk": lambda f, g: f.name.topk(2),
    "sql": lambda f, g: f.sql("SELECT id FROM films"),
    "union of many": lambda f, g: ibis.union(f.select("id"), f.select("id")),
    "at": lambda f, g: f.at(1).filter(_.id > 1),
}


@SQL
@pytest.mark.parametrize("name", VERBS)
def test_results_of_verbs_are_barbule_queries(managed, name):
    query = VERBS[name](*managed)
    assert isinstance(query, Query | JoinQuery)
    assert isinstance(query, ibis.Table)
    assert len(query.collect()) == len(query.to_pyarrow())
    assert len(query.where(ibis.literal(True)).order_by(query.columns[0], asc=False).collect()) >= 0


def test_group_by_returns_grouped_query(managed):
    grouped = managed[0].group_by("kids")
    assert isinstance(grouped, GroupedQuery)
    assert isinstance(grouped.having(_.count() > 1), GroupedQuery)


def test_order_by_descending_puts_nulls_last(managed):
    films = managed[0]
    assert films.order_by("year", asc=False).collect()["year"] == [
        2021, 2020, 2017, 2012, 2010, 2009, 2006, None,
    ]  # fmt: skip
    both = films.order_by(["name", films.id], asc=False).select("id").limit(2).collect()
    assert both["id"] == [8, 1]
    assert films.order_by(ibis.desc("id"), "name").collect()[0, "id"] == 8


def test_query_without_managed_table_raises(managed):
    films = managed[0]
    with pytest.raises(TypeError, match="reads no barbule table"):
        Query(ibis.memtable(MEM).op()).collect()
    joined = films.join(ibis.memtable(MEM), "year").select("id", "era")
    assert sorted(joined.collect()["id"]) == [1, 4]


def test_query_that_starts_with_memtable_is_plain_ibis(managed):
    joined = ibis.memtable(MEM).join(managed[0], "year").select("id", "era")
    assert sorted(joined.to_pyarrow()["id"].to_pylist()) == [1, 4]


@SQL
def test_sql_reads_virtual_and_called_columns(session):
    @bb.udf
    def loud(text: str) -> str:
        return text.upper()

    table = session.create_table("docs.films", {"name": bb.String})
    table.insert([{"name": "Up"}, {"name": "Coco"}])
    table.add_computed_column(size=table.name.length())
    assert table.sql('SELECT sum(size) AS n FROM "docs.films"').collect() == [{"n": 6}]
    called = table.mutate(l=loud(table.name)).alias("x").sql("SELECT l FROM x ORDER BY l")
    assert called.collect()["l"] == ["COCO", "UP"]
    assert called.filter(_.l == "UP").count().to_pyarrow().as_py() == 1
