"""Paths into JSON: comparisons, arithmetic, sorting, casts and methods."""

from __future__ import annotations

import datetime
import decimal
import uuid

import ibis
import pytest
from ibis import _

import barbule as bb
from barbule.errors import BarbuleError, ExpressionError

KEY = uuid.UUID(int=7)
DOCUMENTS = [
    {"lang": "de", "score": 10, "ok": True, "tags": ["x", "yy"], "at": "2026-01-31T10:00:00"},
    {"lang": "en", "score": 9.5, "ok": False, "tags": [], "deep": {"b": [{"c": 3}, 4]}},
    {"lang": "EN", "score": "9", "tags": "word", "id": 2**53 + 1, "key": str(KEY)},
    {
        "lang": None,
        "score": -1,
        "ok": "yes",
        "odd key": 1,
        "a.b": 2,
        "ü": "é",
        "at": "2025-01-01",
        "$ref": {"/x": {"a*": 7}},
        "**": 5,
    },
    [1, {"lang": "list"}, None],
    "text",
    12,
    None,
    {"lang": "null", "name": "n", "count": 5, "str": "s", "score": 1e3},
]


@pytest.fixture(scope="module")
def table(shared):
    table = shared.create_table("documents", {"n": bb.Int, "meta": bb.Json, "word": bb.String})
    rows = [{"n": n, "meta": document, "word": "de"} for n, document in enumerate(DOCUMENTS)]
    table.insert([*rows, {"n": 99, "meta": {"score": 5}, "word": "gone"}])
    table.delete(where=table.meta.score == 5)
    table.update({"n": table.n}, where=table.n > 4)
    return table


