"""The variables, defaults and objects that a function was created with, by name.

Owns where they are found: in cells, in computed defaults, in the object of a method, in the
arguments of a partial, in the body of a class that a function defines.
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
    parse,
    reading,
)

__all__ = ["Binding", "attributes_changed_by", "bindings", "has_object"]

_INITIALIZERS = {"__init__", "__new__", "__post_init__", "__setstate__"}


class Binding(NamedTuple):
    """One value that a function was created with.

    Attributes
    ----------
    is_changed
        Whether the function itself changes it, so that it is its state.
    lenient
        Whether its module has only one such function, so that the value may remain unidentified.
    """

    name: str
    value: object
    is_changed: bool = False
    lenient: bool = False


def bindings(function: object) -> Iterator[Binding]:  # noqa: C901 - a table of kinds
    """Yield the values that a callable was created with."""
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
        yield Binding("self", getattr(function, "__self__", None))
    elif callable(wrapped := getattr(function, "__wrapped__", None)):
        yield from bindings(wrapped)
    elif not inspect.isroutine(function):
        yield Binding("self", function)


def has_object(function: object) -> bool:
    """Whether a function is a bound method of a built-in class."""
    owner = getattr(function, "__self__", None)
    return (
        inspect.isroutine(function)
        and owner is not None
        and not isinstance(owner, types.ModuleType | type)
    )


def _cells(function: types.FunctionType) -> Iterator[Binding]:
    code = function.__code__
    changed = reading(function).changed
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        if name == "__class__":  # of which it is a method
            continue
        try:
            value = cell.cell_contents
        except ValueError:  # not yet assigned
            continue
        is_filled = isinstance(value, list | set | dict) and name in changed_in(function)
        yield Binding(name, value, name in changed or is_filled)


def _defaults(function: types.FunctionType) -> Iterator[Binding]:
    """Yield the defaults that are not literals in the source."""
    defaults = {
        **dict(zip(_names_with_defaults(function), function.__defaults__ or (), strict=False)),
        **(function.__kwdefaults__ or {}),
    }
    if not defaults:
        return
    literals = _literal_defaults(function)
    lenient = "<locals>" not in function.__qualname__
    for name, value in defaults.items():
        if name not in literals:
            yield Binding(name, value, lenient=lenient)


def _names_with_defaults(function: types.FunctionType) -> tuple[str, ...]:
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    return names[len(names) - len(function.__defaults__ or ()) :]


_LITERAL_DEFAULTS: weakref.WeakKeyDictionary[types.FunctionType, frozenset[str]] = (
    weakref.WeakKeyDictionary()
)


def _literal_defaults(function: types.FunctionType) -> frozenset[str]:
    if function not in _LITERAL_DEFAULTS:
        tree: Any = parse(function)
        names = []
        if tree is not None:
            arguments = tree.args
            positional = [*arguments.posonlyargs, *arguments.args]
            with_defaults = positional[len(positional) - len(arguments.defaults) :]
            pairs = [
                *zip(with_defaults, arguments.defaults, strict=True),
                *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
            ]
            names = [
                argument.arg
                for argument, default in pairs
                if default is not None and _is_literal(default)
            ]
        _LITERAL_DEFAULTS[function] = frozenset(names)
    return _LITERAL_DEFAULTS[function]


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError):
        return False
    return True


def _of_class(cls: type) -> Iterator[Binding]:
    """Yield the closures of the methods of a class, and its computed attributes."""
    for method in methods(cls):
        for binding in bindings(method):
            yield binding._replace(name=f"{method.__name__}.{binding.name}")
    tree = parse(cls)
    literals = set()
    for node in tree.body if isinstance(tree, ast.ClassDef) else ():
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value and _is_literal(node.value):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            literals |= {target.id for target in targets if isinstance(target, ast.Name)}
    for name, value in vars(cls).items():
        is_routine = inspect.isroutine(value) or hasattr(value, "__get__")
        if not is_routine and name not in literals and not name.startswith("__"):
            yield Binding(name, value)
    for base in cls.__bases__:
        if "<locals>" in base.__qualname__:
            yield Binding(base.__name__, base)


_CHANGED_ATTRIBUTES: weakref.WeakKeyDictionary[type, frozenset[str]] = weakref.WeakKeyDictionary()


def attributes_changed_by(cls: type) -> frozenset[str]:
    """Return the attributes that methods of a class change after an object was created."""
    if cls not in _CHANGED_ATTRIBUTES:
        names: set[str] = set()
        for base in cls.__mro__:
            if not is_users(base.__module__) or base is object:
                continue
            cached = functools.cached_property
            names |= {name for name, value in vars(base).items() if isinstance(value, cached)}
            for method in methods(base):
                if method.__name__ not in _INITIALIZERS:
                    names |= set(_changed_attributes(method))
        _CHANGED_ATTRIBUTES[cls] = frozenset(names)
    return _CHANGED_ATTRIBUTES[cls]


def _changed_attributes(method: types.FunctionType) -> Iterator[str]:
    names = method.__code__.co_varnames[: method.__code__.co_argcount]
    if not names:
        return
    tree = parse(method)
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
