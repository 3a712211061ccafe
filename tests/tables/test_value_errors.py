"""Expressions used like Python values, or misspelt: errors with hints."""

from __future__ import annotations

import ibis
import pytest

import barbule as bb
from barbule.errors import BarbuleError, ExpressionError

SCHEMA = {
    "name": bb.String,
    "n": bb.Int,
    "y": bb.Float,
    "ok": bb.Bool,
    "day": bb.Date,
    "moment": bb.Timestamp,
    "took": bb.Duration,
    "tags": bb.Array(bb.String),
    "place": bb.Vector(2),
    "s": ibis.dtype("struct<name: string, names: string, age: int64>"),
    "meta": bb.Json,
    "img": bb.Image,
}


@bb.udf
def plus_one(n: int) -> int:
    return n + 1


@pytest.fixture
def t(session):
    table = session.create_table("films", SCHEMA)
    table.insert(name="Up", n=2, y=0.5, ok=True, s={"name": "a", "names": "b", "age": 3})
    return table


CONDITIONS = {
    "string": lambda t: t.name == "Up",
    "integer": lambda t: t.n > 1,
    "reflected": lambda t: 1 < t.n,  # noqa: SIM300 - what is tested
    "float": lambda t: t.y <= 1,
    "boolean": lambda t: t.ok,
    "date": lambda t: t.day == "2026-01-01",
    "timestamp": lambda t: t.moment > "2026-01-01",
    "duration": lambda t: t.took.total_seconds() > 1,
    "array": lambda t: t.tags.length() > 1,
    "vector": lambda t: t.place[0] > 1,
    "field": lambda t: t.s.age > 1,
    "item": lambda t: t.s["age"] > 1,
    "json": lambda t: t.meta.a > 1,
    "media": lambda t: t.img.width() > 1,
    "sum": lambda t: t.n + 1 + t.y > 1,
    "method": lambda t: t.name.upper().contains("U"),
    "negation": lambda t: ~(t.n > 1),
    "and": lambda t: (t.n > 1) & (t.y > 1),
    "null": lambda t: t.n.isnull(),
    "scalar": lambda t: t.n.sum() > 1,
    "function": lambda t: plus_one(t.n) > 1,
    "built-in": lambda t: bb.functions.image.width(t.img) > 1,
    "query": lambda t: t.filter(t.n > 0).n > 1,
    "join": lambda t: t.join(t.view(), "n").n > 1,
    "renamed": lambda t: t.mutate(m=t.n).m > 1,
}


@pytest.mark.parametrize("make", CONDITIONS.values(), ids=CONDITIONS)
def test_boolean_keywords_raise_with_operator_hint(t, make):
    condition = make(t)
    for ask in (
        lambda: condition and condition,
        lambda: condition or condition,
        lambda: not condition,
        lambda: 1 if condition else 2,
        lambda: max(condition, condition),
    ):
        with pytest.raises(ExpressionError, match=r"has no truth value") as caught:
            ask()
        assert isinstance(caught.value, ValueError)  # which Ibis raises
        for name in ("&", "|", "~", "isin", "between", "ifelse"):
            assert name in caught.value.hint
        assert caught.value.table in {"films", None}


def test_chained_comparisons_and_in_raise(t):
    for ask in (lambda: 0 < t.n < 5, lambda: t.n in [1, 2], lambda: t.n > 1 & t.n < 3):
        with pytest.raises(ExpressionError, match=r"isin.*between"):
            ask()
    for column in (t.name, t.tags, t.meta):
        with pytest.raises(ExpressionError, match=r"^table 'films', column .*contains\("):
            "x" in column  # noqa: B015 - what is tested
    with pytest.raises(ExpressionError, match=r"isin\(.*any\("):
        1 in t.n  # noqa: B015 - what is tested


def test_hints_for_conditions_work(t):
    assert t.filter((t.n > 1) & (t.y < 1)).collect()["name"] == ["Up"]
    assert t.filter(~(t.n > 1) | t.n.isin([1, 2])).collect()["name"] == ["Up"]
    assert t.filter(t.n.between(1, 5)).collect()["name"] == ["Up"]
    assert (t.n == 2).any().to_pyarrow().as_py() is True


