"""Hints of error messages name existing methods with valid arguments."""

from __future__ import annotations

import ast
import builtins
import datetime
import inspect
import pathlib
import re
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import barbule as bb
from barbule.errors import BarbuleError, ColumnNotFoundError, DependencyError
from barbule.executor.results.result_set import ResultSet
from barbule.functions.registry import Function
from barbule.relations import GroupedQuery, Query
from barbule.relations.columns import ManagedColumn
from barbule.session import Session
from barbule.tables.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = pathlib.Path(bb.__file__).parent
CALL = re.compile(r"(?<![\w`])((?:\w+\.|\.)*)(\w+)\((?!s\))")
VALUES = [kind for kind in vars(ir).values() if isinstance(kind, type)]
NAMESPACES = [
    bb, bb.functions.string, Session, Table, Query, GroupedQuery, ResultSet, ibis, pd, pathlib,
    datetime, datetime.datetime, builtins, ManagedColumn, Function, bb.functions.DocumentSplitter,
    pd.DataFrame, pd.Series, pd.Index, pa.Scalar, np.ndarray, pathlib.Path, bytes, *VALUES,
]  # fmt: skip
OF_OTHERS = {"load_dataset", "save_pretrained"}  # of optional packages
FILLED = "x"  # placeholder for formatted values


