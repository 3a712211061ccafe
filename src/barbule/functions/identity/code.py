"""The code of functions and classes: its text, what it changes, and what it is called with.

Owns how source is read. Comments, docstrings, decorators and the places of lines do not count.
"""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
import operator
import sys
import sysconfig
import textwrap
import types
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from barbule.functions.identity.bytecode import CHANGING, bytecode_changes

__all__ = [
    "called_for",
    "changed_in",
    "changed_targets",
    "has_text",
    "is_users",
    "is_users_code",
    "methods",
    "module_in_versions",
    "module_of",
    "parts",
    "qualified_name",
    "reading",
    "text_now",
    "text_of",
    "tree_of",
    "underlying",
]

# Modules of barbule whose classes and functions users' functions may read, and the names that they
# had when versions named them first: a function that reads `bb.ResultSet` keeps its version, and
# with it the answers that it has paid for.
_FORMER_MODULES = {
    "barbule.executor.budgets.budget": "barbule.executor.budget",
    "barbule.executor.ledger.recording": "barbule.executor.tape",
    "barbule.executor.results.result_set": "barbule.executor.results",
    "barbule.functions.language_models.tool_calls": "barbule.functions.invoking",
    "barbule.functions.language_models.tools": "barbule.functions.tools",
    "barbule.tables.transaction.transaction": "barbule.tables.change",
}

MAIN = {"__main__", "__mp_main__"}  # the latter in a process that runs a script again
_DECLARED = (ast.Global, ast.Nonlocal)


def underlying(function: Any) -> Any:
    """Return the function or class whose code runs when something is called."""
    if isinstance(function, functools.partial):
        return underlying(function.func)
    if inspect.ismethod(function):
        return function.__func__
    if inspect.isfunction(function) or inspect.isclass(function):
        return function
    wrapped = getattr(function, "__wrapped__", None)
    if callable(wrapped):
        return underlying(wrapped)
    return function if inspect.isroutine(function) else type(function)


# What takes one value, though Python does not tell so.
_GETTERS = (operator.attrgetter, operator.itemgetter, operator.methodcaller)


def called_for(function: Any) -> Any:
    """Return what is called for something that can be: of an object, its method."""
    if isinstance(function, _GETTERS):
        return lambda value, /: function(value)
    plain = inspect.isroutine(function) or isinstance(function, functools.partial)
    return function if plain or hasattr(function, "__wrapped__") else function.__call__


def qualified_name(function: Any) -> str:
    """Return module and name of a function or class, or of what is called in its place."""
    code = underlying(function)
    if inspect.isroutine(code) and not inspect.isfunction(code):  # Python's own
        owner = getattr(code, "__objclass__", None) or getattr(code, "__self__", None)
        owner = owner if inspect.isclass(owner) else type(owner)
        own = isinstance(owner, type) and owner is not types.ModuleType
        module = code.__module__ if not own else owner.__module__
        return f"{module or 'builtins'}.{code.__qualname__}"
    return f"{module_of(code)}.{code.__qualname__}"


def text_of(function: Any) -> str:
    """Return the text of what runs when something is called."""
    if not has_text(function):
        return qualified_name(function)
    return "\n".join(reading(part).text for part in parts(underlying(function)))


def has_text(function: Any) -> bool:
    """Whether what runs is known by more than its name: it is no part of Python or a library."""
    code = underlying(function)
    if inspect.isclass(code):
        return code is function or is_users(code.__module__)
    return inspect.isfunction(code)


def module_of(function: Any) -> str:
    """Return the module by which others find a function or class.

    What a script defines is called as where the script is imported; modules of barbule have the
    names that stored versions know.
    """
    module = str(function.__module__)
    if module not in MAIN:
        return module_in_versions(module)
    # Not where other code says that it is the main module, as tests of documents do.
    main = sys.modules.get(module)
    code = next(iter(methods(function)), None) if inspect.isclass(function) else function
    if main is None or (code is not None and code.__globals__ is not vars(main)):
        return module
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if spec is not None:
        return str(spec.name)
    return Path(file).stem if file else "__main__"


def module_in_versions(module: str) -> str:
    """Return the name by which versions of functions know a module.

    Examples
    --------
    >>> module_in_versions("barbule.executor.results.result_set"), module_in_versions("films")
    ('barbule.executor.results', 'films')
    """
    return _FORMER_MODULES.get(module, module)


@dataclass(frozen=True)
class Reading:
    """The text of a function without what does not count, and the names that it changes.

    Attributes
    ----------
    of_bytecode
        Whether there is no text to read.
    """

    text: str
    changed: frozenset[str]
    of_bytecode: bool = False


_READINGS: weakref.WeakKeyDictionary[Any, Reading] = weakref.WeakKeyDictionary()


def reading(function: Any) -> Reading:
    """Read the text of a function or class, once."""
    if function not in _READINGS:
        _READINGS[function] = _read(function)
    return _READINGS[function]


def _read(function: Any) -> Reading:
    tree = tree_of(function)
    if tree is None:
        code = getattr(function, "__code__", None)
        if code is None:
            return Reading(function.__qualname__, frozenset())
        changed = frozenset(each.name for each in bytecode_changes(code))
        return Reading(_bytecode(code), changed, of_bytecode=True)
    return Reading(ast.unparse(_bare(tree)), frozenset(changes(tree)))