def test_expressions_cannot_be_iterated(t):
    with pytest.raises(TypeError, match=r"column 'n': .*not iterable.*collect\(\)\['x'\]"):
        list(t.n)
    assert t.select(x=t.n).collect()["x"] == [2]
    for query in (t, t.filter(t.n > 1), t.join(t.view(), "n")):
        with pytest.raises(ExpressionError, match=r"no rows.*for row in query\.collect"):
            list(query)
        with pytest.raises(ExpressionError, match=r"no length.*count\(\)"):
            len(query)
        with pytest.raises(ExpressionError, match=r"has no truth value.*count\(\)"):
            bool(query)


@pytest.mark.parametrize(
    ("ask", "hint"),
    [
        (lambda t: t.n.summ(), "'sum'"),
        (lambda t: t.name.uper(), "'upper'"),
        (lambda t: t.name.upper().lowr(), "'lower'"),
        (lambda t: (t.n + 1).rond(), "'round'"),
        (lambda t: t.img.rezise((1, 1)), "'resize'"),
        (lambda t: t.img.widht, "'width'"),
        (lambda t: t.img.resize((1, 1)).rotat(90), "'rotate'"),
        (lambda t: t.day.yaer(), "'year'"),
        (lambda t: plus_one(t.n).summ(), "'sum'"),
        (lambda t: t.s.nmae, "'name'.*name, names, age"),
        (lambda t: t.s["nmae"], "'name'.*name, names, age"),
        (lambda t: t.filter(t.n > 1).s.agee, "'age'"),
    ],
)
def test_misspelt_method_or_field_error_suggests_name(t, ask, hint):
    with pytest.raises((AttributeError, KeyError), match=rf"^table 'films'.*Did you mean {hint}"):
        ask(t)