VALUES = {
    "key": (lambda m: m.lang, ["de", "en", "EN", None, None, None, None, None, "null"]),
    "item": (lambda m: m["lang"], ["de", "en", "EN", None, None, None, None, None, "null"]),
    "place": (lambda m: m[1].lang, [None] * 4 + ["list"] + [None] * 4),
    "last place": (lambda m: m.tags[-1], ["yy"] + [None] * 8),
    "deep": (lambda m: m.deep.b[0].c, [None, 3] + [None] * 7),
    "deep number": (lambda m: m.deep.b[0].c + 1, [None, 4.0] + [None] * 7),
    "object": (lambda m: m.deep, [None, {"b": [{"c": 3}, 4]}] + [None] * 7),
    "odd key": (lambda m: m["odd key"] + m["a.b"], [None] * 3 + [3.0] + [None] * 5),
    "keys that look like paths": (
        lambda m: m["$ref"]["/x"]["a*"] + m["**"], [None] * 3 + [12.0] + [None] * 5,
    ),
    "unicode": (lambda m: m.ü, [None] * 3 + ["é"] + [None] * 5),
    "names of verbs": (lambda m: m["name"], [None] * 8 + ["n"]),
    "names of properties": (lambda m: m["str"], [None] * 8 + ["s"]),
    "no such key": (lambda m: m.a.b.c[3], [None] * 9),
    "plus": (lambda m: m.score + 1, [11.0, 10.5, None, 0.0, None, None, None, None, 1001.0]),
    "right plus": (lambda m: 1 + m.score, [11.0, 10.5, None, 0.0, *[None] * 4, 1001.0]),
    "minus": (lambda m: 10 - m.score, [0.0, 0.5, None, 11.0, None, None, None, None, -990.0]),
    "times itself": (lambda m: m.score * m.score, [100.0, 90.25, None, 1.0, *[None] * 4, 1e6]),
    "divided": (lambda m: m.score / 2, [5.0, 4.75, None, -0.5, None, None, None, None, 500.0]),
    "floor divided": (lambda m: m.score // 4, [2, 2, None, -1, None, None, None, None, 250]),
    "modulo": (lambda m: m.score % 4, [2.0, 1.5, None, 3.0, None, None, None, None, 0.0]),
    "power": (lambda m: m.score**2, [100.0, 90.25, None, 1.0, None, None, None, None, 1e6]),
    "negative": (lambda m: -m.score, [-10.0, -9.5, None, 1.0, None, None, None, None, -1e3]),
    "absolute": (lambda m: m.score.abs(), [10.0, 9.5, None, 1.0, None, None, None, None, 1e3]),
    "with a text": (
        lambda m: m.lang + "!",
        ["de!", "en!", "EN!", None, None, None, None, None, "null!"],
    ),
    "after a text": (lambda m: "=" + m.lang, ["=de", "=en", "=EN", *[None] * 5, "=null"]),
    "upper": (lambda m: m.lang.upper(), ["DE", "EN", "EN", None, None, None, None, None, "NULL"]),
    "text methods": (
        lambda m: m.lang.lower().replace("e", "3"),
        ["d3", "3n", "3n", None, None, None, None, None, "null"],
    ),
    "contains": (lambda m: m.lang.contains("n"), [False, True, False, *[None] * 5, True]),
    "round": (lambda m: m.score.round(), [10, 10, None, -1, None, None, None, None, 1000]),
    "length": (lambda m: m.tags.length(), [2, 0, 4] + [None] * 6),
    "of the whole": (lambda m: m.length(), [None] * 4 + [3, 4, None, None, None]),
    "isnull": (lambda m: m.lang.isnull(), [False] * 3 + [True] * 5 + [False]),
    "notnull": (lambda m: m.lang.notnull(), [True] * 3 + [False] * 5 + [True]),
    "is none": (lambda m: m.lang == None, [False] * 3 + [True] * 5 + [False]),  # noqa: E711
    "is not none": (lambda m: m.lang != None, [True] * 3 + [False] * 5 + [True]),  # noqa: E711
    "object isnull": (lambda m: m.deep.isnull(), [True, False] + [True] * 7),
    "list isnull": (lambda m: m.tags.isnull(), [False, False, False] + [True] * 6),
    "null in a list": (lambda m: m[2].isnull(), [True] * 9),
    "fill": (lambda m: m.score.fill_null(0), [10, 9.5, "9", -1, 0, 0, 0, 0, 1e3]),
    "fill text": (lambda m: m.lang.fill_null("?"), ["de", "en", "EN", *["?"] * 5, "null"]),
    "in zone": (lambda m: m.at.cast("timestamp").year(), [2026, *[None] * 2, 2025, *[None] * 5]),
    "cast int": (lambda m: m.score.cast("int64"), [10, 10, 9, -1, *[None] * 4, 1000]),
    "cast large": (lambda m: m.id.cast(int), [None, None, 2**53 + 1, *[None] * 6]),
    "cast float": (lambda m: m.score.cast(float), [10.0, 9.5, 9.0, -1.0, *[None] * 4, 1e3]),
    "cast decimal": (
        lambda m: m.score.cast("decimal(8, 2)"),
        [*map(decimal.Decimal, ("10", "9.5", "9", "-1")), *[None] * 4, decimal.Decimal(1000)],
    ),
    "cast bool": (lambda m: m.ok.cast(bool), [True, False] + [None] * 7),
    "cast text": (lambda m: m.lang.cast(str), ["de", "en", "EN", *[None] * 5, "null"]),
    "cast number to text": (
        lambda m: m.score.cast(str),
        ["10", "9.5", "9", "-1", None, None, None, None, "1000.0"],
    ),
    "cast uuid": (lambda m: m.key.cast("uuid"), [None, None, str(KEY), *[None] * 6]),
    "cast date": (
        lambda m: m.at.cast("date"),
        [datetime.date(2026, 1, 31), None, None, datetime.date(2025, 1, 1), *[None] * 5],
    ),
    "cast list": (lambda m: m.deep.b.array.length(), [None, 2] + [None] * 7),
    "try cast": (lambda m: m.lang.try_cast("int64"), [None] * 9),
    "try cast numbers": (
        lambda m: m.score.try_cast("int64"),
        [10, 10, 9, -1, None, None, None, None, 1000],
    ),
    "try cast large": (lambda m: m.id.try_cast(int), [None, None, 2**53 + 1, *[None] * 6]),
    "bool": (lambda m: m.ok.bool, [True, False] + [None] * 7),
    "int": (lambda m: m.score.int, [10, None, None, -1, None, None, None, None, None]),
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
def test_json_path_values(table, name):
    make, expected = VALUES[name]
    assert table.order_by("n").select(v=make(table.meta)).collect()["v"] == expected
    assert table.order_by("n").select(v=make(_.meta)).collect()["v"] == expected


@pytest.mark.parametrize(
    "key",
    ["a-b", "a b", "1", "0", "1a", "", "a'b", 'a"b', "a[0]", "a.b", "a\\b", "é🎈", "$", "$.a", "/a",
     "**", "#", "[*]", "select", "A", "_x"],
)  # fmt: skip
def test_any_json_key_can_be_accessed(shared, key):
    odd = shared.create_table("odd", {"m": bb.Json}, if_exists="replace")
    others = {"a": {"b": 8, "0": 9}, "x": [7], "*.": 6}
    odd.insert([{"m": {"in": {key: {"v": [41]}} | others}}])
    assert odd.select(v=odd.m["in"][key].v[0] + 1).collect()["v"] == [42]


CONDITIONS = {
    "text": (lambda m: m.lang == "de", [0]),
    "text on the left": (lambda m: "en" == m.lang, [1]),  # noqa: SIM300
    "not text": (lambda m: m.lang != "de", [1, 2, 8]),
    "texts have an order": (lambda m: m.lang > "e", [1, 8]),
    "number": (lambda m: m.score == 10, [0]),
    "number above": (lambda m: m.score > 9, [0, 1, 8]),
    "number on the left": (lambda m: 9 < m.score, [0, 1, 8]),  # noqa: SIM300
    "real number": (lambda m: m.score <= 9.5, [1, 3]),
    "decimal": (lambda m: m.score == decimal.Decimal("9.5"), [1]),
    "large whole number": (lambda m: m.id == 2**53 + 1, [2]),
    "another large whole number": (lambda m: m.id == 2**53 + 2, []),
    "a text that is a number": (lambda m: m.score == "9", [2]),
    "truth": (lambda m: m.ok == True, [0]),  # noqa: E712
    "truth as a text": (lambda m: m.ok == "yes", [3]),
    "not true": (lambda m: ~m.ok.bool, [1]),
    "between": (lambda m: m.score.between(-5, 9.5), [1, 3]),
    "between texts": (lambda m: m.lang.between("a", "e"), [0]),
    "in": (lambda m: m.lang.isin(["de", "EN", None]), [0, 2]),
    "in numbers": (lambda m: m.score.isin([10, 9.5]), [0, 1]),
    "in nothing": (lambda m: m.lang.isin([]), []),
    "not in": (lambda m: m.lang.notin(["de", "EN"]), [1, 8]),
    "itself": (lambda m: m.lang == m.lang, [0, 1, 2, 8]),
    "numbers beside": (lambda m: m.score > m["count"], [8]),
    "texts beside": (lambda m: m.lang < m["name"], []),
    "moment": (lambda m: m.at > datetime.datetime(2025, 6, 1), [0]),  # noqa: DTZ001
    "day": (lambda m: m.at.cast("date") == datetime.date(2026, 1, 31), [0]),
    "both": (lambda m: (m.lang == "en") & (m.deep.b[1] == 4), [1]),
    "like": (lambda m: m.lang.like("%n%"), [1, 8]),
    "the whole": (lambda m: m == "text", [5]),
    "the whole number": (lambda m: m > 11, [6]),
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_json_path_conditions(table, name):
    make, expected = CONDITIONS[name]
    assert sorted(table.filter(make(table.meta)).collect()["n"]) == expected
    assert sorted(table.where(make(_.meta)).collect()["n"]) == expected


def test_json_path_can_be_compared_with_columns(table):
    assert table.filter(table.meta.lang == table.word).collect()["n"] == [0]
    assert table.filter(table.word == table.meta.lang.str).collect()["n"] == [0]
    assert sorted(table.filter(table.meta.score > table.n).collect()["n"]) == [0, 1, 8]


def test_json_paths_sort_numbers_and_strings_by_type(table):
    rows = table.order_by(table.meta.score).select("n").collect()["n"]
    assert rows[:5] == [3, 1, 0, 8, 2]  # -1, 9.5, 10, 1000, then the text
    rows = table.order_by(table.meta.score, asc=False).select("n").limit(2).collect()["n"]
    assert rows == [8, 0]
    rows = table.order_by(ibis.desc(_.meta.lang), "n").select("n").limit(4).collect()["n"]
    assert rows == [8, 1, 0, 2]
    rows = table.order_by(ibis.asc(table.meta.score)).select("n").limit(2).collect()["n"]
    assert rows == [3, 1]
    rows = table.order_by(_.meta.lang.lower(), "n").select("n").limit(3).collect()["n"]
    assert rows == [0, 1, 2]


def test_json_paths_can_be_grouped_and_counted(table):
    grouped = table.group_by(lang=table.meta.lang.str).agg(n=_.count()).order_by("lang")
    assert grouped.collect()["lang"] == ["EN", "de", "en", "null", None]
    assert grouped.collect()["n"] == [1, 1, 1, 1, 5]
    by_value = table.group_by(lang=_.meta.lang).agg(n=_.count()).collect()
    assert sum(by_value["n"]) == len(DOCUMENTS)
    assert table.select(v=table.meta.tags[0]).distinct().count().to_pyarrow().as_py() == 2


def test_json_path_numbers_can_be_aggregated(table):
    rows = table.agg(
        total=table.meta.score.sum(),
        mean=_.meta.score.mean(),
        most=_.meta.score.float.max(),
        last=_.meta.lang.str.max(),
    ).collect()
    assert rows[0] == {"total": 1018.5, "mean": 254.625, "most": 1000.0, "last": "null"}


def test_join_on_json_path(table, shared):
    words = shared.create_table("words", {"lang": bb.String, "word": bb.String})
    words.insert([{"lang": "de", "word": "Wort"}, {"lang": "en", "word": "word"}])
    joined = table.join(words, table.meta.lang.str == words.lang).select(table.n, words.word)
    assert sorted(map(tuple, (row.values() for row in joined.collect()))) == [
        (0, "Wort"), (1, "word"),
    ]  # fmt: skip


def test_json_paths_work_in_computed_columns_views_and_updates(session):
    table = session.create_table("t", {"meta": bb.Json, "label": bb.String})
    table.add_computed_column(loud=table.meta.lang.upper(), tall=table.meta.size[0] * 2)
    table.insert([{"meta": {"lang": "de", "size": [3]}}, {"meta": {"lang": None}}])
    named = session.create_view("named", table.where(table.meta.lang.notnull()))
    table.add_computed_column(size=table.meta.size[0])
    table.update({"label": table.meta.lang.cast("string")})
    table.insert(meta={"lang": "fr", "size": ["x"]})
    assert table.select("loud", "tall").order_by("loud").collect() == [
        {"loud": "DE", "tall": 6.0}, {"loud": "FR", "tall": None}, {"loud": None, "tall": None},
    ]  # fmt: skip
    assert sorted(named.collect()["loud"]) == ["DE", "FR"]
    assert table.delete(where=table.meta.size[0] == 3).rows == 1


def test_json_in_structs_and_arrays_has_paths(session):
    kinds = {"rec": bb.Struct({"meta": bb.Json}), "many": bb.Array(bb.Json), "plain": "json"}
    table = session.create_table("nested", kinds)
    table.insert({"rec": {"meta": {"a": 1}}, "many": [{"b": "x"}], "plain": {"c": [2]}})
    actual = table.select(a=table.rec.meta.a + 1, b=table.many[0].b.upper(), c=table.plain.c[0] + 1)
    assert actual.collect() == [{"a": 2.0, "b": "X", "c": 3.0}]


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda m: m.lang == ["de"], "Json cannot be compared with a list.*Compare its items"),
        (lambda m: m.deep == {"b": 1}, "Json cannot be compared with a dict"),
        (lambda m: m.score.max(), r"max\(\) needs the type of the values.*score.float.max"),
        (lambda m: m.score.min(), r"min\(\) needs the type"),
        (lambda m: m.lang.shout(), "'shout' is not a method of strings or numbers"),
        (lambda m: m(), "is not a method of strings or numbers"),
        (lambda m: m.tags[::0], "must be an integer other than zero"),
        (lambda m: m[1.5], None),
    ],
)
def test_unsupported_json_operations_are_refused(table, use, message):
    with pytest.raises(ExpressionError if message else Exception, match=message):
        use(table.meta)


def test_filter_on_json_path_error_suggests_bool(table):
    with pytest.raises(ExpressionError, match=r"a condition must be boolean.*json.*\.bool"):
        table.filter(table.meta.ok)


def test_json_is_not_iterated(table):
    with pytest.raises(TypeError, match="not iterable"):
        list(table.meta)
    with pytest.raises(TypeError, match=r"single value.*\.contains\("):
        "lang" in table.meta  # noqa: B015 - what is tested


def test_invalid_json_cast_raises(table):
    with pytest.raises(BarbuleError):
        table.select(v=table.meta.lang.cast("int64")).collect()
