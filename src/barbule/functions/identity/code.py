"""The code of functions and classes: its source, and the names that it changes.

Owns how source is read. Comments, docstrings, decorators and line numbers do not count.
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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from barbule.functions.identity.bytecode import MUTATORS, bytecode_changes

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
    "parse",
    "parts",
    "qualified_name",
    "read_again",
    "reading",
    "text_of",
    "underlying",
]

# Modules of barbule whose classes and functions users' functions may read, and the names that they
# had when versions first named them: a function that reads `bb.ResultSet` keeps its version, and so
# its paid answers.
_FORMER_MODULES = {
    "barbule.executor.budgets.budget": "barbule.executor.budget",
    "barbule.executor.ledger.recording": "barbule.executor.tape",
    "barbule.executor.results.result_set": "barbule.executor.results",
    "barbule.functions.function": "barbule.functions.registry",
    "barbule.functions.iterators": "barbule.functions.udf",
    "barbule.functions.language_models.tool_calls": "barbule.functions.invoking",
    "barbule.functions.language_models.tools": "barbule.functions.tools",
    "barbule.functions.queries": "barbule.functions.udf",
    "barbule.session.default": "barbule.session",
    "barbule.session.session": "barbule.session",
    "barbule.tables.transaction.results": "barbule.tables.change",
    "barbule.types.data_types": "barbule.types.kinds",
}

MAIN = {"__main__", "__mp_main__"}  # the latter in a process that runs a script again
_DECLARATIONS = (ast.Global, ast.Nonlocal)


def underlying(function: object) -> Any:
    """Return the function or class whose code runs when an object is called."""
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


# Callables with one argument, although their signature does not show it.
_GETTERS = (operator.attrgetter, operator.itemgetter, operator.methodcaller)


def called_for(function: Any) -> Callable[..., Any]:
    """Return the function that runs when a callable is called: for an object, its method."""
    if isinstance(function, _GETTERS):
        return lambda value, /: function(value)
    is_function = inspect.isroutine(function) or isinstance(function, functools.partial)
    return function if is_function or hasattr(function, "__wrapped__") else function.__call__


def qualified_name(function: object) -> str:
    """Return module and name of a function or class, or of the class of another callable."""
    code = underlying(function)
    if inspect.isroutine(code) and not inspect.isfunction(code):  # built in
        owner = getattr(code, "__objclass__", None) or getattr(code, "__self__", None)
        owner = owner if inspect.isclass(owner) else type(owner)
        has_class = isinstance(owner, type) and owner is not types.ModuleType
        module = owner.__module__ if has_class else code.__module__
        return f"{module or 'builtins'}.{code.__qualname__}"
    return f"{module_of(code)}.{code.__qualname__}"


def text_of(function: object) -> str:
    """Return the source of the code that runs when an object is called."""
    if not has_text(function):
        return qualified_name(function)
    return "\n".join(reading(part).text for part in parts(underlying(function)))


def has_text(function: object) -> bool:
    """Whether the code that runs has source that counts: it is not part of Python or a library."""
    code = underlying(function)
    if inspect.isclass(code):
        return code is function or is_users(code.__module__)
    return inspect.isfunction(code)


def module_of(function: Any) -> str:
    """Return the module from which other processes import a function or class.

    Definitions of a script are named as if the script were imported; modules of barbule have the
    names in stored versions.
    """
    module = str(function.__module__)
    if module not in MAIN:
        return module_in_versions(module)
    # Not if other code claims to be the main module, as tests of documents do.
    main = sys.modules.get(module)
    code = next(iter(methods(function)), None) if inspect.isclass(function) else function
    if main is None or (code is not None and code.__globals__ is not vars(main)):
        return module
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if spec is not None:
        return str(spec.name)
    return Path(file).stem if file else "__main__"


def module_in_versions(module: str) -> str:
    """Return the name of a module in versions of functions.

    Examples
    --------
    >>> module_in_versions("barbule.executor.results.result_set"), module_in_versions("films")
    ('barbule.executor.results', 'films')
    """
    return _FORMER_MODULES.get(module, module)


@dataclass(frozen=True)
class Reading:
    """The relevant source of a function, and the names that it changes.

    Attributes
    ----------
    is_bytecode
        Whether there is no source: the bytecode was read.
    """

    text: str
    changed: frozenset[str]
    is_bytecode: bool = False


_READINGS: weakref.WeakKeyDictionary[Any, Reading] = weakref.WeakKeyDictionary()


def reading(function: types.FunctionType | type) -> Reading:
    """Read the source of a function or class once."""
    if function not in _READINGS:
        _READINGS[function] = _read(function)
    return _READINGS[function]


def _read(function: types.FunctionType | type) -> Reading:
    tree = parse(function)
    if tree is None:
        code = getattr(function, "__code__", None)
        if code is None:
            return Reading(function.__qualname__, frozenset())
        changed = frozenset(change.name for change in bytecode_changes(code))
        return Reading(_bytecode(code), changed, is_bytecode=True)
    return Reading(ast.unparse(_strip(tree)), frozenset(changes(tree)))


def read_again(function: types.FunctionType | type) -> str:
    """Return the source that a function would have if it were defined now."""
    return _read(function).text


def parts(function: types.FunctionType | type) -> list[types.FunctionType | type]:
    """List a function, or a class and its methods."""
    if not inspect.isclass(function):
        return [function]
    # A class without source is read through its methods.
    return [function, *methods(function)] if parse(function) is None else [function]


def methods(cls: type) -> list[types.FunctionType]:
    """List the functions that the body of a class defines."""
    values = (getattr(value, "__func__", value) for value in vars(cls).values())
    return [value for value in values if inspect.isfunction(value)]


def parse(function: types.FunctionType | type) -> ast.AST | None:
    """Parse the source of a function; None if there is none: at a prompt, from exec."""
    code = getattr(function, "__code__", None)
    try:
        if code is not None and code.co_name == "<lambda>":
            return _lambda(code)
        text = textwrap.dedent(inspect.getsource(function if code is None else code))
        body = _parse_text(text).body
    except (OSError, TypeError, SyntaxError, IndentationError):
        return None
    return body[0] if len(body) == 1 else None


def _parse_text(text: str) -> ast.Module:
    """Parse; retry once if Python's own state caused a failure.

    This is a bug in Python 3.11 (https://github.com/python/cpython/issues/106905).
    """
    try:
        return ast.parse(text)
    except SystemError:
        return ast.parse(text)


def _lambda(code: types.CodeType) -> ast.AST | None:
    """Find a lambda by its position: its line may hold several, one within the other."""
    lines, _ = inspect.findsource(code)
    starts = [
        (line, column) for line, _, column, _ in code.co_positions() if line and column is not None
    ]
    inside = [start for start in starts if start != (code.co_firstlineno, 0)] or starts
    innermost = None
    for node in ast.walk(_parse_text("".join(lines))):  # from the outermost to the innermost
        if isinstance(node, ast.Lambda) and node.lineno == code.co_firstlineno and inside:
            body = node.body
            first = (body.lineno, body.col_offset)
            last = (body.end_lineno or body.lineno, body.end_col_offset or 0)
            if all(first <= start < last for start in inside):
                innermost = node
    return innermost


def _strip(tree: ast.AST) -> ast.AST:
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
    """Yield the names that a function changes, which are its state and not constants."""
    for node in ast.walk(tree):
        if isinstance(node, _DECLARATIONS):
            yield from node.names
    for target in changed_targets(tree):
        base = target
        while isinstance(base, ast.Subscript | ast.Attribute):
            base = base.value
        if isinstance(base, ast.Name):
            yield base.id


def changed_targets(tree: ast.AST) -> Iterator[ast.expr]:
    """Yield targets that are assigned, filled or emptied: names in place, attributes and items."""
    for node in ast.walk(tree):
        if isinstance(node, ast.AugAssign):
            yield node.target
        elif isinstance(node, ast.Subscript | ast.Attribute):
            if not isinstance(node.ctx, ast.Load):
                yield node
            elif getattr(node, "attr", "") in MUTATORS:
                yield node.value


def changed_in(function: types.FunctionType) -> frozenset[str]:
    """Return the names that functions of the same file change."""
    file = function.__code__.co_filename
    if reading(function).is_bytecode:
        return frozenset(
            change.name
            for other in _functions_of_module(function)
            if other.__code__.co_filename == file
            for change in bytecode_changes(other.__code__)
        )
    return _changed_in_text("".join(linecache.getlines(file)))


def _functions_of_module(function: types.FunctionType) -> Iterator[types.FunctionType]:
    """Yield a function and those of its module, including those in classes and under decorators."""
    yield function
    for value in list(function.__globals__.values()):
        undecorated = getattr(getattr(value, "source", None), "function", value)
        if inspect.isclass(undecorated):
            yield from methods(undecorated)
        elif inspect.isfunction(undecorated):
            yield undecorated


@functools.lru_cache(maxsize=64)
def _changed_in_text(text: str) -> frozenset[str]:
    try:
        tree = ast.parse(text)
    except SyntaxError:  # IPython's magic
        return frozenset()
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    definitions = (node for node in ast.walk(tree) if isinstance(node, functions))
    return frozenset(name for node in definitions for name in changes(node))


def _bytecode(code: types.CodeType) -> str:
    constants = [
        _bytecode(constant) if isinstance(constant, types.CodeType) else repr(constant)
        for constant in code.co_consts
    ]
    return repr((code.co_code.hex(), constants, code.co_names))


def is_users_code(function: types.FunctionType) -> bool:
    """Whether a function is written in the user's own code, regardless of wrappers and names."""
    return _is_users_file(function.__code__.co_filename)


@functools.lru_cache(maxsize=4096)
def _is_users_file(file: str) -> bool:
    path = Path(file)
    if {"site-packages", "dist-packages"} & set(path.parts):
        return False
    return not path.is_relative_to(sysconfig.get_paths()["stdlib"])


@functools.lru_cache(maxsize=4096)
def is_users(module: str | None) -> bool:
    """Whether a module is the user's own, not a library's or Python's."""
    if module is None:  # from exec, outside of any
        return True
    top = module.partition(".")[0]
    if top == "barbule" or top in sys.stdlib_module_names:
        return False
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return top not in sys.builtin_module_names
    return _is_users_file(file)
