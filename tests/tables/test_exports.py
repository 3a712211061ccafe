"""Exports to frames, files and streams, and queries over raw tables of the database."""

from __future__ import annotations

import json

import ibis
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from ibis import _

import barbule as bb
from barbule.errors import ColumnNotFoundError, ExpressionError
from barbule.relations import JoinQuery, Query

ROWS = [
    {"id": 1, "name": "Up", "size": 1.5, "seen": True, "at_": "2026-01-01", "meta": {"a": [1]},
     "words": ["x", ""], "rec": {"k": 1}},
    {"id": 2, "name": None, "size": None, "seen": None, "at_": None, "meta": None, "words": None,
     "rec": None},
    {"id": 3, "name": 'naïve, "quoted"\n☃', "size": -0.0, "seen": False,
     "at_": "1969-12-31T23:59:59.5", "meta": "text", "words": [], "rec": {"k": None}},
]  # fmt: skip
KINDS = {
    "id": bb.Int,
    "name": bb.String,
    "size": bb.Float,
    "seen": bb.Bool,
    "at_": bb.Timestamp,
    "meta": bb.Json,
    "words": bb.Array(bb.String),
    "rec": bb.Struct({"k": bb.Int}),
}


@pytest.fixture(scope="module")
def table(shared):
    table = shared.create_table("things", KINDS)
    table.insert([*ROWS, {"id": 4, "name": "gone"}])
    table.delete(where=table.id == 4)
    table.add_computed_column(double=table.size * 2)
    return table


@pytest.fixture(scope="module")
def raw(shared):
    table = shared.ibis.create_table(
        "raw_sizes", pa.table({"id": [1, 3, 9], "label": ["one", "three", "nine"]})
    )
    shared.ibis.create_table("raw_more", pa.table({"label": ["one"], "more": [10]}))
    return table


def test_frames_hold_the_rows(table):
    ordered = table.order_by("id")
    frame = ordered.to_pandas()
    assert list(frame.columns) == [*KINDS, "double"]
    assert frame["id"].tolist() == [1, 2, 3]
    assert frame["name"].isna().tolist() == [False, True, False]
    assert (
        ordered.select("id", "name")
        .to_polars()
        .equals(pl.DataFrame({"id": [1, 2, 3], "name": [row["name"] for row in ROWS]}))
    )
    arrow = ordered.to_pyarrow()
    assert arrow.column("words").to_pylist() == [row["words"] for row in ROWS]
    assert arrow.schema.field("id").type == pa.int64()
    assert [None if t is None else json.loads(t) for t in arrow.column("meta").to_pylist()] == [
        row["meta"] for row in ROWS
    ]
    assert isinstance(ordered.name.to_pandas(), pd.Series)
    assert table.size.sum().to_pandas() == 1.5


def test_a_parquet_file_holds_the_rows(table, tmp_path):
    plain = table.order_by("id").drop("meta")
    plain.to_parquet(tmp_path / "things.parquet")
    actual = pq.read_table(tmp_path / "things.parquet")
    assert actual.to_pylist() == plain.to_pyarrow().to_pylist()


def test_a_csv_file_holds_the_rows(table, tmp_path):
    table.order_by("id").select("id", "name", "size").to_csv(tmp_path / "things.csv")
    options = pyarrow.csv.ParseOptions(newlines_in_values=True)
    actual = pyarrow.csv.read_csv(tmp_path / "things.csv", parse_options=options)
    assert actual.column("name").to_pylist() == ["Up", "", ROWS[2]["name"]]
    assert actual.column("size").to_pylist() == [1.5, None, 0.0]


def test_a_json_file_holds_the_rows(table, tmp_path):
    table.order_by("id").select("id", "name", "words", "rec").to_json(tmp_path / "things.json")
    actual = json.loads((tmp_path / "things.json").read_text())
    expected = [{name: row[name] for name in ("id", "name", "words", "rec")} for row in ROWS]
    assert actual == expected


@pytest.mark.parametrize("verb", ["to_parquet", "to_csv", "to_json"])
def test_written_file_can_be_inserted(shared, table, tmp_path, verb):
    plain = table.select("id", "name", "size").order_by("id")
    path = tmp_path / f"again.{verb.removeprefix('to_')}"
    getattr(plain, verb)(path)
    kinds = {"id": bb.Int, "name": bb.String, "size": bb.Float}
    copy = shared.create_table("again", kinds, if_exists="replace")
    assert copy.insert(str(path)).rows == len(ROWS)
    rows = copy.order_by("id").collect()
    assert rows["id"] == [1, 2, 3]
    assert rows["size"] == [1.5, None, 0.0]


