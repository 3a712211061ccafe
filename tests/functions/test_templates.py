"""`string.format`: filled templates, and errors when the expression is created."""

from __future__ import annotations

import datetime

import pytest

import barbule as bb
from barbule.errors import BarbuleError, ExpressionError

fill = bb.functions.string.format


@pytest.fixture
def table(session):
    table = bb.create_table(
        "t",
        {
            "s": bb.String,
            "x": bb.Float,
            "n": bb.Int,
            "day": bb.Timestamp,
            "r": bb.Struct({"name": bb.String, "n": bb.Int}),
            "l": bb.Array(bb.String),
        },
    )
    moment = datetime.datetime(2026, 1, 31, 12)  # noqa: DTZ001
    table.insert(
        [
            {
                "s": "a",
                "x": 1.46,
                "n": 7,
                "day": moment,
                "r": {"name": "r", "n": 1},
                "l": ["a", "b"],
            },
            {"s": None, "x": None, "n": None, "day": None, "r": None, "l": None},
        ]
    )
    return table


@pytest.mark.parametrize(
    ("template", "columns", "text"),
    [
        ("Q: {0}", ["s"], "Q: a"),
        ("Q: {}, {}", ["s", "n"], "Q: a, 7"),
        ("{0:.1f}", ["x"], "1.5"),
        ("{0:>4}|{0!r}", ["s"], "   a|'a'"),
        ("{0:%Y-%m}", ["day"], "2026-01"),
        ("{0:{1}d}", ["n", "n"], "      7"),
        ("{0[name]}: {0[n]}", ["r"], "r: 1"),
        ("{0}", ["l"], "a\n\nb"),
        ('{{"name": "{0}"}}', ["s"], '{"name": "a"}'),
    ],
)
def test_template_is_filled_and_null_gives_null(table, template, columns, text):
    asked = fill(template, *(table[name] for name in columns))
    assert sorted(table.select(p=asked).collect()["p"], key=bool) == [None, text]
    table.add_computed_column(p=asked)
    assert sorted(table.collect()["p"], key=bool) == [None, text]


def test_named_placeholders_are_filled(table):
    assert sorted(table.select(p=fill("{q}!", q=table.s)).collect()["p"], key=bool) == [None, "a!"]


def test_null_field_of_a_struct_gives_null(table):
    table.insert([{"r": {"name": None, "n": 2}}])
    asked = fill("{0[name]}", table.r)
    assert table.filter(table.r["n"] == 2).select(p=asked).collect()["p"] == [None]
    assert fill("{0}", [{"text": "A."}, None, {"text": None}]) == "A.\n\n"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ('As {"name": "..."}: {0}', "braces that are not placeholders:"),
        ("{0} and {1}", r"the placeholder \{1\} has no value; values are given for 0"),
        ("{x} of {0}", "the placeholder {x} has no value"),
        ("open { brace", "the template is invalid"),
        ("{0.name}", r"Write a field of a struct as \{0\[name\]\}"),
        ("{0:.1f}", "is filled with string: Unknown format code 'f'"),
        ("{0:{w}}", "the placeholder {w} has no value"),
    ],
)
def test_invalid_template_is_rejected_at_creation(table, template, message):
    with pytest.raises(ExpressionError, match=message):
        fill(template, table.s)
    if "string" not in message:
        with pytest.raises(ExpressionError, match=message):
            fill(template, "plain")


def test_format_spec_for_lists_and_structs_is_rejected(table):
    for column in (table.r, table.l):
        with pytest.raises(ExpressionError, match="unsupported format string"):
            fill("{0:5}", column)


def test_template_column_is_checked_per_row(session):
    table = bb.create_table("t", [{"n": 0, "p": "{0}!", "s": "a"}, {"n": 1, "p": "{1}", "s": "a"}])
    assert table.filter(table.n == 0).select(x=fill(table.p, table.s)).collect()["x"] == ["a!"]
    with pytest.raises(ExpressionError, match=r"the placeholder \{1\} has no value"):
        table.select(x=fill(table.p, table.s)).collect()


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{v.__class__}", "reads an attribute"),
        ("{v[0].__class__}", "reads an attribute"),
        ("{v[0][0].__class__.__mro__}", "reads an attribute"),
        ("{v[a.b].c}", "reads an attribute"),
        ("{v:{n.real}}", "reads an attribute"),
        ("{v:{n[0].real}}", "reads an attribute"),
        ("{v:>1000000000}", "wider than 1000"),
        ("{n:0>1001}", "wider than 1000"),
        ("{n:.99999999f}", "wider than 1000"),
        ("{n:999999999999999999999}", "wider than 1000"),
        ("{v:{n}}", "wider than 1000"),
        ("{v:>{n}{n}}", "wider than 1000"),
    ],
)
def test_template_of_data_cannot_read_attributes_or_pad_widely(session, template, reason):
    with pytest.raises(ExpressionError, match=reason):
        fill(template, v="abc", n=1_000_000)
    table = bb.create_table("t", [{"x": template, "v": "abc", "n": 1_000_000}])
    with pytest.raises(BarbuleError, match=reason):
        table.select(r=fill(table.x, v=table.v, n=table.n)).collect()


def test_dotted_keys_and_small_widths_are_filled():
    given = {"v": {"a.b": [7]}, "n": 1000}
    assert fill("{v[a.b][0]}|{n:>6}|{v[a.b][0]:0003d}", **given) == "7|  1000|007"
    assert len(fill("{n:>{n}}", **given)) == 1000
