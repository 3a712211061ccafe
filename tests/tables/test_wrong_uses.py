"""Wrong uses raise no error of Arrow, the database or Ibis, and each error names its place."""

from __future__ import annotations

import datetime
import decimal
import re
import subprocess
import sys
import textwrap

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import barbule as bb
from barbule.errors import BarbuleError

SCHEMA = {
    "i": bb.Int,
    "small": "int8",
    "unsigned": "uint8",
    "f": bb.Float,
    "b": bb.Bool,
    "s": bb.String,
    "d": bb.Date,
    "ts": bb.Timestamp,
    "tm": bb.Time,
    "price": "decimal(5, 2)",
    "u": bb.UUID,
    "raw": bb.Binary,
    "j": bb.Json,
    "v": bb.Vector(2),
    "a": bb.Array(bb.Int),
    "st": "struct<x: int64, y: string>",
    "img": bb.Image,
    "took": bb.Duration,
}

WRONG_VALUES = {
    "i": ["x", 1.5, 2**70, [], {}, b"x", object(), decimal.Decimal("1.5")],
    "small": [300, -129, "x"],
    "unsigned": [-1, 256],
    "f": ["x", [], object()],
    "b": ["x", 2, []],
    "s": [1, b"\xff", [], {}, "\ud800"],
    "d": ["x", "2020-13-01", 5, datetime.time(1)],
    "ts": ["x", "2020-01-01T25:00", []],
    "tm": ["x", "25:00", []],
    "price": ["x", decimal.Decimal("12345.67"), 10**6],
    "u": ["x", 5, b"x"],
    "raw": [5, []],
    "j": [object(), {"a": object()}],
    "v": [[1], [1, 2, 3], "x", [1, "x"], np.zeros((2, 2)), 5, [[1, 2]]],
    "a": [5, ["x"], "ab", [[1]], [1.5]],
    "st": [5, {"x": "a"}, {"z": 1}, [1, 2], "x"],
    "img": ["nofile.png", b"x", 5, np.zeros((2, 2, 7))],
    "took": ["x", []],
}


@pytest.fixture
def t(session):
    return session.create_table("t", SCHEMA)


def explained(ask, *, column: bool = False) -> None:
    with pytest.raises(BarbuleError) as caught:
        ask()
    text = str(caught.value)
    assert caught.value.table == "t", text
    assert caught.value.hint, text
    assert caught.value.column or not column, text
    assert not re.search(r"\br\d+ :=|object at 0x.*>.*object at|Traceback", text)


@pytest.mark.parametrize("column", WRONG_VALUES)
def test_invalid_values_are_refused_with_hint(t, column):
    for value in WRONG_VALUES[column]:
        explained(lambda value=value: t.insert([{column: None}, {column: value}]), column=True)
        explained(lambda value=value: t.insert({column: value}), column=True)
    assert t.count().to_pyarrow().as_py() == 0
    assert len(t.history()) == 1


@pytest.mark.parametrize(
    "source",
    [
        pa.table({"i": ["x"]}),
        pa.table({"small": [300]}),
        pa.table([[1], [2]], names=["i", "i"]),
        pa.table({"took": pa.array([(1, 2, 3)], pa.month_day_nano_interval())}),
        pd.DataFrame({"i": [1, "x"]}),
        pd.DataFrame({"i": [1j]}),
        pd.DataFrame([[1]]),
        np.zeros((2, 2)),
        [None],
        [{1: 2}],
        [5],
        5,
        "nofile.csv",
        "nofile.parquet",
    ],
    ids=lambda source: type(source).__name__,
)
def test_invalid_sources_are_refused_with_hint(t, source):
    explained(lambda: t.insert(source))
    assert len(t.history()) == 1


@pytest.mark.parametrize(
    "ask",
    [
        lambda t: t.select(x=t.s.cast("int64")).collect(),
        lambda t: t.select(x=t.s.cast("int64")).to_pandas(),
        lambda t: t.select(x=t.s.cast("int64")).execute(),
        lambda t: t.select(x=t.s.cast("int64")).to_pyarrow(),
        lambda t: t.select(x=t.s.cast("int64")).show(),
        lambda t: t.s.cast("int64").to_pyarrow(),
        lambda t: t.filter(t.s.cast("int64") > 1).collect(),
        lambda t: t.filter(t.s.cast("int64") > 1).count().to_pyarrow(),
        lambda t: t.filter(t.s.re_search("(")).collect(),
        lambda t: t.select(x=t.s.cast("date")).collect(),
        lambda t: t.select(x=t.s.hashbytes("sha512")).collect(),
        lambda t: t.add_computed_column(stored=True, x=t.s.cast("int64")),
        lambda t: t.update({"i": t.s.cast("int64")}),
        lambda t: t.union(t.select("i")),
        lambda t: t.filter(t.s),
        lambda t: t.filter([]),
        lambda t: t.sample(2),
        lambda t: t.cast({"s": "strng"}),
        lambda t: t.unnest("s"),
        lambda t: t.join(t.view(), "nothing"),
        lambda t: t.filter(ibis._.nothing > 1),
        lambda t: t.add_computed_column(x=t),
        lambda t: t.add_computed_column(x=ibis._.nothing + 1),
        lambda t: t.rename_column("i", "s"),
        lambda t: t.at(99),
        lambda t: t.at(-1),
        lambda t: t.revert(99),
    ],
)
def test_invalid_queries_and_changes_are_refused_with_hint(t, ask):
    t.insert({"i": 1, "s": "Up"})
    explained(lambda: ask(t))
    assert t.select("i", "s").collect() == [{"i": 1, "s": "Up"}]
    assert t.columns == tuple(SCHEMA)


def test_unknown_notebook_function_error_suggests_running_cell(monkeypatch):
    program = """
        import barbule as bb
        bb.connect(vectors="exact:")

        @bb.udf
        def shout(text: str) -> str:
            return text.upper()

        films = bb.create_table("films", {"name": bb.String})
        films.add_computed_column(loud=shout(films.name))
        low = bb.udf(lambda text: text.lower(), return_type=str)
        films.add_computed_column(low=low(films.name))
    """
    # As a notebook does, it has no file that could be imported.
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)
    bb.connect(vectors="exact:")
    films = bb.get_table("films")
    with pytest.raises(BarbuleError, match=r"Run the notebook cell that defines 'shout'") as caught:
        films.insert(name="Up")
    assert "Import" not in str(caught.value)
    films.drop_column("loud")
    with pytest.raises(BarbuleError, match=r"define the same one in this notebook or script"):
        films.insert(name="Up")


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (
            lambda t: t.agg(x=t.n - t.n.sum()),
            r"an aggregate is one value.*'x' has one value for each",
        ),
        (lambda t: t.agg(x=t.n), r"an aggregate is one value.*'x' has one value for each"),
        (
            lambda t: t.group_by("n").agg(x=t.n + 1),
            r"an aggregate is one value.*'x' has one value for each",
        ),
        (lambda t: t.select(x={"a": t.n}), r"is not an expression.*ibis\.struct"),
        (lambda t: t.select(x=[t.n, 1]), r"is not an expression.*ibis\.array"),
        (lambda t: t.add_computed_column(x={"a": t.n}), r"needs an expression.*ibis\.struct"),
    ],
)
def test_invalid_column_expressions_raise_with_hint(session, use, message):
    t = bb.create_table("explained", {"n": bb.Int})
    with pytest.raises(BarbuleError, match=message) as caught:
        use(t)
    assert "object at 0x" not in str(caught.value)
    assert "r0 := " not in str(caught.value).split("(value:")[0]
