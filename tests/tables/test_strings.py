"""Strings combined with values of other types: concatenation and refusals."""

from __future__ import annotations

import datetime
import decimal
import uuid

import ibis
import numpy as np
import pytest
from ibis import _

import barbule as bb
from barbule.errors import ExpressionError

DAY = datetime.date(2026, 1, 5)
TIMESTAMP = datetime.datetime(2026, 1, 5, 3)  # noqa: DTZ001
OTHERS = {
    "i": (bb.Int, 1),
    "f": (bb.Float, 1.5),
    "ok": (bb.Bool, True),
    "price": ("decimal(5, 2)", decimal.Decimal("1.50")),
    "d": (bb.Date, DAY),
    "ts": (bb.Timestamp, TIMESTAMP),
    "tm": (bb.Time, datetime.time(3)),
    "took": (bb.Duration, datetime.timedelta(seconds=90)),
    "u": (bb.UUID, uuid.UUID(int=5)),
    "raw": (bb.Binary, b"x"),
    "tags": (bb.Array(bb.String), ["a"]),
}
VALUES = [value for _kind, value in OTHERS.values()]
VALUES += [np.int64(1), np.float64(0.5), {"a": 1}, ("a",), ibis.literal(1), ibis.literal(DAY)]


@pytest.fixture
def t(session):
    schema = {name: kind for name, (kind, _value) in OTHERS.items()}
    table = session.create_table("t", {"s": bb.String, "img": bb.Image, "m": bb.Json, **schema})
    values = {name: value for name, (_kind, value) in OTHERS.items()}
    table.insert([{"s": "Up", "m": {"a": "hi", "n": 3, "none": None}, **values}])
    return table


def value(t, expression):
    return t.select(x=expression).collect()[0, "x"]


@pytest.mark.parametrize("name", OTHERS)
def test_string_plus_column_of_other_type_is_refused(t, name):
    for ask in (
        lambda: t.s + t[name],
        lambda: t[name] + t.s,
        lambda: t[name] + "x",
        lambda: "x" + t[name],
        lambda: t.s.concat(t[name]),
    ):
        with pytest.raises(ExpressionError) as caught:
            ask()
        assert caught.value.table == "t"
        assert caught.value.hint


@pytest.mark.parametrize("other", VALUES, ids=str)
def test_string_plus_value_of_other_type_is_refused(t, other):
    for ask in (lambda: t.s + other, lambda: other + t.s, lambda: t.s.upper() + other):
        with pytest.raises(ExpressionError, match=r"\+ is not supported between") as caught:
            ask()
        assert caught.value.hint
    with pytest.raises(ExpressionError, match=r"\.concat\(\)"):
        t.s.concat("-", other)


def test_invalid_concatenation_is_refused_in_each_verb(session, t):
    for ask in (
        lambda: t.update({"s": t.s + 1}),
        lambda: t.update({"s": _.s + 1}),
        lambda: t.update({"s": lambda r: r.s + 1}),
        lambda: t.add_computed_column(x=t.s + 1),
        lambda: session.create_view("v", t.mutate(x=_.s + 1)),
        lambda: t.filter(t.s + 1 == "Up1"),
        lambda: t.group_by(x=_.s + 1).agg(n=_.count()),
        lambda: t.order_by(_.s + 1),
    ):
        with pytest.raises(
            ExpressionError, match=r"\+ is not supported between 's' \(string\) and 1"
        ):
            ask()
    assert t.collect()["s"] == ["Up"]
    view = session.create_view("v", t.select("s"))
    with pytest.raises(ExpressionError, match=r"\+ is not supported between 's' \(string\) and 1"):
        view.add_computed_column(x=view.s + 1)


def test_hints_for_concatenation_work(t):
    assert value(t, t.s + t.i.cast("string")) == "Up1"
    assert value(t, t.s + t.took.cast("string")) == "Up00:01:30"
    assert value(t, t.s + t.d.strftime("%Y-%m-%d")) == "Up2026-01-05"
    assert value(t, t.s + t.tags.join(", ")) == "Upa"
    assert value(t, t.s + str(1)) == "Up1"
    assert value(t, t.s + t.img.uri()) is None
    assert value(t, (t.i + 20260130).cast("string").as_date("%Y%m%d")) == datetime.date(2026, 1, 31)
    assert value(t, t.i.as_timestamp("s")).replace(tzinfo=None) == datetime.datetime(  # noqa: DTZ001
        1970, 1, 1, 0, 0, 1
    )


def test_string_concatenation(t):
    assert value(t, t.s + "-" + t.s) == "Up-Up"
    assert value(t, "-" + t.s) == "-Up"
    assert value(t, t.s + ibis.literal("!")) == "Up!"
    assert value(t, ibis.literal("!") + t.s) == "!Up"
    assert value(t, (t.s + _.s)) == "UpUp"
    assert value(t, np.str_("x") + t.s) == "xUp"
    assert value(t, t.s + None) is None
    assert value(t, t.s + ibis.null("string")) is None
    assert value(t, t.s * 2) == "UpUp"


