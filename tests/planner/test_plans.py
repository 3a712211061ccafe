"""Pairs of an expression and its plan, read from tests/plans/*.txt.

A file is named after the rule that it tests; "plan" stands for the whole planner. Cases are
separated by "== name" lines: an expression over the tables below, "--", and the tree expected.
A result that begins with "!" is an error.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import ibis
import pytest

import barbule as bb
from barbule.errors import BarbuleError
from barbule.fast_paths import plain_mode
from barbule.planner.lineage import prune
from barbule.planner.plan_builder import PlanBuilder
from barbule.planner.plan_text import tree
from barbule.planner.planner import make_plan
from barbule.planner.rewriter import RULES, apply_rules

FILES = sorted((Path(__file__).parent.parent / "plans").glob("*.txt"))


@bb.udf
def shout(text: str) -> str:
    return text.upper() + "!"


@bb.udf(cache=True)
def age(year: int) -> int:
    return 2026 - year


@bb.udf(on_error="null")
def risky(page: int) -> int:
    return 1 // page


@bb.udf
def alike(left: str, right: str) -> bool:
    return left == right


@bb.udf(batch_size=8)
def embed(texts: list[str]) -> list[bb.Vector(2)]:
    return [[len(text), 1.0] for text in texts]


def cases(file):
    for block in file.read_text().split("\n== ")[1:]:
        name, _, body = block.partition("\n")
        expression, _, expected = body.partition("\n--\n")
        yield name, expression, expected.strip()


class ReadyContext:
    """The context of an engine, with every vector index up to date."""

    def __init__(self, facts):
        self._facts = facts

    def __getattr__(self, name):
        return getattr(self._facts, name)

    def index_of(self, leaf, column, name):
        index = self._facts.index_of(leaf, column, name)
        return replace(index, ready=leaf.commit is None, in_memory=leaf.commit is None)


@pytest.fixture
def scope(session):
    films = bb.create_table("films", {"name": bb.String, "year": bb.Int, "revenue": bb.Float})
    people = bb.create_table("people", {"who": bb.String, "film": bb.String})
    notes = bb.create_table("notes", {"text": bb.String, "page": bb.Int})
    notes.add_embedding_index("text", embedding=embed, name="by_text")
    pages = bb.create_table("pages", {"page": bb.Int})
    pages.add_computed_column(risky=risky(pages.page))
    recent = bb.create_view(
        "recent", films.where(films.year > 2000), computed_columns={"loud": shout(films.name)}
    )
    return {
        "films": films,
        "people": people,
        "notes": notes,
        "pages": pages,
        "recent": recent,
        "renamed": films.rename(call="revenue"),
        "low": notes.mutate(low=notes.text.lower()),
        "shout": shout,
        "age": age,
        "alike": alike,
        "similar": notes.text.similarity("hooks"),
        "ibis": ibis,
        "_": ibis._,
    }


def rewritten(rule, expression, context):
    if rule == "plan":
        return str(make_plan(expression.as_table().op(), context))
    if rule == "prune":
        return tree(prune(expression.op()))
    (rewrite,) = [each.apply for each in RULES if each.apply.__name__ == rule]
    return tree(rewrite(expression.op(), PlanBuilder(context)))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_expressions_are_planned_as_in_files(file, scope, session, subtests):
    context = ReadyContext(session._engine.facts)
    file_cases = list(cases(file))
    assert file_cases
    for name, expression, expected in file_cases:
        with subtests.test(name):
            try:
                text = rewritten(file.stem, eval(expression, dict(scope)), context)
            except BarbuleError as error:
                text = f"! {type(error).__name__}: {error}"
            assert text == expected


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_rules_that_are_left_out_would_change_nothing(file, scope, session):
    """A rule is applied where the nodes are that it needs: all of them give the same plan."""
    context = ReadyContext(session._engine.facts)
    for _, expression, _ in cases(file):
        try:
            node = eval(expression, dict(scope)).as_table().op()
            with plain_mode():
                expected = tree(apply_rules(node, PlanBuilder(context)))
        except BarbuleError:
            continue
        assert tree(apply_rules(node, PlanBuilder(context))) == expected


def test_each_rule_has_a_plan_file():
    assert {rule.apply.__name__ for rule in RULES} <= {file.stem for file in FILES}


def test_plan_shows_expressions_as_python_code(session):
    notes = bb.create_table(
        "notes",
        {"meta": bb.Json, "s": bb.Struct({"a": bb.Int}), "tags": bb.Array(bb.String), "d": bb.Date},
    )
    query = notes.select(
        path=notes.meta.author[0].surname,
        field=notes.s.a + 1,
        tag=notes.tags[0].upper(),
        year=notes.d.year(),
        chosen=(notes.s.a > 1).ifelse("x", "y"),
        some=notes.tags.contains("a") & ~notes.d.isnull(),
    )
    text = str(query.filter(query.year > 2000).explain())
    for written in (
        "path = meta.author[0].surname",
        "field = s.a + 1",
        "tag = tags[0].upper()",
        "year = d.year()",
        "chosen = ibis.ifelse(s.a > 1, 'x', 'y')",
        "some = tags.contains('a') & ~d.isnull()",
        "Filter year > 2000",
    ):
        assert written in text, text
    assert not re.search(r"[A-Z][a-z]+[A-Z]\w*\(", text), text  # a node of Ibis
