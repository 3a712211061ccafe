"""A hash of the code that the results of a function depend on.

Owns which parts of a program count in addition to the source of a function: the user's helper
functions and classes, constants, the closure, and objects that it reads. Libraries do not count,
nor do values that the function itself changes.
"""

from __future__ import annotations

import dis
import enum
import functools
import hashlib
import inspect
import linecache
import re
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from barbule.functions.identity.closures import Closure
from barbule.functions.identity.code import (
    changed_in,
    has_text,
    is_users,
    methods,
    module_in_versions,
    parts,
    qualified_name,
    read_again,
    reading,
    text_of,
    underlying,
)
from barbule.functions.identity.descriptions import Describer

__all__ = ["Source", "name_of"]

_CONSTANT_TYPES = (str, bytes, int, float, complex, bool, type(None))
_LOADS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
_ATTRIBUTES = {"LOAD_ATTR", "LOAD_METHOD"}


class Source:
    """The code of a function in this process.

    Its source is read at once, so that later edits of the file do not matter; the names that it
    reads from its module are resolved for each digest, because helpers may be defined after it.

    Parameters
    ----------
    function
        A function, a class, or any other callable.

    Attributes
    ----------
    closure
        Its closure.

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
        self.function = function
        self.text = text_of(function)
        self.closure = Closure(function)

    def digest(self) -> str:
        """Return a short hash of the function and everything it reads."""
        return self._digest()

    def filled_digest(self) -> str:
        """Return the hash of code without source, in which names that it fills counted."""
        return self._digest(filled=True)

    def _digest(self, *, filled: bool = False) -> str:
        reads = _Reads(self.function, filled=filled)
        texts = list(reads.texts.values())
        return _hash(texts + reads.object_texts())

    def former_digest(self) -> str:
        """Return the hash of version 0.1.0, which did not inspect objects."""
        if not inspect.isfunction(self.function) and not inspect.isclass(self.function):
            return _hash([])  # and not methods
        return _hash(list(_Reads(self.function, filled=True).texts.values()))

    @functools.cached_property
    def is_bytecode(self) -> bool:
        """Whether there is no source to read."""
        code = underlying(self.function)
        return any(reading(part).is_bytecode for part in parts(code))

    @functools.cached_property
    def is_module_level(self) -> bool:
        """Whether it is the function that a module has under its name.

        Others are created from objects, or by functions that may create several.
        """
        is_definition = inspect.isfunction(self.function) or inspect.isclass(self.function)
        return is_definition and "<locals>" not in self.function.__qualname__

    @functools.cached_property
    def scope(self) -> int | None:
        """The identity of the globals in which it was defined.

        A reimported module has other globals, and so does a cell that is run again.
        """
        code = underlying(self.function)
        function = next(iter(methods(code)), None) if inspect.isclass(code) else code
        return id(function.__globals__) if inspect.isfunction(function) else None

    def coexists_with(self, other: Source) -> bool:
        """Whether one run of a module creates both, so that neither replaces the other.

        Either from the same lines, with other values around them, or from other lines of a
        function, if its file still contains both.
        """
        if self.scope != other.scope:
            return False
        if self.text == other.text:
            return True
        if self.is_module_level or other.is_module_level:
            return False
        return self._text_in_file() == self.text and other._text_in_file() == other.text

    def _text_in_file(self) -> str | None:
        """Read again the current source at its lines."""
        definition = underlying(self.function)
        code = getattr(definition, "__code__", None)
        if code is None or not Path(code.co_filename).is_file():
            return None
        linecache.checkcache(code.co_filename)
        return read_again(definition)


def name_of(function: Callable[..., Any], source: Source) -> str:
    """Return the registry name of a function without an explicit name.

    A definition of a script is named as if the script were imported. One that no module contains, a
    lambda or a function from `exec`, is identified by its source.
    """
    name = qualified_name(function)
    code = underlying(function)
    text_hash = hashlib.sha256(source.text.encode()).hexdigest()[:8]
    if code.__qualname__.endswith("<lambda>"):
        return f"{name.removesuffix('<lambda>')}<lambda {text_hash}>"
    if inspect.isfunction(code) and "__name__" not in code.__globals__:
        return f"{code.__qualname__}<{text_hash}>"
    return name


class _Reads:
    """The functions and classes that a function uses, with their source and the names they read.

    Attributes
    ----------
    texts
        The hashed sources, by the identity of the function or class.

    Parameters
    ----------
    filled
        Whether names that functions without source fill or empty count, as they once did.
    """

    def __init__(self, function: Callable[..., Any], *, filled: bool = False) -> None:
        self._function = function
        self._filled = filled
        self.texts: dict[int, str] = {}
        self._objects: list[tuple[str, object]] = []
        code = underlying(function)
        if has_text(function):
            self._describe(code)
        else:
            self.texts[id(code)] = qualified_name(code)

    def object_texts(self) -> list[str]:
        """Describe the objects that are read, and the code of their classes."""
        lines = []
        describer = Describer({}, lenient=True)
        for name, value in self._objects:
            description = describer.value(value)
            if not description.startswith("<"):  # whose content is unknown
                lines.append(f"{name} = {description}")
        describer.bindings(self._function)
        count = len(self.texts)
        for definition in describer.users_code():
            if id(definition) not in self.texts:
                self._describe_code(definition)
        lines += list(self.texts.values())[count:]
        return lines

    def _describe(self, value: object) -> str | None:
        """Describe a value as far as results depend on it; None if it is an object."""
        if isinstance(value, _CONSTANT_TYPES):
            return repr(value)
        if isinstance(value, enum.Enum):
            return str(value)
        if isinstance(value, re.Pattern):
            return repr((value.pattern, value.flags))
        if isinstance(value, functools.partial):
            return self._describe([value.func, value.args, value.keywords])
        if isinstance(value, list | tuple | set | frozenset | dict):
            return self._describe_items(value)
        if type(value).__module__.startswith("barbule.functions"):  # a built-in function, or a udf
            source = getattr(value, "source", None)
            stated_version = getattr(value, "stated_version", None)
            if source is not None and not stated_version:
                return self._describe(underlying(source.function))
            return str(stated_version)
        if inspect.isfunction(value) or inspect.isclass(value):
            return self._describe_code(value)
        return None

    def _describe_items(
        self, container: list[Any] | tuple[Any, ...] | set[Any] | frozenset[Any] | dict[Any, Any]
    ) -> str | None:
        items = container.items() if isinstance(container, dict) else container
        # All are described, because each may be code whose source counts.
        descriptions = [self._describe(item) for item in items]
        if None in descriptions:
            return None
        texts = list(map(str, descriptions))
        if isinstance(container, set | frozenset):
            texts.sort()
        return f"{type(container).__name__}({', '.join(texts)})"

    def _describe_code(self, definition: types.FunctionType | type) -> str:
        """Add the source of a function or class, and return its name."""
        name = str(definition.__qualname__)
        if self.texts and not is_users(definition.__module__):
            return f"{module_in_versions(definition.__module__)}.{name}"
        if id(definition) in self.texts:
            return name
        self.texts[id(definition)] = name  # so that a recursive function terminates
        lines = [part.text for part in map(reading, parts(definition))]
        if isinstance(definition, type):
            bases = [base for base in definition.__bases__ if base is not object]
            lines += [str(self._describe(base)) for base in bases]
            functions = methods(definition)
        else:
            functions = [definition]
        for function in functions:
            lines += self._lines(function, definition)
        self.texts[id(definition)] = "\n".join(lines)
        return name

    def _lines(self, function: types.FunctionType, owner: types.FunctionType | type) -> list[str]:
        """Describe the names that a function, or a method of a class, reads."""
        lines = []
        filled_counts = self._filled and reading(function).is_bytecode
        changed = frozenset() if filled_counts else reading(function).changed
        for name, value in _names_read(function):
            variable = name.partition(".")[0]
            if variable in changed and not inspect.isroutine(value):
                continue
            # A container that any function of the module fills or empties is its state, too.
            is_container = isinstance(value, list | set | dict) and not filled_counts
            if is_container and variable in changed_in(function):
                continue
            description = self._describe(value)
            if description is not None:
                lines.append(f"{name} = {description}")
            elif owner is not underlying(self._function) or (
                name not in function.__code__.co_freevars
            ):
                self._objects.append((name, value))
        return lines


def _names_read(function: types.FunctionType) -> list[tuple[str, object]]:
    """List what a function reads from its module and its enclosing functions, by name."""
    names: dict[str, object] = {}
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # not yet assigned
            continue
    variables = function.__globals__
    for name, attribute in sorted(_globals_of(code)):
        if name not in variables:
            continue
        value = variables[name]
        if not isinstance(value, types.ModuleType):
            names.setdefault(name, value)
        elif attribute and is_users(value.__name__) and hasattr(value, attribute):
            names[f"{name}.{attribute}"] = getattr(value, attribute)
    return sorted(names.items(), key=lambda pair: pair[0])


@functools.lru_cache(maxsize=4096)
def _globals_of(code: types.CodeType) -> frozenset[tuple[str, str]]:
    """List the global names that code reads, each with the attribute that it reads from it."""
    names: set[tuple[str, str]] = set()
    last = ""
    for step in dis.get_instructions(code):
        if step.opname in _LOADS:
            last = str(step.argval)
            names.add((last, ""))
        elif step.opname in _ATTRIBUTES and last:
            names.add((last, str(step.argval)))
            last = ""
        else:
            last = ""
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _globals_of(constant)
    return frozenset(names)


def _hash(texts: list[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
