"""Each public method, type and name is documented on a page."""

from __future__ import annotations

import re

import ibis.expr.types as ir
import pytest

import barbule as bb
from barbule.relations import Query
from pages import EVERY_PAGE, README, ROOT

# Pages for contributors, measured or generated.
INTERNAL = {"design.md", "benchmarks.md", "backends.md"}
# Documented by Ibis.
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
    """Return the public names of a class and of its bases in the same package."""
    package = kind.__module__.rpartition(".")[0]
    parts = [base for base in kind.__mro__ if base.__module__.rpartition(".")[0] == package]
    return {name for part in parts for name in vars(part) if not name.startswith("_")}


def own_verbs(kind: type) -> set[str]:
    """Return the public names that barbule classes add to those of Ibis."""
    ours = [base for base in kind.__mro__ if base.__module__.startswith("barbule")]
    return {name for base in ours for name in public(base)} - OF_IBIS


def undocumented(names: set[str]) -> list[str]:
    return sorted(name for name in names if not re.search(rf"\b{name}\b", TEXT))


@pytest.mark.parametrize("kind", [bb.Table, bb.Session], ids=["Table", "Session"])
def test_public_methods_are_documented(kind):
    assert len(public(kind)) > 20
    assert not undocumented(public(kind))


def test_query_methods_are_documented():
    assert {"show", "explain", "where"} <= own_verbs(Query)
    assert not undocumented(own_verbs(Query))


def test_public_names_are_documented():
    assert not undocumented(set(bb.__all__))


@pytest.mark.parametrize("kind", [*MEDIA, "json", "timestamp", "string"])
def test_column_methods_are_documented(kind, session):
    table = bb.create_table("t", {"c": MEDIA.get(kind, kind)})
    methods = own_verbs(type(table.c))
    assert {"similarity", "search", "error"} <= methods
    assert not undocumented(methods)


def test_pages_are_linked_from_the_readme():
    linked = set(re.findall(r"\]\(docs/([\w/]+\.md)", README.read_text()))
    pages = {page.name for page in (ROOT / "docs").glob("*.md")}
    assert pages <= linked


def test_links_resolve():
    for page in [*PAGES, README]:
        for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text()):
            assert (page.parent / target).exists(), (page.name, target)


def test_anchors_match_headings():
    for page in [*PAGES, README]:
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#([\w-]+)\)", page.read_text()):
            there = (page.parent / target if target else page).read_text()
            headings = re.findall(r"^#+ (.+)$", there, re.MULTILINE)
            made = {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}
            assert anchor in made, (page.name, target, anchor)
