"""What the results of a function depend on in code: a hash that changes when it does.

Owns how the source of a function is read, and what else of its program counts: helper functions
and classes of users, constants, what it closes over. Comments, docstrings, decorators and the
places of lines do not count; nor do libraries, objects, and what the function itself changes.
"""

from __future__ import annotations

import ast
import dis
import enum
import functools
import hashlib
import inspect
import linecache
import re
import sys
import sysconfig
import textwrap
import types
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Source", "name_of"]

_PLAIN = (str, bytes, int, float, complex, bool, type(None))
_LOADS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
_ATTRIBUTES = {"LOAD_ATTR", "LOAD_METHOD"}
_MAIN = {"__main__", "__mp_main__"}  # the latter in a process that runs a script again
_DECLARED = (ast.Global, ast.Nonlocal)
_CHANGING = {
    *("add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove"),
    *("reverse", "setdefault", "sort", "update", "appendleft", "popleft"),
}


class Source:
    """The code of a function, as it is while this process runs.

    Its text is read at once, so that a file that is edited later does not matter; what it reads
    of its module is looked at when a digest is asked for, as helpers may be defined after it.

    Parameters
    ----------
    function
        A function or a class.

    Examples
    --------
    >>> LIMIT = 3
    >>> def short(text):
    ...     return text[:LIMIT]
    >>> short.__globals__["LIMIT"] = 3
    >>> source = Source(short)
    >>> before = source.digest()
    >>> before == source.digest()
    True
    >>> short.__globals__["LIMIT"] = 4
    >>> before == source.digest()
    False
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.text = "\n".join(_reading(part).text for part in _parts(function))

    def digest(self) -> str:
        """Return a short hash of the function and of what it reads."""
        found: dict[int, str] = {}
        _describe(self._function, found)
        text = "\n".join(found.values())
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def name_of(function: Any, source: Source) -> str:
    """Return the name by which other processes find a function, where it has none of its own.

    What a script defines is called as where the script is imported; a lambda, by its text.
    """
    name = function.__qualname__
    if name.endswith("<lambda>"):
        text = hashlib.sha256(source.text.encode()).hexdigest()[:8]
        name = f"{name.removesuffix('<lambda>')}<lambda {text}>"
    return f"{_module_of(function)}.{name}"


def _module_of(function: Any) -> str:
    module = str(function.__module__)
    if module not in _MAIN:
        return module
    # Not where other code says that it is the main module, as tests of documents do.
    main = sys.modules.get(module)
    code = _methods(function)[0] if inspect.isclass(function) else function
    if main is None or code.__globals__ is not vars(main):
        return module
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if spec is not None:
        return str(spec.name)
    return Path(file).stem if file else "__main__"


@dataclass(frozen=True)
class _Reading:
    """The text of a function without what does not count, and the names that it changes."""

    text: str
    changed: frozenset[str]


_READINGS: weakref.WeakKeyDictionary[Any, _Reading] = weakref.WeakKeyDictionary()


def _reading(function: Any) -> _Reading:
    if function not in _READINGS:
        tree = _tree(function)
        if tree is None:
            code = getattr(function, "__code__", None)
            read = _Reading(function.__qualname__ if code is None else _bytecode(code), frozenset())
        else:
            read = _Reading(ast.unparse(_bare(tree)), frozenset(_changed(tree)))
        _READINGS[function] = read
    return _READINGS[function]


def _parts(function: Any) -> list[Any]:
    """List a function, or a class and its methods."""
    if not inspect.isclass(function):
        return [function]
    # A class whose text is not to be had is what its methods are.
    return [function, *_methods(function)] if _tree(function) is None else [function]


def _methods(kind: type) -> list[Any]:
    plain = (getattr(each, "__func__", each) for each in vars(kind).values())
    return [each for each in plain if inspect.isfunction(each)]


def _tree(function: Any) -> ast.AST | None:
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
    """Find a lambda by its place: its line may hold several."""
    lines, _ = inspect.findsource(code)
    starts = [(line, at) for line, _, at, _ in code.co_positions() if line and at is not None]
    inside = [place for place in starts if place != (code.co_firstlineno, 0)] or starts
    for node in ast.walk(_parsed("".join(lines))):
        if isinstance(node, ast.Lambda) and node.lineno == code.co_firstlineno and inside:
            body = node.body
            first = (body.lineno, body.col_offset)
            last = (body.end_lineno or body.lineno, body.end_col_offset or 0)
            if all(first <= place < last for place in inside):
                return node
    return None


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


def _changed(tree: ast.AST) -> Iterator[str]:
    """Yield the names of what a function changes, which are its state and no constants."""
    for node in ast.walk(tree):
        if isinstance(node, _DECLARED):
            yield from node.names
        target: Any = None
        if isinstance(node, ast.AugAssign):
            target = node.target
        elif isinstance(node, ast.Subscript | ast.Attribute) and (
            not isinstance(node.ctx, ast.Load) or getattr(node, "attr", "") in _CHANGING
        ):
            target = node.value
        while isinstance(target, ast.Subscript | ast.Attribute):
            target = target.value
        if isinstance(target, ast.Name):
            yield target.id


def _changed_in(code: types.CodeType) -> frozenset[str]:
    """Return the names that functions of the same file change."""
    return _changed_in_text("".join(linecache.getlines(code.co_filename)))


@functools.lru_cache(maxsize=64)
def _changed_in_text(text: str) -> frozenset[str]:
    try:
        tree = ast.parse(text)
    except SyntaxError:  # IPython's magic
        return frozenset()
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    inside = (node for node in ast.walk(tree) if isinstance(node, functions))
    return frozenset(name for node in inside for name in _changed(node))


def _bytecode(code: types.CodeType) -> str:
    constants = [
        _bytecode(each) if isinstance(each, types.CodeType) else repr(each)
        for each in code.co_consts
    ]
    return repr((code.co_code.hex(), constants, code.co_names))


def _describe(value: Any, found: dict[int, str]) -> str | None:
    """Say what a value is as far as results depend on it; None where that cannot be said.

    Parameters
    ----------
    found
        The functions and classes that were met, by identity, with their text and what they read.
    """
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, enum.Enum):
        return str(value)
    if isinstance(value, re.Pattern):
        return repr((value.pattern, value.flags))
    if isinstance(value, functools.partial):
        return _describe([value.func, value.args, value.keywords], found)
    if isinstance(value, list | tuple | set | frozenset | dict):
        return _describe_items(value, found)
    if type(value).__module__.startswith("barbule.functions"):  # a function of ours, or a udf
        source = getattr(value, "source", None)
        if source is not None:
            return _describe(source._function, found)
        return str(getattr(value, "version", None))
    if inspect.isfunction(value) or inspect.isclass(value):
        return _describe_code(value, found)
    return None


def _describe_items(value: Any, found: dict[int, str]) -> str | None:
    items = value.items() if isinstance(value, dict) else value
    told = [_describe(each, found) for each in items]
    if any(each is None for each in told):
        return None
    texts = [str(each) for each in told]
    if isinstance(value, set | frozenset):
        texts.sort()
    return f"{type(value).__name__}({', '.join(texts)})"


def _describe_code(value: Any, found: dict[int, str]) -> str:
    name = str(value.__qualname__)
    if found and not _is_users(value.__module__):
        return f"{value.__module__}.{name}"
    if id(value) in found:
        return name
    found[id(value)] = name  # so that what calls itself comes to an end
    lines = [each.text for each in map(_reading, _parts(value))]
    if inspect.isclass(value):
        lines += [str(_describe(base, found)) for base in value.__bases__ if base is not object]
    for part in _methods(value) if inspect.isclass(value) else [value]:
        changed = _reading(part).changed
        for read, item in _read(part):
            name_read = read.partition(".")[0]
            if name_read in changed and not inspect.isroutine(item):
                continue
            # What any function of the module fills or empties is its state, too.
            if isinstance(item, list | set | dict) and name_read in _changed_in(part.__code__):
                continue
            told = _describe(item, found)
            if told is not None:
                lines.append(f"{read} = {told}")
    found[id(value)] = "\n".join(lines)
    return name


def _read(function: Any) -> list[tuple[str, Any]]:
    """List what a function reads of its module and of the functions around it, by name."""
    names: dict[str, Any] = {}
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # not yet assigned
            continue
    known = function.__globals__
    for name, attribute in sorted(_globals_of(code)):
        if name not in known:
            continue
        value = known[name]
        if not isinstance(value, types.ModuleType):
            names.setdefault(name, value)
        elif attribute and _is_users(value.__name__) and hasattr(value, attribute):
            names[f"{name}.{attribute}"] = getattr(value, attribute)
    return sorted(names.items(), key=lambda pair: pair[0])


@functools.lru_cache(maxsize=4096)
def _globals_of(code: types.CodeType) -> frozenset[tuple[str, str]]:
    """List the global names that code reads, each with the attribute that it takes of it."""
    found: set[tuple[str, str]] = set()
    last = ""
    for step in dis.get_instructions(code):
        if step.opname in _LOADS:
            last = str(step.argval)
            found.add((last, ""))
        elif step.opname in _ATTRIBUTES and last:
            found.add((last, str(step.argval)))
            last = ""
        else:
            last = ""
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            found |= _globals_of(inner)
    return frozenset(found)


@functools.lru_cache(maxsize=4096)
def _is_users(module: str) -> bool:
    """Whether a module is the user's own, and neither a library nor Python's."""
    top = module.partition(".")[0]
    if top == "barbule" or top in sys.stdlib_module_names:
        return False
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return top not in sys.builtin_module_names
    if {"site-packages", "dist-packages"} & set(Path(file).parts):
        return False
    return not Path(file).is_relative_to(sysconfig.get_paths()["stdlib"])
