"""What the results of a function depend on in code: a hash that changes when it does.

Owns what of a program counts beside the source of a function: helper functions and classes of
users, constants, what it closes over, and objects that it reads. Libraries do not count, nor what
the function itself changes.
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

from barbule.functions.identity.closures import Closure, Describer
from barbule.functions.identity.code import (
    changed_in,
    has_text,
    is_users,
    methods,
    module_in_versions,
    parts,
    qualified_name,
    reading,
    text_now,
    text_of,
    underlying,
)

__all__ = ["Source", "name_of"]

_PLAIN = (str, bytes, int, float, complex, bool, type(None))
_LOADS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
_ATTRIBUTES = {"LOAD_ATTR", "LOAD_METHOD"}


class Source:
    """The code of a function, as it is while this process runs.

    Its text is read at once, so that a file that is edited later does not matter; what it reads
    of its module is looked at when a digest is asked for, as helpers may be defined after it.

    Parameters
    ----------
    function
        A function, a class, or anything else that can be called.

    Attributes
    ----------
    closure
        What it closes over.

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
        """Return a short hash of the function and of what it reads."""
        return self._digest()

    def filled_digest(self) -> str:
        """Return the hash for which what it fills counted, where there is no text to read."""
        return self._digest(filled=True)

    def _digest(self, *, filled: bool = False) -> str:
        reads = _Reads(self.function, filled=filled)
        former = list(reads.told.values())
        return _hash(former + reads.more())

    def former_digest(self) -> str:
        """Return the hash that version 0.1.0 gave it, which did not look into objects."""
        if not inspect.isfunction(self.function) and not inspect.isclass(self.function):
            return _hash([])  # nor into methods
        return _hash(list(_Reads(self.function, filled=True).told.values()))

    @functools.cached_property
    def of_bytecode(self) -> bool:
        """Whether there is no text to read."""
        made = underlying(self.function)
        return any(reading(each).of_bytecode for each in parts(made))

    @functools.cached_property
    def of_module(self) -> bool:
        """Whether it is the function that a module has under its name.

        Others are made of objects, or by functions that may make several.
        """
        made = inspect.isfunction(self.function) or inspect.isclass(self.function)
        return made and "<locals>" not in self.function.__qualname__

    @functools.cached_property
    def scope(self) -> int | None:
        """Tell by which lines in which module it is made, as far as these are not run again.

        A module that is imported again, and a cell that is run again, are others.
        """
        made = underlying(self.function)
        inner = next(iter(methods(made)), None) if inspect.isclass(made) else made
        return id(inner.__globals__) if inspect.isfunction(inner) else None

    def stands_beside(self, other: Source) -> bool:
        """Whether both are made by one run of the same module, so that neither replaces the other.

        Either by the same lines, with other values around them, or by other lines of a function,
        both of which its file still holds.
        """
        if self.scope != other.scope:
            return False
        if self.text == other.text:
            return True
        if self.of_module or other.of_module:
            return False
        return self._in_file() == self.text and other._in_file() == other.text

    def _in_file(self) -> str | None:
        """Read once more what the file has at its lines."""
        made = underlying(self.function)
        run = getattr(made, "__code__", None)
        if run is None or not Path(run.co_filename).is_file():
            return None
        linecache.checkcache(run.co_filename)
        return text_now(made)


def name_of(function: Any, source: Source) -> str:
    """Return the name by which other processes find a function, where it has none of its own.

    What a script defines is called as where the script is imported. What no module holds, a
    lambda or what `exec` has made, is found by its text.
    """
    name = qualified_name(function)
    made = underlying(function)
    text = hashlib.sha256(source.text.encode()).hexdigest()[:8]
    if made.__qualname__.endswith("<lambda>"):
        return f"{name.removesuffix('<lambda>')}<lambda {text}>"
    if inspect.isfunction(made) and "__name__" not in made.__globals__:
        return f"{made.__qualname__}<{text}>"
    return name