def text_of(node: ast.expr) -> str:
    """Join the constant parts of a message, with a placeholder for formatted values."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or FILLED for part in node.values)  # noqa: PD011 - not a DataFrame
    if isinstance(node, ast.BinOp):
        return text_of(node.left) + text_of(node.right)
    if isinstance(node, ast.IfExp):
        return f"{text_of(node.body)}\n{text_of(node.orelse)}"
    return ""


def hints() -> Iterator[tuple[str, str]]:
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.keyword)
                and node.arg == "hint"
                and (text := text_of(node.value))
            ):
                yield f"{path.relative_to(SOURCE)}:{node.value.lineno}", text


def called(text: str) -> Iterator[tuple[str, str, ast.Call | None]]:
    """Yield the calls in a text: prefix, name, and the call if it parses."""
    for match in CALL.finditer(text):
        depth, end = 0, match.end() - 1
        for end in range(match.end() - 1, len(text)):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            if not depth:
                break
        try:
            parsed: Any = ast.parse(f"f{text[match.end() - 1 : end + 1]}", mode="eval").body
        except SyntaxError:
            parsed = None
        yield match[1], match[2], parsed if isinstance(parsed, ast.Call) else None


def takes(function: Any, call: ast.Call) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return True
    free = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)
    names = {parameter.name for parameter in parameters}
    keywords = {keyword.arg for keyword in call.keywords} - {None, FILLED}
    return free or keywords <= names


def test_hints_name_existing_methods_with_valid_arguments():
    wrong, checked = [], 0
    for location, text in hints():
        for prefix, name, call in called(text):
            functions = [getattr(owner, name) for owner in NAMESPACES if hasattr(owner, name)]
            if name in OF_OTHERS or (not functions and "." not in prefix):
                continue  # a word before a parenthesis, or a user function
            checked += 1
            if not functions:
                wrong.append(f"{location}: there is no {prefix}{name}: {text}")
            elif call is not None and not any(takes(function, call) for function in functions):
                wrong.append(f"{location}: {name} does not take these arguments: {text}")
    assert checked > 100
    assert not wrong, "\n".join(wrong)


@pytest.fixture
def t():
    bb.connect("duckdb://", vectors="exact:")
    films = bb.create_table("docs.films", [{"name": "Up", "n": 1}])
    films.add_computed_column(m=films.n + 1)
    bb.create_view("docs.seen", films.filter(films.n > 0))
    return films


@pytest.mark.parametrize(
    ("verb", "ask"),
    [
        (bb.drop_table, lambda _: bb.drop_table("docs.films")),
        (bb.drop_table, lambda _: bb.drop_table("nothing")),
        (bb.drop_dir, lambda _: bb.drop_dir("docs")),
        (bb.drop_dir, lambda _: bb.drop_dir("nothing")),
        (bb.create_table, lambda _: bb.create_table("docs.films", {"n": int})),
        (bb.create_table, lambda _: bb.create_table("docs.films", {"n": int}, if_exists="replace")),
        (bb.create_view, lambda t: bb.create_view("docs.seen", t)),
        (bb.get_table, lambda _: bb.get_table("nothing")),
        (Table.drop_column, lambda t: t.drop_column("n")),
        (Table.drop_column, lambda t: t.drop_column("nothing")),
        (Table.rename_column, lambda t: t.rename_column("n", "name")),
        (Table.rename_column, lambda t: t.rename_column("nothing", "x")),
        (Table.add_columns, lambda t: t.add_columns({"n": int})),
        (Table.add_computed_column, lambda t: t.add_computed_column(n=t.n)),
        (Table.add_computed_column, lambda t: t.add_computed_column(m=t.n)),
        (Table.drop_checkpoint, lambda t: t.drop_checkpoint("nothing")),
        (Table.upsert, lambda t: t.upsert([{"n": 1}], on="nothing")),
        (Table.update, lambda t: t.update({"nothing": 1})),
        (Table.update, lambda t: t.update({"m": 1})),
        (Table.delete, lambda t: t.delete(where=t.n)),
        (bb.snapshot, lambda _: (bb.snapshot("s"), bb.snapshot("s"))),
    ],
)
def test_hint_arguments_are_parameters_of_the_method(t, verb, ask):
    with pytest.raises(BarbuleError) as caught:
        ask(t)
    hint = re.sub(r"[\w.]+\([^()]*\)", "", caught.value.hint)  # calls are checked by the test above
    named = set(re.findall(r"(?<![\w=])(\w+)=(?!=)", hint))
    assert named <= set(inspect.signature(verb).parameters), caught.value.hint


def test_hinted_cascade_and_replace_force_work(t):
    with pytest.raises(DependencyError, match=r"pass cascade=True\.$"):
        bb.drop_table("docs.films")
    with pytest.raises(DependencyError, match=r'pass if_exists="replace_force"\.$'):
        bb.create_table("docs.films", {"n": int}, if_exists="replace")
    bb.create_table("docs.films", {"n": int}, if_exists="replace_force")
    assert bb.list_tables() == ["docs.films"]


def test_hint_names_a_single_dependent_and_counts_several(session):
    films = session.create_table("f.films", [{"name": "Up", "year": 2009}])
    films.add_computed_column(age=2026 - films.year)
    with pytest.raises(DependencyError, match=r"Drop the column 'age' first, or pass cascade"):
        films.drop_column("year")
    with pytest.raises(DependencyError, match=r"contains 'f\.films'\. Drop 'f\.films' first, or"):
        session.drop_dir("f")
    session.create_view("late", films.filter(films.year > 2000))
    with pytest.raises(DependencyError, match=r"the view 'late'\. Drop the view 'late' first, or"):
        session.drop_table("f.films")
    with pytest.raises(DependencyError, match=r"depend on it: 'late'\. Drop 'late' first\."):
        session.drop_dir("f", cascade=True)
    session.create_view("old", films.filter(films.year < 2000))
    with pytest.raises(DependencyError, match=r"'late', the view 'old'\. Drop them first, or"):
        session.drop_table("f.films")


def test_search_of_a_number_names_the_mode_for_indexes(session):
    films = session.create_table("films", [{"year": 2009}])
    with pytest.raises(bb.BarbuleError, match=r'mode="vector" searches a column with an embedding'):
        films.year.search("x")


def test_missing_column_with_quotes_is_named_as_it_is(session):
    films = session.create_table("films", [{"name": "Up"}])
    with pytest.raises(
        ColumnNotFoundError, match=r"""no column "'name'"\. Did you mean 'name'\?"""
    ):
        films.select("'name'")
