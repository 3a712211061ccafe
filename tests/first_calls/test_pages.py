"""The blocks of README and docs run as the first thing of a process, and again."""

from __future__ import annotations

import json
import re

import pytest

from pages import EVERY_PAGE, MARKER, PAGES, README, blocks, fenced, processes

# What IPython does: cells have no file, a loop runs, what a cell ends with is shown.
NOTEBOOK = """
import ast, asyncio, linecache
del __file__

async def run(cells):
    for number, cell in enumerate(cells, 1):
        name = f"<cell {number}>"
        linecache.cache[name] = (len(cell), None, cell.splitlines(True), name)
        *_, last = body = ast.parse(cell).body
        shown = [body.pop()] if isinstance(last, ast.Expr) else []
        exec(compile(ast.Module(body, []), name, "exec"), globals())
        for each in shown:
            value = eval(compile(ast.Expression(each.value), name, "eval"), globals())
            if hasattr(value, "_repr_mimebundle_"):
                value._repr_mimebundle_()

"""


def test_blocks_begin_processes():
    assert sum(map(len, map(processes, PAGES))) > 2 * len(PAGES)


def test_no_block_is_overlooked():
    for page in EVERY_PAGE:
        opened = re.findall(r"^\W*(?:```|~~~)\W*(?:i?py|python).*", page.read_text(), re.MULTILINE)
        assert len(opened) == len(fenced(page)), f"{page.name}: {opened}"


def test_what_is_not_run_here_says_what_runs_it_or_why_nothing_does():
    markers = [marker for page in EVERY_PAGE for marker, _ in fenced(page) if marker]
    assert markers
    for marker in markers:
        match = MARKER.fullmatch(marker)
        assert match, marker
        assert match["session"] in {"models", "huggingface", None}, marker


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_continued_by_other_processes(page, fresh):
    for program in processes(page):
        fresh(program)


def test_the_readme_runs_twice(fresh):
    program = "\n".join(blocks(README))
    fresh(program)
    fresh(program)


def test_the_readme_runs_twice_in_a_notebook(fresh):
    program = f"{NOTEBOOK}asyncio.run(run({json.dumps(blocks(README))}))\n"
    fresh(program)
    fresh(program)