def test_stream_returns_batches_of_query(shared):
    many = shared.create_table("many", {"n": bb.Int})
    many.insert(pa.table({"n": range(30_000)}))
    many.add_computed_column(half=many.n / 2)
    reader = many.filter(_.n % 2 == 0).order_by("n").to_pyarrow_batches(chunk_size=4096)
    assert reader.schema.names == ["n", "half"]
    sizes = [batch.num_rows for batch in reader]
    assert sum(sizes) == 15_000
    assert max(sizes) <= 4096
    first = next(iter(many.order_by("n").to_pyarrow_batches(chunk_size=2048)))
    assert first.column(0)[0].as_py() == 0  # the rest of the stream is left unread
    assert pa.RecordBatchReader.from_stream(many.limit(3)).read_all().num_rows == 3


def test_empty_results_keep_their_columns(table, tmp_path):
    none = table.filter(_.id > 100)
    assert none.to_pandas().shape == (0, len(KINDS) + 1)
    assert none.to_pyarrow().schema.names == [*KINDS, "double"]
    assert none.select("id").to_polars().schema == {"id": pl.Int64}
    assert none.to_pyarrow_batches().read_all().num_rows == 0
    none.select("id", "name").to_parquet(tmp_path / "none.parquet")
    assert pq.read_table(tmp_path / "none.parquet").column_names == ["id", "name"]
    assert len(none.collect()) == 0


def test_export_runs_function_calls(shared, tmp_path):
    @bb.udf
    def doubled(number: int) -> int:
        return number * 2

    numbers = shared.create_table("numbers", {"n": bb.Int}, if_exists="replace")
    numbers.insert([{"n": n} for n in range(5)])
    called = numbers.select("n", two=doubled(numbers.n)).order_by("n")
    called.to_parquet(tmp_path / "called.parquet")
    assert pq.read_table(tmp_path / "called.parquet").column("two").to_pylist() == [0, 2, 4, 6, 8]
    assert called.to_pandas()["two"].tolist() == [0, 2, 4, 6, 8]
    assert called.to_pyarrow_batches().read_all().column("two").to_pylist() == [0, 2, 4, 6, 8]


def test_export_to_missing_folder_raises(table, tmp_path):
    with pytest.raises(Exception, match=r"where\.parquet"):
        table.select("id").to_parquet(tmp_path / "no" / "where.parquet")
    assert table.count().to_pyarrow().as_py() == len(ROWS)


JOINS = {
    "join": (lambda t, r: t.join(r, "id").select("id", "label"), [(1, "one"), (3, "three")]),
    "left": (
        lambda t, r: t.left_join(r, t.id == r.id).select(t.id, r.label),
        [(1, "one"), (2, None), (3, "three")],
    ),
    "anti": (lambda t, r: t.anti_join(r, "id").select("id", x=_.name), [(2, None)]),
    "semi": (lambda t, r: t.semi_join(r, "id").select("id", k=_.rec.k), [(1, 1), (3, None)]),
    "filtered": (
        lambda t, r: t.filter(t.id > 1).join(r.filter(r.id > 1), "id").select("id", "label"),
        [(3, "three")],
    ),
    "union": (
        lambda t, r: t.select("id", label="name").filter(_.id == 1).union(r.filter(r.id == 9)),
        [(1, "Up"), (9, "nine")],
    ),
    "intersect": (
        lambda t, r: t.select("id", label=ibis.literal("one")).intersect(r),
        [(1, "one")],
    ),
    "difference": (
        lambda t, r: t.select("id").difference(r.select("id")).mutate(x=1),
        [(2, 1)],
    ),
    "subquery": (
        lambda t, r: t.filter(t.id.isin(r.id)).select("id", "size"),
        [(1, 1.5), (3, -0.0)],
    ),
    "scalar subquery": (
        lambda t, r: t.filter(t.id == r.id.min().as_scalar()).select("id", "name"),
        [(1, "Up")],
    ),
    "three": (
        lambda t, r: t.join(r, "id").join(t.view(), "id").group_by("label").agg(n=_.count()),
        [("one", 1), ("three", 1)],
    ),
    "window": (
        lambda t, r: (
            t.join(r, "id").mutate(n=ibis.row_number().over(order_by="id")).select("id", "n")
        ),
        [(1, 0), (3, 1)],
    ),
}


@pytest.mark.parametrize("name", JOINS)
def test_raw_tables_can_be_joined_with_managed_tables(table, raw, name):
    make, expected = JOINS[name]
    query = make(table, raw)
    assert isinstance(query, Query | JoinQuery)
    rows = [tuple(row.values()) for row in query.collect()]
    assert sorted(rows, key=repr) == sorted(expected, key=repr)
    assert query.to_pandas().shape[0] == len(expected)
    assert query.to_pyarrow_batches().read_all().num_rows == len(expected)


