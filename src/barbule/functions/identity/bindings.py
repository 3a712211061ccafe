"""The variables, defaults and objects that a function was made with, by name.

Owns where they are found: in cells, in defaults that were computed, in the object of a method, in
the arguments of a partial, in the body of a class that a function defines.
"""

from __future__ import annotations

import ast
import functools
import inspect
import types
import weakref
from collections.abc import Iterator
from typing import Any, NamedTuple

from barbule.functions.identity.bytecode import bytecode_changes
from barbule.functions.identity.code import (
    changed_in,
    changed_targets,
    is_users,
    methods,
    reading,
    tree_of,
)

__all__ = ["Binding", "attributes_changed_by", "bindings", "has_object"]

_MAKING = {"__init__", "__new__", "__post_init__", "__setstate__"}


class Binding(NamedTuple):
    """One value that a function was made with.

    Attributes
    ----------
    changes
        Whether the function itself changes it, so that it is its state.
    lenient
        Whether its module has one such function, so that the value may stay unidentified.
    """

    name: str
    value: Any
    changes: bool = False
    lenient: bool = False


def bindings(function: Any) -> Iterator[Binding]:  # noqa: C901 - a table of kinds
    """Yield what something that can be called was made with."""
    if isinstance(function, functools.partial):
        if function.args:
            yield Binding("arguments", function.args)
        if function.keywords:
            yield Binding("keywords", function.keywords)
        yield from bindings(function.func)
    elif inspect.isclass(function):
        if "<locals>" in function.__qualname__:
            yield from _of_class(function)
    elif inspect.ismethod(function):
        yield Binding("self", function.__self__)
        yield from bindings(function.__func__)
    elif inspect.isfunction(function):
        yield from _cells(function)
        yield from _defaults(function)
    elif has_object(function):
        yield Binding("self", function.__self__)
    elif callable(wrapped := getattr(function, "__wrapped__", None)):
        yield from bindings(wrapped)
    elif not inspect.isroutine(function):
        yield Binding("self", function)


def has_object(function: Any) -> bool:
    """Whether a function is a method that has its object, of a class of Python's own."""
    owner = getattr(function, "__self__", None)
    return (
        inspect.isroutine(function)
        and owner is not None
        and not isinstance(owner, types.ModuleType | type)
    )


def _cells(function: Any) -> Iterator[Binding]:
    run = function.__code__
    changed = reading(function).changed
    for name, cell in zip(run.co_freevars, function.__closure__ or (), strict=True):
        if name == "__class__":  # of which it is a method
            continue
        try:
            value = cell.cell_contents
        except ValueError:  # not yet assigned
            continue
        filled = isinstance(value, list | set | dict) and name in changed_in(function)
        yield Binding(name, value, name in changed or filled)


def _defaults(function: Any) -> Iterator[Binding]:
    """Yield defaults that the text does not say."""
    given = {
        **dict(zip(_last_names(function), function.__defaults__ or (), strict=False)),
        **(function.__kwdefaults__ or {}),
    }
    if not given:
        return
    said = _literal_defaults(function)
    lenient = "<locals>" not in function.__qualname__
    for name, value in given.items():
        if name not in said:
            yield Binding(name, value, lenient=lenient)


def _last_names(function: Any) -> tuple[str, ...]:
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    return names[len(names) - len(function.__defaults__ or ()) :]


_LITERAL: weakref.WeakKeyDictionary[Any, frozenset[str]] = weakref.WeakKeyDictionary()


def _literal_defaults(function: Any) -> frozenset[str]:
    if function not in _LITERAL:
        tree: Any = tree_of(function)
        found = []
        if tree is not None:
            arguments = tree.args
            places = [*arguments.posonlyargs, *arguments.args]
            last = places[len(places) - len(arguments.defaults) :]
            pairs = [
                *zip(last, arguments.defaults, strict=True),
                *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
            ]
            found = [each.arg for each, value in pairs if value is not None and _literal(value)]
        _LITERAL[function] = frozenset(found)
    return _LITERAL[function]


def _literal(node: ast.AST) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError):
        return False
    return True


def _of_class(kind: type) -> Iterator[Binding]:
    """Yield what the methods of a class close over, and attributes that were computed."""
    for method in methods(kind):
        for each in bindings(method):
            yield each._replace(name=f"{method.__name__}.{each.name}")
    tree: Any = tree_of(kind)
    said = set()
    for node in tree.body if isinstance(tree, ast.ClassDef) else ():
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value and _literal(node.value):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            said |= {each.id for each in targets if isinstance(each, ast.Name)}
    for name, value in vars(kind).items():
        routine = inspect.isroutine(value) or hasattr(value, "__get__")
        if not routine and name not in said and not name.startswith("__"):
            yield Binding(name, value)
    for base in kind.__bases__:
        if "<locals>" in base.__qualname__:
            yield Binding(base.__name__, base)


_CHANGED: weakref.WeakKeyDictionary[type, frozenset[str]] = weakref.WeakKeyDictionary()


def attributes_changed_by(kind: type) -> frozenset[str]:
    """Return the attributes that methods of a class change after an object was made."""
    if kind not in _CHANGED:
        found: set[str] = set()
        for each in kind.__mro__:
            if not is_users(each.__module__) or each is object:
                continue
            cached = functools.cached_property
            found |= {name for name, value in vars(each).items() if isinstance(value, cached)}
            for method in methods(each):
                if method.__name__ not in _MAKING:
                    found |= set(_changed_attributes(method))
        _CHANGED[kind] = frozenset(found)
    return _CHANGED[kind]


def _changed_attributes(method: Any) -> Iterator[str]:
    names = method.__code__.co_varnames[: method.__code__.co_argcount]
    if not names:
        return
    tree = tree_of(method)
    if tree is None:
        for change in bytecode_changes(method.__code__):
            if change.name == names[0] and change.attribute:
                yield change.attribute
        return
    for target in changed_targets(tree):
        base, attribute = target, None
        while isinstance(base, ast.Subscript | ast.Attribute):
            attribute = base.attr if isinstance(base, ast.Attribute) else attribute
            base = base.value
        if isinstance(base, ast.Name) and base.id == names[0] and attribute is not None:
            yield attribute
