"""Definitions of columns: expressions, function versions, indexes and dependencies."""

from __future__ import annotations

import datetime
import uuid

import ibis
import PIL.Image
import pytest
from ibis import _

import barbule as bb
from barbule.errors import ColumnNotFoundError, MixedVersionsWarning


@bb.udf
def shout(text: str) -> str:
    return text.upper()


@bb.udf(version="3")
def repeat(text: str, times: int = 2) -> str:
    return text * times


@bb.udf(batch_size=8, version="7")
def embed(texts: list[str]) -> list[bb.Vector(2)]:
    return [[float(len(text)), 1.0] for text in texts]


@bb.iterator(version="1")
def letters(text: str) -> list[bb.Struct({"letter": bb.String})]:
    return [{"letter": letter} for letter in text]


TYPES = {
    "image": (bb.Image, PIL.Image.new("RGB", (4, 4))),
    "video": (bb.Video, None),
    "audio": (bb.Audio, None),
    "document": (bb.Document, b"text"),
    "json": (bb.Json, {"a": 1}),
    "vector": (bb.Vector(3), [1.0, 2.0, 3.0]),
    "struct": (bb.Struct({"a": bb.Int}), {"a": 1}),
    "array": (bb.Array(bb.String), ["a"]),
    "timestamp": (bb.Timestamp, datetime.datetime(2026, 1, 31)),  # noqa: DTZ001
    "date": (bb.Date, datetime.date(2026, 1, 31)),
    "time": (bb.Time, datetime.time(9, 30)),
    "uuid": (bb.UUID, uuid.UUID(int=1)),
    "binary": (bb.Binary, b"a"),
    "bool": (bb.Bool, True),
    "int": (bb.Int, 3),
    "float": (bb.Float, 0.5),
    "decimal": ("decimal(10, 2)", 1),
    "string": (bb.String, "a"),
}


@pytest.fixture
def films(session):
    films = session.create_table(
        "my.films",
        {"name": bb.String, "revenue": bb.Float, "budget": bb.Float, "poster": bb.Image},
        defaults={"budget": 1.5},
    )
    films.add_computed_column(
        profit=films.revenue - films.budget,
        loud=shout(films.name),
        often=repeat(films.name, times=3),
        twice=repeat(films.name),
        thumb=films.poster.resize((8, 8)).rotate(90),
    )
    films.insert(name="Up", revenue=735.1)
    return films


@pytest.mark.parametrize("kind", TYPES)
def test_describe_of_each_type(kind, session):
    dtype, value = TYPES[kind]
    t = session.create_table("t", {"c": dtype})
    empty = t.describe().collect()[0]
    t.insert([{"c": value}, {"c": None}])

    row = t.describe().collect()[0]

    assert (empty["name"], empty["count"], empty["nulls"]) == ("c", 0, 0)
    assert (row["name"], row["count"], row["nulls"]) == ("c", 2, 1 if value is not None else 2)
    assert row["type"] == str(t.c.type())
    assert f"c  {t.c.type()}" in str(t.describe())


def test_describe_statistics_match_ibis(session):
    t = session.create_table("t", [{"a": "x", "n": 1}, {"a": "x", "n": 2}, {"a": "y", "n": 6}])
    text, number = t.describe(quantile=(0.5,)).order_by("pos").collect()
    assert (text["mode"], text["unique"], text["mean"]) == ("x", 2, None)
    assert (number["mean"], number["min"], number["p50"], number["max"]) == (3, 1, 2, 6)
    assert "mode" not in t.select("n").describe().columns
    assert "mean" not in t.select("a").describe().columns
    assert t.filter(t.n > 1).describe().filter(_.name == "n").collect()[0, "count"] == 2


def test_definition_shows_column_expression_as_source(films):
    assert films.definition("profit") == "films.revenue - films.budget"
    assert films.definition("loud") == "shout(films.name)"
    assert films.definition("often") == "repeat(films.name, times=3)"
    assert films.definition("twice") == "repeat(films.name)"
    assert films.definition("thumb") == "films.poster.resize([8, 8]).rotate(90)"
    assert films.definition("name") == "string"


def test_definition_lists_versions_and_dependencies(films):
    profit, often = films.definition("profit"), films.definition("often")
    assert (profit.kind, profit.functions) == ("virtual", {})
    assert profit.uses == ("my.films.revenue", "my.films.budget")
    (versions,) = often.functions.values()
    assert (often.kind, versions) == ("stored", ("3",))
    assert films.definition("budget").needed_by == ("my.films.profit",)
    assert films.definition("budget").default == 1.5
    assert "functions: " in repr(often)
    assert "version 3" in repr(often)


def test_definition_lists_mixed_function_versions(session):
    t = session.create_table("t", {"a": bb.String})
    once = bb.udf(lambda text: text, name="definitions.once", return_type=str, version="1")
    t.add_computed_column(b=once(t.a))
    t.insert(a="x")
    bb.udf(lambda text: text + "!", name="definitions.once", return_type=str, version="2")
    with pytest.warns(MixedVersionsWarning):
        t.insert(a="y")
    assert t.definition("b").functions == {"definitions.once": ("1", "2")}
    assert "definitions.once, version 1 and 2" in str(t.describe())


def test_definition_of_unknown_column_raises(films):
    with pytest.raises(ColumnNotFoundError, match=r"no such column.*Its columns are name"):
        films.definition("nme")


