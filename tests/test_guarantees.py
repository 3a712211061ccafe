"""Every guarantee of the page names existing tests."""

from __future__ import annotations

import ast
import functools
import re

import pytest

from pages import ROOT

PAGE = (ROOT / "docs" / "guarantees.md").read_text()
GUARANTEED, _, NOT = PAGE.partition("\n## Limits\n")
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def _lines(text: str) -> list[str]:
    """Return the items of the lists of a text."""
    return [each.partition("\n\n")[0] for each in re.split(r"^- ", text, flags=re.MULTILINE)[1:]]


@functools.cache
def _defined(path: str) -> frozenset[str]:
    """Return the tests that a file defines, those of its classes too."""
    tree = ast.parse((ROOT / path).read_text())
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    return frozenset(each.name for each in ast.walk(tree) if isinstance(each, functions))


def test_page_lists_guarantees_and_limits():
    assert len(_lines(GUARANTEED)) > 40
    assert len(_lines(NOT)) > 8


@pytest.mark.parametrize("line", _lines(GUARANTEED), ids=lambda line: line.split("**")[1])
def test_guarantee_names_its_tests(line):
    words = _TEST.sub("", line)
    assert "::" not in words, "a test is not cited as `path::name`"
    assert len(re.findall(r"\w+", words)) >= 4
    assert _TEST.search(line)


@pytest.mark.parametrize(("path", "name"), sorted(set(_TEST.findall(PAGE))))
def test_cited_test_exists(path, name):
    assert name.startswith("test_")
    assert name in _defined(path)
