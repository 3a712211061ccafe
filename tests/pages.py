"""Python code of README and docs, and how it continues in another process."""

from __future__ import annotations

import ast
import builtins
import re
import symtable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
EVERY_PAGE = [README, *sorted((ROOT / "docs").rglob("*.md"))]
MAKES_TABLES = {"branch", "create_table", "create_view", "get_table"}

# A comment above a block names the nox session that runs it, or the reason for none.
MARKER = re.compile(r"<!-- (?:run by nox -s (?P<session>\w+)|not run): \w.* -->")


def fenced(page: Path) -> list[tuple[str, str]]:
    """Return the Python blocks of a page, each with the comment above it, if any."""
    text = page.read_text()
    found = []
    for match in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        before = text[: match.start()].rstrip().rsplit("\n", 1)[-1]
        found.append((before if before.startswith("<!--") else "", match[1]))
    return found


def blocks(page: Path, session: str | None = None) -> list[str]:
    """Return the blocks of a page that the tests run, or those that a nox session runs."""
    if session is None:
        return [block for marker, block in fenced(page) if not marker]
    return [
        block
        for marker, block in fenced(page)
        if (match := MARKER.fullmatch(marker)) and match["session"] == session
    ]


PAGES = [page for page in EVERY_PAGE if blocks(page)]


@dataclass
class Known:
    """Code and table names that later blocks can use without the values of earlier ones."""

    imports: dict[str, str] = field(default_factory=dict)
    definitions: dict[str, str] = field(default_factory=dict)
    tables: dict[str, str] = field(default_factory=dict)

    def learn(self, block: str) -> None:
        """Record the imports, definitions and table variables of a block."""
        for node in ast.parse(block).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                for alias in node.names:
                    name = alias.asname or alias.name.partition(".")[0]
                    self.imports[name] = ast.unparse(node)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                self.definitions[node.name] = ast.unparse(node)
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name, table = node.targets[0].id, _table_of(node.value)
                self.tables.pop(name, None)
                if table is not None:
                    self.tables[name] = table
            elif (dropped := _dropped_by(node)) is not None:
                self.tables = {n: each for n, each in self.tables.items() if each != dropped}

    def knows(self, block: str) -> bool:
        """Return whether a process can start with a block, after `beginning`."""
        return free_names(block) <= {"bb", *self.imports, *self.definitions, *self.tables}

    def beginning(self) -> str:
        """Return the code at the start of a process: imports, tables and definitions."""
        opened = (f"{name} = bb.get_table({table!r})" for name, table in self.tables.items())
        imports = dict.fromkeys(self.imports.values())
        return "\n".join(
            ["import barbule as bb", *imports, *opened, *self.definitions.values(), ""]
        )


def _table_of(value: ast.expr) -> str | None:
    """Return the name of the table that an expression creates or opens."""
    if not isinstance(value, ast.Call) or not isinstance(value.func, ast.Attribute):
        return None
    first = value.args[0] if value.args else None
    named = isinstance(first, ast.Constant) and isinstance(first.value, str)
    return first.value if named and value.func.attr in MAKES_TABLES else None


def _dropped_by(node: ast.stmt) -> str | None:
    """Return the name of the table that a statement drops."""
    match node:
        case ast.Expr(ast.Call(ast.Attribute(attr="drop_table"), [ast.Constant(str() as name)])):
            return name
    return None


def names_of(block: str) -> set[str]:
    """Return the names that a block defines."""
    symbols = symtable.symtable(block, "block", "exec").get_symbols()
    return {each.get_name() for each in symbols if each.is_assigned() or each.is_imported()}


def free_names(block: str) -> set[str]:
    """Return the names that a block uses but does not define."""
    top = symtable.symtable(block, "block", "exec")
    used: set[str] = set()
    scopes = [top]
    while scopes:
        scope = scopes.pop()
        scopes += scope.get_children()
        used |= {
            each.get_name()
            for each in scope.get_symbols()
            if each.is_referenced() and (scope is top or each.is_global())
        }
    return {name for name in used - names_of(block) if not hasattr(builtins, name)}


def processes(page: Path) -> list[str]:
    """Return programs that run a page in sequence, with a new process wherever possible."""
    known = Known()
    programs: list[str] = []
    made_by: dict[str, int] = {}  # the program that creates a value that is no table
    for block in blocks(page):
        if not programs or known.knows(block):
            programs.append(known.beginning() + block)
        else:
            first = min(made_by[name] for name in free_names(block) & set(made_by))
            first = min(first, len(programs) - 1)
            programs[first:] = ["\n".join([*programs[first:], block])]
        known.learn(block)
        made_by |= dict.fromkeys(names_of(block), len(programs) - 1)
    return programs
