"""The README, the documentation's code and the examples of docstrings run as they are shown."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import barbule

ROOT = Path(__file__).parents[1]
NOT_RUN = "<!-- not run"
# What a probe runs in a process of its own, and not by import.
SCRIPTS = {"barbule.indexes.probe"}


def _blocks(page: Path) -> list[str]:
    text = page.read_text()
    found = []
    for match in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        before = text[: match.start()].rstrip().rsplit("\n", 1)[-1]
        if not before.startswith(NOT_RUN):
            found.append(match[1])
    return found


def test_the_readme_runs(session, capsys):
    namespace: dict[str, object] = {"__name__": "__main__"}
    blocks = _blocks(ROOT / "README.md")
    assert len(blocks) >= 3
    for block in blocks:
        exec(compile(block, "README.md", "exec", dont_inherit=True), namespace)
    assert "Toy Story" in capsys.readouterr().out


PAGES = sorted(page for page in (ROOT / "docs").glob("*.md") if _blocks(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_runs(page, session, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in _blocks(page):
        exec(compile(block, page.name, "exec", dont_inherit=True), namespace)


def test_the_readme_says_both_lines():
    text = (ROOT / "README.md").read_text()
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
def test_the_example_of_a_docstring_runs(example, session):
    runner = doctest.DocTestRunner(
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE, verbose=False
    )
    report: list[str] = []
    runner.run(example, out=report.append)
    assert not runner.failures, "".join(report)


def test_there_are_examples():
    assert len(_examples()) > 30