# Ibis calls a deprecated function of DuckDB to get the schema of a piece of SQL.
@pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")
def test_raw_views_and_sql_can_be_joined_with_managed_tables(shared, table, raw):
    view = shared.ibis.create_view("raw_view", raw.mutate(twice=raw.id * 2), overwrite=True)
    assert table.join(view, "id").select("twice").order_by("twice").collect()["twice"] == [2, 6]
    text = shared.ibis.sql("SELECT id, upper(label) AS loud FROM raw_sizes")
    assert table.join(text, "id").order_by("id").select("loud").collect()["loud"] == [
        "ONE",
        "THREE",
    ]


def test_a_raw_table_can_be_inserted(shared, raw):
    copy = shared.create_table("copied", {"id": bb.Int, "label": bb.String}, if_exists="replace")
    assert copy.insert(raw).rows == 3
    assert copy.insert(copy.join(raw, "id").select("id", "label")).rows == 3


def test_tables_of_another_database_are_refused(table):
    other = ibis.duckdb.connect()
    theirs = other.create_table("theirs", pa.table({"id": [1]}))
    with pytest.raises(ExpressionError, match="more than one database"):
        table.join(theirs, "id").select("id").collect()
    with pytest.raises(ExpressionError, match="more than one database"):
        table.join(theirs, "id").select("id").to_pyarrow()
    other.disconnect()


REFUSED = {
    "select": lambda t: t.select("nmae"),
    "item": lambda t: t["nmae"],
    "items": lambda t: t[["id", "nmae"]],
    "attribute": lambda t: t.nmae,
    "deferred": lambda t: t.select(_.nmae),
    "order_by": lambda t: t.order_by("nmae"),
    "order_by down": lambda t: t.order_by("nmae", asc=False),
    "order_by ibis.desc": lambda t: t.order_by(ibis.desc("nmae")),
    "group_by": lambda t: t.group_by("nmae"),
    "group_by agg": lambda t: t.group_by("id").agg(n=_.nmae.max()),
    "having": lambda t: t.group_by("id").having(_.nmae > 1),
    "aggregate": lambda t: t.aggregate(by="nmae"),
    "drop": lambda t: t.drop("nmae"),
    "filter": lambda t: t.filter("nmae"),
    "filter deferred": lambda t: t.where(_.nmae == 1),
    "mutate": lambda t: t.mutate("nmae"),
    "rename": lambda t: t.rename(x="nmae"),
    "join": lambda t: t.join(t.view(), "nmae"),
    "distinct": lambda t: t.distinct(on="nmae"),
    "cast": lambda t: t.cast({"nmae": "string"}),
    "fill_null": lambda t: t.fill_null({"nmae": 1}),
    "drop_null": lambda t: t.drop_null("nmae"),
    "relocate": lambda t: t.relocate("nmae"),
    "unnest": lambda t: t.unnest("nmae"),
    "window": lambda t: t.group_by("id").order_by("nmae").mutate(n=_.id.rank()),
    "derived": lambda t: t.filter(t.id > 1).mutate(x=1).select("nmae"),
    "of a join": lambda t: t.join(t.view(), "id").select("nmae"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_unknown_column_error_suggests_similar_names(table, name):
    with pytest.raises(
        ColumnNotFoundError, match=r"no column.*'nmae'.*Did you mean 'name'"
    ) as caught:
        REFUSED[name](table)
    assert isinstance(caught.value, AttributeError | KeyError)
    assert "words" in str(caught.value)
    if name not in {"attribute", "deferred", "filter deferred", "group_by agg", "having"}:
        assert isinstance(caught.value, ibis.common.exceptions.IbisError)


def test_join_error_names_table_without_column(table, raw):
    with pytest.raises(
        ColumnNotFoundError, match=r"there is no column 'label'.*Columns are id, name"
    ):
        table.join(raw, "label")
    with pytest.raises(
        ColumnNotFoundError, match=r"there is no column 'size'.*Columns are id, label"
    ):
        table.join(raw, "size")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda t: t.filter(t.id), "'id' is int64.*Write a condition: t.year > 2000"),
        (lambda t: t.filter(t.seen, _.name), "'name' is string"),
        (lambda t: t.where([t.id + 1]), "a condition must be boolean"),
        (lambda t: t.filter(5), "a condition must be boolean, but '5' is int8"),
        (lambda t: t.filter(t.id.max()), "a condition must be boolean"),
        (lambda t: t.unnest("id"), "does not take column='id'"),
        (lambda t: t.union(t.select("id")), "schemas must be equal"),
        (lambda t: t.select(t.view().name), "column of another table.*Join the two"),
        (lambda t: t.sample(2.0), None),
    ],
)
def test_invalid_query_error_is_short(table, make, message):
    with pytest.raises(ExpressionError if message else Exception, match=message) as caught:
        make(table)
    assert len(str(caught.value)) < 500