def test_fields_named_like_methods_are_read_by_item(t):
    with pytest.raises(AttributeError, match=r'column\["name"\] reads any of them'):
        t.s.ages  # noqa: B018 - what is tested
    assert t.select(x=t.s["names"], y=t.s["name"]).collect()[0] == {"x": "b", "y": "a"}
    assert not hasattr(t.s, "_private")


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda t: t.n / t.name, r"/ is not supported between 'n' \(int64\) and 'name' \(string\)"),
        (lambda t: t.name - t.n, r"- is not supported between 'name' \(string\) and 'n' \(int64\)"),
        (
            lambda t: t.n + t.name,
            r"\+ is not supported between 'n' \(int64\) and 'name' \(string\)",
        ),
        (lambda t: t.name % 3, r"% is not supported between 'name' \(string\) and 3"),
        (lambda t: 3 / t.name, r"/ is not supported between 3 and 'name' \(string\)"),
        (lambda t: t.n > "a", r"> is not supported between 'n' \(int64\) and 'a'"),
        (lambda t: t.name * t.name, r"\* is not supported between 'name'"),
        (lambda t: t.n == 1 & t.ok, r"in parentheses"),
        (lambda t: t.name & t.ok, r"in parentheses"),
        (lambda t: t.n.sum() + t.name.max(), r"\+ is not supported between"),
        (lambda t: t.n.between("a", "b"), r"\.between\(\) of 'n' \(int64\)"),
        (lambda t: t.name.cast("strng"), r"\.cast\(\) of 'name' \(string\).*'strng'.*bb\.String"),
        (lambda t: t.name.upper().cast("strng"), r"\.cast\(\) of .*'strng'"),
        (lambda t: t.tags.contains(t), r"\.contains\(\) of 'tags'"),
        (lambda t: t.name > 3, r"> is not supported between .*and 3\..*\.try_cast\('float64'\)"),
        (lambda t: t.ok + 1, r"\+ is not supported between .*\.cast\('int64'\)"),
        (lambda t: t.ok + t.ok, r"\+ is not supported between .*\.cast\('int64'\)"),
        (lambda t: t.tags > 3, r"> is not supported between .*t\.tags\.contains"),
        (lambda t: t.n & "a", r"& is not supported between 'n' \(int64\) and 'a'"),
        (lambda t: t.n << "a", r"<< is not supported between 'n' \(int64\) and 'a'"),
        (lambda t: t.name >> 2, r">> is not supported between 'name' \(string\) and 2"),
        (lambda t: 2 >> t.name, r">> is not supported between 2 and 'name' \(string\)"),
        (lambda t: t.name * "a", r"\* is not supported between 'name' \(string\) and 'a'"),
        (lambda t: t.n - [1], r"- is not supported between 'n' \(int64\) and \[1\]"),
        (lambda t: {"a": 1} + t.n, r"\+ is not supported between \{'a': 1\} and 'n'"),
        (lambda t: t.n + object(), r"\+ is not supported between 'n' \(int64\)"),
        (lambda t: (t.n + 1) * t.name.upper() - 2, r"- is not supported between"),
        (lambda t: -t.name, r"- is not supported for 'name' \(string\)"),
        (lambda t: ~t.name, r"~ is not supported for 'name' \(string\)"),
        (lambda t: abs(t.name), r"abs\(\) is not supported for 'name' \(string\)"),
        (lambda t: round(t.name), r"round\(\) is not supported for 'name' \(string\)"),
        (lambda t: t.name.isin(["a", 1]), r"== is not supported between 'name' \(string\) and 1"),
        (lambda t: t.n.notin([1, "a"]), r"== is not supported between 'n' \(int64\) and 'a'"),
        (lambda t: t.n.isin([t.name]), r"== is not supported between 'n' .* and 'name' \(string\)"),
        (lambda t: t.name["a"], r"\.__getitem__\(\) of 'name' \(string\)"),
        (lambda t: t.tags["a"], r"\.__getitem__\(\) of 'tags'"),
        (lambda t: t.n[0], r"\.__getitem__\(\) of 'n'"),
        (lambda t: t.name.substr("a"), r"\.substr\(\) of 'name'"),
        (lambda t: t.n.round("a"), r"\.round\(\) of 'n'"),
        (lambda t: t.name.upper(3), r"\.upper\(\) of 'name'.*takes 1 positional"),
        (lambda t: t.name.upper(x=3), r"\.upper\(\) of 'name'.*unexpected keyword"),
    ],
)
def test_incompatible_operands_error_names_columns(t, ask, message):
    with pytest.raises(BarbuleError, match=message) as caught:
        ask(t)
    assert caught.value.hint
    assert caught.value.table == "films"
    assert "r0 :=" not in str(caught.value)  # the plan of Ibis


def test_operators_work_with_deferred_and_foreign_values(t):
    assert t.filter(t.n + 1 == ibis._.n + 1).collect()["n"] == [2]
    assert (t.n == object()) is False
    assert len({t.n, t.y}) == 2  # hashed


def test_python_operators_and_functions_on_expressions(t):
    row = t.select(a=round(t.y * 3, 1), b=abs(-t.n), c=-t.y, d=t.n << 2, e=~t.n).collect()[0]
    assert row == {"a": 1.5, "b": 2, "c": -0.5, "d": 8, "e": -3}
    assert t.filter(t.n.isin([2, None]), t.name.isin(["Up"])).collect()["n"] == [2]


def test_operands_keep_their_order(t):
    plain = ibis.coalesce(t.ok, t.ok)
    for left, right in ((t.ok, t.n > 1), (t.n > 1, t.ok), (plain, t.ok), (plain, t.n > 1)):
        for combined in (left & right, left | right):
            assert combined.op().left == left.op()
            assert combined.op().right == right.op()
    assert (t.n - 1 - t.n).op().left == (t.n - 1).op()
    assert (t.name.upper() + t.name).op().args[0][0] == t.name.upper().op()


def test_repr_of_query_says_how_to_run_it(t, monkeypatch):
    hint = ".collect() returns its rows"
    for query in (t, t.filter(t.n > 1), t.join(t.view(), "n")):
        plan, _, reported = repr(query).rpartition("\n\n")
        assert hint in reported
        assert plan == query._noninteractive_repr()
    monkeypatch.setattr(ibis.options, "interactive", True)
    assert hint not in repr(t)
    assert "Up" in repr(t)