def text_now(function: Any) -> str:
    """Return what the text of a function would be if it were defined now."""
    return _read(function).text


def parts(function: Any) -> list[Any]:
    """List a function, or a class and its methods."""
    if not inspect.isclass(function):
        return [function]
    # A class whose text is not to be had is what its methods are.
    return [function, *methods(function)] if tree_of(function) is None else [function]


def methods(kind: type) -> list[Any]:
    """List the functions that the body of a class defines."""
    plain = (getattr(each, "__func__", each) for each in vars(kind).values())
    return [each for each in plain if inspect.isfunction(each)]


def tree_of(function: Any) -> ast.AST | None:
    """Parse the text of a function; None where it is not to be had: at a prompt, from exec."""
    code = getattr(function, "__code__", None)
    try:
        if code is not None and code.co_name == "<lambda>":
            return _lambda(code)
        text = textwrap.dedent(inspect.getsource(function if code is None else code))
        body = _parsed(text).body
    except (OSError, TypeError, SyntaxError, IndentationError):
        return None
    return body[0] if len(body) == 1 else None


def _parsed(text: str) -> ast.Module:
    """Parse; once more where Python lost count, as what it collected meanwhile has parsed too.

    It is a fault of Python 3.11 (https://github.com/python/cpython/issues/106905).
    """
    try:
        return ast.parse(text)
    except SystemError:
        return ast.parse(text)


def _lambda(code: types.CodeType) -> ast.AST | None:
    """Find a lambda by its place: its line may hold several, one within the other."""
    lines, _ = inspect.findsource(code)
    starts = [(line, at) for line, _, at, _ in code.co_positions() if line and at is not None]
    inside = [place for place in starts if place != (code.co_firstlineno, 0)] or starts
    found = None
    for node in ast.walk(_parsed("".join(lines))):  # from the outermost to the innermost
        if isinstance(node, ast.Lambda) and node.lineno == code.co_firstlineno and inside:
            body = node.body
            first = (body.lineno, body.col_offset)
            last = (body.end_lineno or body.lineno, body.end_col_offset or 0)
            if all(first <= place < last for place in inside):
                found = node
    return found


def _bare(tree: ast.AST) -> ast.AST:
    """Drop decorators and docstrings."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if node is tree:
            node.decorator_list = []
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def changes(tree: ast.AST) -> Iterator[str]:
    """Yield the names of what a function changes, which are its state and no constants."""
    for node in ast.walk(tree):
        if isinstance(node, _DECLARED):
            yield from node.names
    for target in changed_targets(tree):
        base = target
        while isinstance(base, ast.Subscript | ast.Attribute):
            base = base.value
        if isinstance(base, ast.Name):
            yield base.id


def changed_targets(tree: ast.AST) -> Iterator[ast.expr]:
    """Yield what is assigned to, filled or emptied: names in place, attributes and items."""
    for node in ast.walk(tree):
        if isinstance(node, ast.AugAssign):
            yield node.target
        elif isinstance(node, ast.Subscript | ast.Attribute):
            if not isinstance(node.ctx, ast.Load):
                yield node
            elif getattr(node, "attr", "") in CHANGING:
                yield node.value


def changed_in(function: Any) -> frozenset[str]:
    """Return the names that functions of the same file change."""
    file = function.__code__.co_filename
    if reading(function).of_bytecode:
        return frozenset(
            change.name
            for each in _beside(function)
            if each.__code__.co_filename == file
            for change in bytecode_changes(each.__code__)
        )
    return _changed_in_text("".join(linecache.getlines(file)))


def _beside(function: Any) -> Iterator[Any]:
    """Yield a function and those of its module, in classes and under decorators as well."""
    yield function
    for value in list(function.__globals__.values()):
        made = getattr(getattr(value, "source", None), "function", value)
        if inspect.isclass(made):
            yield from methods(made)
        elif inspect.isfunction(made):
            yield made


@functools.lru_cache(maxsize=64)
def _changed_in_text(text: str) -> frozenset[str]:
    try:
        tree = ast.parse(text)
    except SyntaxError:  # IPython's magic
        return frozenset()
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    inside = (node for node in ast.walk(tree) if isinstance(node, functions))
    return frozenset(name for node in inside for name in changes(node))


def _bytecode(code: types.CodeType) -> str:
    constants = [
        _bytecode(each) if isinstance(each, types.CodeType) else repr(each)
        for each in code.co_consts
    ]
    return repr((code.co_code.hex(), constants, code.co_names))


def is_users_code(function: Any) -> bool:
    """Whether a function is written in the user's own code, whatever wraps and names it."""
    return _is_users_file(function.__code__.co_filename)


@functools.lru_cache(maxsize=4096)
def _is_users_file(file: str) -> bool:
    path = Path(file)
    if {"site-packages", "dist-packages"} & set(path.parts):
        return False
    return not path.is_relative_to(sysconfig.get_paths()["stdlib"])


@functools.lru_cache(maxsize=4096)
def is_users(module: str | None) -> bool:
    """Whether a module is the user's own, and neither a library nor Python's."""
    if module is None:  # made by exec, outside of any
        return True
    top = module.partition(".")[0]
    if top == "barbule" or top in sys.stdlib_module_names:
        return False
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return top not in sys.builtin_module_names
    return _is_users_file(file)