@pytest.mark.parametrize("other", ["s", "x"])
def test_media_column_plus_string_is_refused(t, other):
    other = t.s if other == "s" else other
    for ask in (lambda: t.img + other, lambda: other + t.img, lambda: t.img + t.img):
        with pytest.raises(ExpressionError, match=r"\+ is not supported between") as caught:
            ask()
        assert "uri()" in caught.value.hint


METHODS = ("concat", "contains", "startswith", "endswith", "find", "re_search", "split", "like")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("other", [1, b"x", DAY, {"a": 1}], ids=str)
def test_string_methods_refuse_other_types(t, method, other):
    with pytest.raises(ExpressionError, match=rf"\.{method}\(\) of 's' \(string\) takes strings"):
        getattr(t.s, method)(other)


def test_string_methods_check_each_argument(t):
    with pytest.raises(ExpressionError, match="takes strings, not 2"):
        t.s.replace("U", 2)
    with pytest.raises(ExpressionError, match="takes strings") as caught:
        t.s.contains(["U", "p"])
    assert "isin" in caught.value.hint
    assert value(t, t.s.like(["U%", "x"])) is True
    assert value(t, t.s.substr(0, 1)) == "U"
    assert value(t, t.s.find("p", 1)) == 1
    assert value(t, t.s.lpad(4, "-")) == "--Up"
    assert value(t, t.s.lpad(4, "4")) == "44Up"
    assert value(t, t.s.find("0", 0)) == -1
    assert value(t, (t.s + "1").re_extract("1", 0)) == "1"
    assert value(t, t.s.re_extract("(U)", 1)) == "U"


def test_json_with_strings_is_a_string(t):
    assert value(t, t.m.a + "-" + t.m.a) == "hi-hi"
    assert value(t, t.s + t.m.a) == "Uphi"
    assert value(t, t.m.a + t.s + t.m.a) == "hiUphi"
    assert value(t, "<" + t.m.a + ">") == "<hi>"
    assert value(t, t.m.a.upper() + t.m.a) == "HIhi"
    assert value(t, t.s.concat(t.m.a, t.m["a"])) == "Uphihi"
    assert value(t, t.m.a.concat(t.m.a)) == "hihi"
    assert value(t, t.s.lower().contains(t.m.a)) is False
    assert value(t, (t.s + "hi").endswith(t.m.a)) is True
    assert value(t, t.m.a.startswith(t.m.a)) is True
    assert value(t, _.m.a + "-" + _.m.a) == "hi-hi"


@pytest.mark.parametrize("path", ["n", "none", "absent"])
def test_non_string_json_with_strings_is_null(t, path):
    for expression in (t.s + t.m[path], t.m[path] + "-", t.s.concat("-", t.m[path])):
        assert value(t, expression) is None


def test_concatenation_of_json_strings_follows_updates(session, t):
    t.add_computed_column(x=t.s + "-" + t.m.a)
    view = session.create_view("v", t.select(y=t.m.a + "/" + t.m.a + "/" + t.s))
    t.update({"m": {"a": "bye"}})
    assert t.collect()["x"] == ["Up-bye"]
    assert view.collect()["y"] == ["bye/bye/Up"]


def test_timestamps_and_dates_are_not_comparable_with_integers(t):
    for ask in (
        lambda: t.d >= 20260105,
        lambda: 20260105 <= t.d,  # noqa: SIM300 - what is tested
        lambda: t.ts == 20260105,
        lambda: t.d.between(20260105, 20270105),
        lambda: t.d.isin([20260105]),
        lambda: t.d.fill_null(20260105),
        lambda: t.d >= t.i,
    ):
        with pytest.raises(ExpressionError) as caught:
            ask()
        assert "datetime.date(2026, 1, 31), or the string '2026-01-31'" in caught.value.hint
    with pytest.raises(ExpressionError) as caught:
        t.d + 1
    assert "datetime.timedelta(days=1)" in caught.value.hint


def test_duration_errors_say_duration(t):
    for ask in (
        lambda: t.took > 5,
        lambda: t.took.between(1, 5),
        lambda: t.took + 1,
        lambda: t.took * t.ts,
        lambda: t.took * t.took,
        lambda: t.took.nothing,
        lambda: t.took + "x",
        lambda: (t.ts - t.ts) > 5,
        lambda: t.update({"took": "x"}),
        lambda: t.insert(took="x"),
        lambda: t.change_type("took", "int64"),
    ):
        with pytest.raises(bb.errors.BarbuleError) as caught:
            ask()
        assert "interval(" not in str(caught.value)
        assert "duration" in str(caught.value)
    with pytest.raises(bb.errors.SchemaError, match=r"interval\('M'\) depends on the calendar"):
        bb.create_table("months", {"m": "interval('M')"})
