"""Each public verb, type and method is on a page of the documentation."""

from __future__ import annotations

import re

import ibis.expr.types as ir
import pytest

import barbule as bb
from barbule.relations import Query
from pages import EVERY_PAGE, README, ROOT

# For those who build barbule, measured or generated: no place for what users call.
INTERNAL = {"design.md", "benchmarks.md", "backends.md"}
# What the documentation of Ibis tells of.
OF_IBIS = {
    name
    for kind in (ir.Table, ir.Join, ir.StringColumn, ir.JSONColumn, ir.TimestampColumn)
    for name in dir(kind)
}
PAGES = [
    page
    for page in EVERY_PAGE
    if page.name not in INTERNAL and page.is_relative_to(ROOT) and page.parent.name != "adr"
]
TEXT = "\n".join(page.read_text() for page in PAGES)
MEDIA = {"image": bb.Image, "audio": bb.Audio, "video": bb.Video, "document": bb.Document}


def public(kind: type) -> set[str]:
    """Name what a class adds itself, with the parts of it that are classes of its package."""
    package = kind.__module__.rpartition(".")[0]
    parts = [base for base in kind.__mro__ if base.__module__.rpartition(".")[0] == package]
    return {name for part in parts for name in vars(part) if not name.startswith("_")}


def own_verbs(kind: type) -> set[str]:
    """Name what barbule's classes add to those of Ibis, what they wrap aside."""
    ours = [base for base in kind.__mro__ if base.__module__.startswith("barbule")]
    return {name for base in ours for name in public(base)} - OF_IBIS


def undocumented(names: set[str]) -> list[str]:
    return sorted(name for name in names if not re.search(rf"\b{name}\b", TEXT))


@pytest.mark.parametrize("kind", [bb.Table, bb.Session], ids=["Table", "Session"])
def test_every_verb_is_on_a_page(kind):
    assert len(public(kind)) > 20
    assert not undocumented(public(kind))


def test_every_verb_of_queries_is_on_a_page():
    assert {"show", "explain", "where"} <= own_verbs(Query)
    assert not undocumented(own_verbs(Query))


def test_every_public_name_is_on_a_page():
    assert not undocumented(set(bb.__all__))


@pytest.mark.parametrize("kind", [*MEDIA, "json", "timestamp", "string"])
def test_every_method_of_a_column_is_on_a_page(kind, session):
    table = bb.create_table("t", {"c": MEDIA.get(kind, kind)})
    methods = own_verbs(type(table.c))
    assert {"similarity", "search", "error"} <= methods
    assert not undocumented(methods)


def test_every_page_is_reached_from_the_readme():
    linked = set(re.findall(r"\]\(docs/([\w/]+\.md)", README.read_text()))
    pages = {page.name for page in (ROOT / "docs").glob("*.md")}
    assert pages <= linked


def test_links_lead_somewhere():
    for page in [*PAGES, README]:
        for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text()):
            assert (page.parent / target).exists(), (page.name, target)


def test_anchors_are_headings():
    for page in [*PAGES, README]:
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#([\w-]+)\)", page.read_text()):
            there = (page.parent / target if target else page).read_text()
            headings = re.findall(r"^#+ (.+)$", there, re.MULTILINE)
            made = {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}
            assert anchor in made, (page.name, target, anchor)
