"""README and docs blocks run in new processes, and again."""

from __future__ import annotations

import json
import re

import pytest

from pages import EVERY_PAGE, MARKER, PAGES, README, blocks, fenced, processes

# Like IPython: cells have no file, an event loop runs, the last expression is displayed.
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


def test_pages_are_split_into_several_processes():
    assert sum(map(len, map(processes, PAGES))) > 2 * len(PAGES)


def test_python_blocks_are_all_found():
    for page in EVERY_PAGE:
        opened = re.findall(r"^\W*(?:```|~~~)\W*(?:i?py|python).*", page.read_text(), re.MULTILINE)
        assert len(opened) == len(fenced(page)), f"{page.name}: {opened}"


def test_skipped_blocks_have_a_valid_marker():
    markers = [marker for page in EVERY_PAGE for marker, _ in fenced(page) if marker]
    assert markers
    for marker in markers:
        match = MARKER.fullmatch(marker)
        assert match, marker
        assert match["session"] in {"models", "huggingface", None}, marker


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_continues_in_new_processes(page, run_fresh):
    for program in processes(page):
        run_fresh(program)


def test_readme_runs_twice(run_fresh):
    program = "\n".join(blocks(README))
    run_fresh(program)
    run_fresh(program)


def test_readme_runs_twice_in_a_notebook(run_fresh):
    program = f"{NOTEBOOK}asyncio.run(run({json.dumps(blocks(README))}))\n"
    run_fresh(program)
    run_fresh(program)
