"""Contributor pages match the package: folders, files and libraries."""

from __future__ import annotations

import ast
import functools
import re
import tomllib
from importlib.metadata import packages_distributions

import pytest

from pages import ROOT

PACKAGE = ROOT / "src" / "barbule"
DESIGN = ROOT / "docs" / "design.md"
BUILDERS = [DESIGN, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs" / "adr").glob("*.md"))]
IGNORED = {"__pycache__"}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
MAX_METHODS = 25  # of a class itself, without those that it inherits


def folders():
    """Return the folders of the package that hold modules, relative to it."""
    return {
        str(path.parent.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if not IGNORED & {*path.parts}
    } - {"."}


def drawn_tree():
    """Return the folders and files of the drawn tree, from their indentation."""
    tree = DESIGN.read_text().split("## Source tree")[1].split("```\n")[1]
    drawn, files, above = set(), [], {-1: [""]}
    for line in tree.splitlines():
        depth = len(line) - len(line.lstrip())
        above = {indent: paths for indent, paths in above.items() if indent < depth}
        parents = above[max(above)]
        names = re.match(r"\s*((?:\w+/ ?)+)", line)
        if names:  # folders on one line have the same subfolders
            above[depth] = [f"{parent}{name}" for parent in parents for name in names[1].split()]
            drawn |= {path.removesuffix("/") for path in above[depth]}
        files += re.findall(r"\w+\.py\b", line)
    return drawn, files


def test_design_page_draws_every_folder():
    drawn, _ = drawn_tree()
    assert drawn == folders()


def test_files_of_the_drawn_tree_exist():
    _, files = drawn_tree()
    there = {path.name for path in PACKAGE.rglob("*.py")}
    assert len(files) > 40
    assert [name for name in files if name not in there] == []


@pytest.mark.parametrize("page", BUILDERS, ids=lambda page: page.stem)
def test_files_named_on_a_page_exist(page):
    text = page.read_text()
    names = re.findall(r"`((?:[\w.]+/)*\w+\.(?:py|txt|toml))`", text)
    names += re.findall(r"`((?:[\w.]+/)+)`", text)
    assert [name for name in names if not path_exists(name)] == []


@functools.cache
def endings():
    """Return all suffixes of the paths of modules and folders, down to their names."""
    roots = (PACKAGE.parent, ROOT / "tests", ROOT / "benchmarks", ROOT / "requirements")
    paths = [path.relative_to(ROOT).as_posix() for root in roots for path in root.rglob("*.*")]
    folders = {f"{path.rpartition('/')[0]}/" for path in paths}
    return {
        each.split("/", depth)[-1]
        for each in {*paths, *folders}
        for depth in range(each.count("/") + 1)
    }


def path_exists(name):
    return name in endings() or (ROOT / name).exists()


@functools.cache
def imported():
    """Return the top-level names that the package imports, in modules or functions."""
    names = set()
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
        names |= set(re.findall(r"import_module\(\"(\w+)", text))
    return names


@functools.cache
def installed():
    """Return the import names of each installed distribution."""
    names = {}
    for name, distributions in packages_distributions().items():
        for distribution in distributions:
            names.setdefault(distribution.lower(), set()).add(name)
    return names


def import_names(distribution):
    """Return the import names of a distribution; its own name if it is not installed."""
    return installed().get(distribution.lower(), {distribution.replace("-", "_")})


def test_libraries_of_the_design_page_are_imported():
    table = DESIGN.read_text().split("## Dependencies")[1]
    cells = [line.split("|")[2] for line in table.splitlines() if line.startswith("| ")][1:]
    libraries = [name for cell in cells for name in re.findall(r"`([a-z][a-z0-9-]+)`", cell)]
    assert len(libraries) > 20
    assert [name for name in libraries if not import_names(name) & imported()] == []


def test_every_dependency_is_imported():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [re.match(r"[\w-]+", requirement)[0] for requirement in project["dependencies"]]
    assert [name for name in names if not import_names(name) & imported()] == []


def test_modules_of_the_pictures_exist():
    pictures = re.findall(r"```mermaid\n(.*?)```", DESIGN.read_text(), re.DOTALL)
    assert len(pictures) == 2
    for picture in pictures:
        labels = re.findall(r'[\[{]+"([^"]+)"', picture)
        assert len(labels) <= 10
        for label in labels:
            name = re.split(r"[:\s]", label)[0]
            if name[0].isupper():  # a method of a class
                continue
            path = PACKAGE / name.replace(".", "/")
            assert path.is_dir() or path.with_suffix(".py").exists(), name


def method_counts():
    """Return the name of each class of the package, with its number of methods and properties."""
    return [
        (node.name, len({each.name for each in node.body if isinstance(each, FUNCTIONS)}))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    ]


def test_classes_have_few_methods():
    counts = method_counts()
    assert len(counts) > 300
    large = {name: count for name, count in counts if count > MAX_METHODS}
    assert not large