class _Reads:
    """The functions and classes that a function uses, with their text and what they read.

    Attributes
    ----------
    told
        By identity, what was said of each.

    Parameters
    ----------
    filled
        Whether what functions without a text fill or empty counts, as it once did.
    """

    def __init__(self, function: Any, *, filled: bool = False) -> None:
        self._function = function
        self._filled = filled
        self.told: dict[int, str] = {}
        self._objects: list[tuple[str, Any]] = []
        made = underlying(function)
        if has_text(function):
            self._describe(made)
        else:
            self.told[id(made)] = qualified_name(made)

    def more(self) -> list[str]:
        """Say what the objects are which are read, and what code is theirs."""
        lines = []
        describer = Describer({}, lenient=True)
        for name, value in self._objects:
            text = describer.value(value)
            if not text.startswith("<"):  # of whose content nothing is known
                lines.append(f"{name} = {text}")
        describer.bindings(self._function)
        before = len(self.told)
        for each in describer.users_code():
            if id(each) not in self.told:
                self._describe_code(each)
        lines += list(self.told.values())[before:]
        return lines

    def _describe(self, value: Any) -> str | None:
        """Say what a value is as far as results depend on it; None where it is an object."""
        if isinstance(value, _PLAIN):
            return repr(value)
        if isinstance(value, enum.Enum):
            return str(value)
        if isinstance(value, re.Pattern):
            return repr((value.pattern, value.flags))
        if isinstance(value, functools.partial):
            return self._describe([value.func, value.args, value.keywords])
        if isinstance(value, list | tuple | set | frozenset | dict):
            return self._describe_items(value)
        if type(value).__module__.startswith("barbule.functions"):  # a function of ours, or a udf
            source = getattr(value, "source", None)
            stated = getattr(value, "stated", None)
            if source is not None and not stated:
                return self._describe(underlying(source.function))
            return str(stated)
        if inspect.isfunction(value) or inspect.isclass(value):
            return self._describe_code(value)
        return None

    def _describe_items(self, value: Any) -> str | None:
        items = value.items() if isinstance(value, dict) else value
        told = [self._describe(each) for each in items]
        if any(each is None for each in told):
            return None
        texts = [str(each) for each in told]
        if isinstance(value, set | frozenset):
            texts.sort()
        return f"{type(value).__name__}({', '.join(texts)})"

    def _describe_code(self, value: Any) -> str:
        name = str(value.__qualname__)
        if self.told and not is_users(value.__module__):
            return f"{module_in_versions(value.__module__)}.{name}"
        if id(value) in self.told:
            return name
        self.told[id(value)] = name  # so that what calls itself comes to an end
        lines = [each.text for each in map(reading, parts(value))]
        if inspect.isclass(value):
            lines += [str(self._describe(base)) for base in value.__bases__ if base is not object]
        for part in methods(value) if inspect.isclass(value) else [value]:
            lines += self._lines(part, value)
        self.told[id(value)] = "\n".join(lines)
        return name

    def _lines(self, part: Any, owner: Any) -> list[str]:
        """Say what a function, or a method of a class, reads."""
        lines = []
        counts = self._filled and reading(part).of_bytecode
        changed = frozenset() if counts else reading(part).changed
        for read, item in _read(part):
            name_read = read.partition(".")[0]
            if name_read in changed and not inspect.isroutine(item):
                continue
            # What any function of the module fills or empties is its state, too.
            filled = isinstance(item, list | set | dict) and not counts
            if filled and name_read in changed_in(part):
                continue
            told = self._describe(item)
            if told is not None:
                lines.append(f"{read} = {told}")
            elif owner is not underlying(self._function) or (read not in part.__code__.co_freevars):
                self._objects.append((read, item))
        return lines


def _read(function: Any) -> list[tuple[str, Any]]:
    """List what a function reads of its module and of the functions around it, by name."""
    names: dict[str, Any] = {}
    run = function.__code__
    for name, cell in zip(run.co_freevars, function.__closure__ or (), strict=True):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # not yet assigned
            continue
    known = function.__globals__
    for name, attribute in sorted(_globals_of(run)):
        if name not in known:
            continue
        value = known[name]
        if not isinstance(value, types.ModuleType):
            names.setdefault(name, value)
        elif attribute and is_users(value.__name__) and hasattr(value, attribute):
            names[f"{name}.{attribute}"] = getattr(value, attribute)
    return sorted(names.items(), key=lambda pair: pair[0])


@functools.lru_cache(maxsize=4096)
def _globals_of(run: types.CodeType) -> frozenset[tuple[str, str]]:
    """List the global names that code reads, each with the attribute that it takes of it."""
    found: set[tuple[str, str]] = set()
    last = ""
    for step in dis.get_instructions(run):
        if step.opname in _LOADS:
            last = str(step.argval)
            found.add((last, ""))
        elif step.opname in _ATTRIBUTES and last:
            found.add((last, str(step.argval)))
            last = ""
        else:
            last = ""
    for inner in run.co_consts:
        if isinstance(inner, types.CodeType):
            found |= _globals_of(inner)
    return frozenset(found)


def _hash(texts: list[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
