"""Docstring examples run; for documentation pages see `first_calls/test_pages.py`."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import barbule
from pages import README

# Run by a probe as a separate process, not imported.
SCRIPTS = {"barbule.indexes.chroma.integrity"}


def test_readme_names_the_nox_commands():
    text = README.read_text()
    assert "\npip install nox && nox -s rag\n" in text
    assert "\npip install nox && nox -s tests\n" in text


def _examples() -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    tests = []
    for info in pkgutil.walk_packages(barbule.__path__, "barbule."):
        if info.name not in SCRIPTS:
            module = importlib.import_module(info.name)
            tests += [test for test in finder.find(module, info.name) if test.examples]
    return tests


@pytest.mark.parametrize("example", _examples(), ids=lambda example: example.name)
def test_docstring_example_runs(example, backend_url):
    if any("bb." in each.source for each in example.examples):  # others open nothing
        barbule.connect(backend_url, vectors="exact:")
    runner = doctest.DocTestRunner(
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE, verbose=False
    )
    report: list[str] = []
    runner.run(example, out=report.append)
    assert not runner.failures, "".join(report)


def test_docstrings_have_examples():
    assert len(_examples()) > 30
