"""Strings formatted from expressions, say by an f-string, are refused when stored."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import ibis
import pandas as pd
import pyarrow as pa
import pytest

import barbule as bb
from barbule.errors import DataError, ExpressionError
from barbule.relations.errors import formatted_strings


@pytest.fixture
def t(session):
    formatted_strings._formatted.clear()  # those of other tests
    schema = {"s": bb.String, "n": bb.Int, "m": bb.Json, "f": bb.Float}
    table = session.create_table("t", schema, defaults={"s": "none"})
    table.insert([{"s": "Up", "n": 1, "m": {"a": "x"}, "f": 0.5}])
    return table


TEXTS = {
    "f-string": lambda t: f"{t.s}!",
    "format": lambda t: "<{}>".format(t.s),  # noqa: UP032
    "computed": lambda t: f"{t.s.upper() + '!'}",
    "number": lambda t: f"{t.n + 1}",
    "duration": lambda t: f"{t.n.sum()} in all",
    "of a query": lambda t: f"{t.filter(t.n > 1).s}",
    "query": lambda t: f"{t.filter(t.n > 1)}",
    "table": lambda t: f"{t}",
    "json": lambda t: f"{t.m.a}",
}


@pytest.mark.parametrize("name", TEXTS)
def test_string_formatted_from_expression_is_refused(session, t, name):
    text = TEXTS[name](t)
    frame = pd.DataFrame({"s": ["a", text], "n": [7, 8]})
    for row, ask in (
        (1, lambda: t.insert([{"s": "a"}, {"s": text}])),
        (0, lambda: t.insert(s=text)),
        (1, lambda: t.insert(frame)),
        (1, lambda: t.insert(pa.table({"s": ["a", text, None]}))),
        (0, lambda: t.update({"s": text})),
        (1, lambda: t.upsert([{"n": 1, "s": "b"}, {"n": 2, "s": text}], on="n")),
        (0, lambda: t.insert([{"m": {"q": [text]}}])),
        (1, lambda: session.create_table("made", [{"s": None}, {"s": text}])),
    ):
        with pytest.raises(DataError, match="a column was formatted into a string") as caught:
            ask()
        assert caught.value.row == row
        assert caught.value.column in {"s", "m"}
    assert t.collect()["s"] == ["Up"]
    assert session.list_tables() == ["t"]


def test_hint_for_formatted_string_works(t):
    t.update({"s": t.s + "!"})
    t.insert(t.select(s=t.s + "?"))
    t.add_computed_column(x=bb.functions.string.format("{0}-{1:.2f}", t.s, t.f.fill_null(0)))
    assert sorted(t.collect()["x"]) == ["Up!-0.50", "Up!?-0.00"]


def test_repr_of_expression_can_be_stored(t):
    texts = [f"{t.s!r}", repr(t.s), str(t.s), "r0 := ManagedTable: t\n\ns: r0.s"]
    texts.append("This is an expression that has not run: it says so.")
    t.insert([{"s": text} for text in texts])
    assert set(texts) <= set(t.collect()["s"])


def test_formatted_string_of_another_process_is_stored(t, tmp_path):
    program = """
        import barbule as bb
        bb.connect("duckdb://", vectors="exact:")
        t = bb.create_table("other", [{"name": "Up", "size": 2}])
        print(f"{t.name}!")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert " has not been executed: " in done.stdout
    t.insert(s=done.stdout)
    assert done.stdout in t.collect()["s"]


def test_format_spec_on_expression_is_refused(t):
    for ask in (lambda: f"{t.f:.2f}", lambda: f"{t.s:>10}", lambda: "{:d}".format(t.n)):  # noqa: UP032
        with pytest.raises(ExpressionError, match=r"string\.format"):
            ask()
    with pytest.raises(TypeError):
        format(t, "x")


def test_number_of_remembered_strings_is_bounded(t):
    for n in range(200):
        assert format(t.n + n)
    assert len(formatted_strings._formatted) <= 64
    with pytest.raises(DataError, match="a column was formatted into a string"):
        t.insert(s=f"{t.n + 199}")
    assert isinstance(f"{ibis._.n}", str)