def test_describe_prints_summary(films, session):
    films.add_embedding_index("name", string_embed=embed, metric="ip")
    session.create_view("cheap", films.where(films.budget < 3).select("name", b=_.budget * 2))
    films.branch("trial")

    text = str(films.describe())

    assert text.startswith("my.films: table of 1 row\n")
    assert "\n  name     string\n" in text
    assert "\n  budget   float64  default 1.5\n" in text
    assert "\n  profit   float64  = films.revenue - films.budget\n" in text
    assert ".repeat, version 3\n" in text
    (index,) = (line for line in text.splitlines() if line.startswith("index "))
    assert "name_embed: my.films.name, string by embed(…) (version 7)" in index
    assert "metric='ip', vectors of 2 numbers" in index
    assert "\nneeded by: view cheap, branch trial" in text
    assert films.definition("name").indexes == ("name_embed",)
    assert "index name_embed" in films.definition("name").needed_by
    assert "view cheap" in films.definition("budget").needed_by


def test_describe_of_view_shows_its_query(films, session):
    films.update({"poster": None})
    cheap = session.create_view(
        "cheap",
        films.where(films.budget < 3).select("name", b=_.budget * 2),
        computed_columns={"loud": lambda t: shout(t.name)},
    )
    totals = session.create_view("totals", films.group_by("name").agg(sum=_.revenue.sum()))
    parts = session.create_view("parts", films, iterator=letters(films.name))

    assert cheap.definition("b") == "films.budget * 2"
    assert cheap.definition("name") == "films.name"
    assert cheap.definition("loud") == "shout(cheap.name)"
    assert "view of: films.filter(films.budget < 3)" in str(cheap.describe())
    assert totals.definition("sum").endswith("revenue.sum()")
    assert totals.definition("sum").kind == "query"
    assert parts.definition("letter") == "letters(films.name).letter"
    assert parts.definition("profit").kind == "base"
    assert "\nrows by: letters(films.name)" in str(parts.describe())


def test_definition_at_old_version(films):
    films.checkpoint("before")
    films.add_computed_column(profit=films.revenue * 2, if_exists="replace")
    assert films.definition("profit") == "films.revenue * 2"
    assert films.at("before").definition("profit") == "films.revenue - films.budget"
    assert "an earlier version" in str(films.at("before").describe())


def test_definition_uses_new_name_of_renamed_column(films):
    films.rename_column("revenue", "gross")
    assert films.definition("profit") == "films.gross - films.budget"


def test_columns_info_is_a_table_of_definitions(films):
    info = films.columns_info
    assert list(info["name"]) == list(films.columns)
    assert info.to_pandas().set_index("name").loc["loud", "definition"] == "shout(films.name)"
    assert info["kind"][:2] == ["data", "data"]
    assert info[4]["uses"] == ["my.films.revenue", "my.films.budget"]
    assert info[2]["default"] == "1.5"


def test_notebook_output_escapes_markup_in_definition(session):
    t = session.create_table("t", {"a": bb.String})
    t.add_computed_column(b=t.a + "<script>")
    displayed = t.describe()._repr_mimebundle_()
    assert "t.a + &#x27;&lt;script&gt;&#x27;" in displayed["text/html"]
    assert "<script" not in displayed["text/html"]
    assert displayed["text/plain"] == str(t.describe())


def test_definition_shows_unregistered_function(session):
    from barbule.functions import registry

    t = session.create_table("t", {"a": bb.String})
    dropped = bb.udf(lambda text, times=2: text * times, name="definitions.gone", return_type=str)
    t.add_computed_column(b=dropped(t.a, times=3))
    del registry.GENERATIONS["definitions.gone"]
    assert t.definition("b") == "gone(text=t.a, times=3)"


def test_definition_shows_random_and_unnested_columns(session):
    d = session.create_table("folder.d", {"tags": bb.Array(bb.String), "n": bb.Int})
    d.insert(tags=["a", "b"], n=1)
    drawn = d.filter(d.n > 0).mutate(r=ibis.random(), tag=d.tags.unnest(), at=ibis.now())
    view = bb.create_view("drawn", drawn.filter(drawn.r >= 0))
    actual = {name: str(view.definition(name)) for name in view.columns}
    assert actual == {
        "tags": "d.tags", "n": "d.n", "r": "ibis.random()", "tag": "d.tags.unnest()",
        "at": "ibis.now()",
    }  # fmt: skip
    assert view.definition("tag").uses == ("folder.d.tags",)
    assert view.columns_info.to_pandas().set_index("name").loc["r", "definition"] == "ibis.random()"
    assert repr(view.describe()).endswith(
        "view of: d.filter(d.n > 0).mutate(r=ibis.random(), tag=_.tags.unnest(), at=ibis.now())"
        ".filter(_.r >= 0), where d is bb.get_table('folder.d')"
    )
    plain = bb.create_view("folder.plain", d.filter(d.n > 0))
    assert "view of: d.filter(d.n > 0), where d is bb.get_table('folder.d')" in repr(
        plain.describe()
    )
    films = session.create_table("here", [{"name": "Up"}])
    flat = bb.create_view("flat", films.filter(films.name != ""))
    assert repr(flat.describe()).endswith("view of: here.filter(here.name != '')")