WORDS = ["select", "from", "order", "group", "Table", "a b", 'q"uote', "it's", "naïve", "列", "a.b",
         "x;--", "%s", "{0}", "$1", "c0", "1st", "🎬", "  pad ",
         "new\nline", "a" * 200]  # fmt: skip


@pytest.mark.filterwarnings("ignore:table .* columns with the same name as a method:UserWarning")
def test_columns_of_any_name_are_read_and_written(session):
    table = session.create_table("odd", dict.fromkeys(WORDS, bb.Int))
    table.insert([dict.fromkeys(WORDS, 1), {word: n for n, word in enumerate(WORDS)}])
    table.update({WORDS[0]: 7}, where=table[WORDS[1]] == 1)
    rows = table.order_by(*WORDS[:3]).collect()
    assert dict.fromkeys(WORDS, 1) | {WORDS[0]: 7} in list(rows)
    assert set(rows.to_pyarrow().column_names) == set(WORDS)
    for n, word in enumerate(WORDS):
        if n > 1:
            assert sorted(table[word].to_pyarrow().to_pylist()) == sorted([1, n])
            assert table.filter(table[word] == n).count().to_pyarrow().as_py() >= 1
            assert table.group_by(word).agg(n=_.count()).count().to_pyarrow().as_py() == 2
    assert table.join(table.view(), WORDS[5]).select(WORDS[6]).count().to_pyarrow().as_py() == 2


def test_a_thousand_columns_are_read_and_written(session):
    names = [f"column_{n}" for n in range(1000)]
    table = session.create_table("wide", dict.fromkeys(names, bb.Int))
    table.insert([{name: n for n, name in enumerate(names)}])
    assert table.select("column_999").collect() == [{"column_999": 999}]
    assert len(table.collect()[0]) == 1000
    with pytest.raises(ColumnNotFoundError, match="and 980 more") as caught:
        table.select("colum_7")
    assert len(str(caught.value)) < 500


@pytest.mark.filterwarnings("ignore:table .* columns with the same name as a method:UserWarning")
def test_columns_named_like_verbs_are_read_by_item(session):
    verbs = ["count", "filter", "schema", "where", "columns", "select", "op", "collect", "at"]
    table = session.create_table("verbs", dict.fromkeys(verbs, bb.Int))
    table.insert([{verb: n for n, verb in enumerate(verbs)}])
    for n, verb in enumerate(verbs):
        assert table[verb].to_pyarrow().to_pylist() == [n]
        assert table.filter(table[verb] == n).select(verb).collect() == [{verb: n}]
        assert table.order_by(verb, asc=False).group_by(verb).agg(rows=_.count()).collect() == [
            {verb: n, "rows": 1}
        ]
    assert table.count().to_pyarrow().as_py() == 1


def test_batches_of_required_columns_can_be_read_into_one_table(session):
    table = session.create_table("required", {"n": bb.Int(nullable=False), "s": bb.String})
    table.insert([{"n": 1, "s": None}, {"n": 2, "s": "x"}])
    full = table.order_by("n").to_pyarrow_batches().read_all()
    assert full.to_pylist() == [{"n": 1, "s": None}, {"n": 2, "s": "x"}]


@pytest.mark.parametrize("embed_media", [False, True])
def test_parquet_round_trips_null_vectors(session, tmp_path, embed_media):
    kinds = {
        "id": bb.Int,
        "v": bb.Vector(2),
        "s": bb.Struct({"w": bb.Vector(2)}),
        "n": bb.Array(bb.Vector(2)),
        "k": bb.Array(bb.Int, length=3),
    }
    t = bb.create_table("vectors", kinds)
    t.insert(
        [
            {"id": 1, "k": [1, 2, 3]},
            {"id": 2, "v": [1.0, 2.0], "s": {"w": None}},
            {"id": 3, "s": {"w": [1.0, 2.5]}, "n": [None, [3.0, 4.0], None]},
            {"id": 4, "k": [3, None, 5]},
        ]
    )
    path = tmp_path / "vectors.parquet"
    for rows in (t.order_by("id"), t.where(t.id == 3).order_by("id"), t.where(t.id < 0)):
        rows.to_parquet(path, embed_media=embed_media)
        assert pq.read_table(path).to_pylist() == rows.to_pyarrow().to_pylist()
    t.order_by("id").to_parquet(path, embed_media=embed_media)
    again = bb.create_table("again", kinds)
    again.insert(path)
    assert again.order_by("id").collect()["v"] == t.order_by("id").collect()["v"]
