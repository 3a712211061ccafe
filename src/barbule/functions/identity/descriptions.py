"""Descriptions of values: strings that are equal if the values are equal, in any process.

Owns how values are identified: plain values by value, tables by name, functions by name and
closure, objects by class and state.
"""

from __future__ import annotations

import contextlib
import contextvars
import hashlib
import inspect
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.schema as sch
import ibis.expr.types as ir
from ibis.common.deferred import Deferred

from barbule.functions.identity.bindings import Binding, attributes_changed_by, bindings, has_object
from barbule.functions.identity.code import (
    is_users,
    is_users_code,
    module_of,
    qualified_name,
    text_of,
)
from barbule.nodes import ManagedTable

__all__ = ["PLAIN_TYPES", "Describer", "InitialDescriptions", "Unidentified", "short_hash"]

MAX_BYTES = 1 << 20
"""For arrays and the content of objects in one closure: more is not hashed at each call."""

MAX_OBJECTS = 1_000
"""In one closure: more are not described at each call."""

# Networks may be large, and their optimizers change them in place.
_NETWORKS = {"flax", "jax", "keras", "tensorflow", "torch"}
_NAMESPACES = {("types", "SimpleNamespace"), ("argparse", "Namespace")}
# Modules of libraries whose objects are values.
_VALUE_MODULES = {
    *("_decimal", "array", "collections", "datetime", "decimal", "enum", "fractions", "functools"),
    *("ipaddress", "operator", "pathlib", "re", "string", "types", "typing", "uuid", "zoneinfo"),
}
_CONTAINER_MODULES = {"builtins", "collections", "ibis.common.collections"}
_CONTAINERS = (list, tuple, set, frozenset, Mapping)
PLAIN_TYPES = (str, bytes, int, float, complex, bool, type(None), type(Ellipsis), range)


class Unidentified(Exception):  # noqa: N818 - a property of the value
    """The value has no identity that would be the same in another process.

    Attributes
    ----------
    path
        The path from the function: "model.client".
    """

    def __init__(self, value: object, path: str) -> None:
        super().__init__(path)
        self.value = value
        self.path = path


InitialDescriptions = dict[int | tuple[int, str], tuple[object, str]]
"""The initial state of an object, by its identity (and the name of an attribute): with the object,
so that its identity is not reused."""


class Describer:
    """Describes values with strings that are equal if the values are equal.

    Parameters
    ----------
    initial
        Earlier descriptions of objects that change during use: their initial state counts.
    lenient
        Whether a value that cannot be identified is described only by its type.
    partial
        Whether it is skipped: its description is empty.
    """

    def __init__(
        self, initial: InitialDescriptions, *, lenient: bool, partial: bool = False
    ) -> None:
        self._initial = initial
        self._lenient = lenient
        self._partial = partial
        self._ancestors: list[int] = []  # the containers of the current value, by identity
        self._descriptions: dict[int, str] = {}
        self._alive: list[object] = []  # so that no identity is reused
        self._users: dict[int, Any] = {}
        self._path: list[str] = []
        self._library_depth = 0  # the nesting depth of library objects around the current value
        self._byte_count = self._object_count = 0

    def users_code(self) -> list[Any]:
        """List the user's functions and classes that were described."""
        return list(self._users.values())

    # -- Functions ---------------------------------------------------------------------------------

    def bindings(self, function: object) -> str:
        """Describe the closure of a function."""
        descriptions = (self.binding(function, binding) for binding in bindings(function))
        return ";".join(filter(None, descriptions))

    def binding(self, function: object, binding: Binding) -> str:
        """Describe one value of a closure; empty if it is skipped."""
        key = (id(function), binding.name)
        if binding.is_changed and key in self._initial:
            return self._initial[key][1]
        with self._at(binding.name), self._leniently(binding.lenient):
            value = self.value(binding.value)
        description = f"{binding.name}={value}" if value else ""
        if binding.is_changed:
            self._initial[key] = (function, description)
        return description

    @contextlib.contextmanager
    def _leniently(self, lenient: bool) -> Iterator[None]:
        outer, self._lenient = self._lenient, self._lenient or lenient
        try:
            yield
        finally:
            self._lenient = outer

    def _function(self, function: types.FunctionType) -> str:
        name = qualified_name(function)
        if function.__name__ == "<lambda>" or function.__module__ is None:
            name += f" {short_hash(text_of(function))}"
        is_users = is_users_code(function)
        if is_users:
            self._users.setdefault(id(function), function)
        with self._leniently(not is_users):  # libraries wrap functions in these
            return f"function {name}({self.bindings(function)})"

    def _class(self, cls: type) -> str:
        name = f"class {module_of(cls)}.{cls.__qualname__}"
        if is_users(cls.__module__):
            self._users.setdefault(id(cls), cls)
        return f"{name}({self.bindings(cls)})"

    def _registered(self, value: Any) -> str:
        """Describe an object made by a decorator of barbule."""
        function = getattr(value, "_runner", None) or getattr(value, "_function", value)
        parts = [function.name, function.stated_version]
        if function.source is not None:
            parts.append(self.value(function.source.function))
        return f"call {parts}{self.value(dict(function.fixed_arguments))}"

    def _routine(self, routine: Any) -> str:
        if inspect.isfunction(routine):
            return self._function(routine)
        if inspect.ismethod(routine) or has_object(routine):
            with self._at("self"):
                return f"{routine.__name__} of {self.value(routine.__self__)}"
        return f"function {qualified_name(routine)}"

    # -- Values ------------------------------------------------------------------------------------

    def value(self, value: object) -> str:
        """Describe a value.

        Raises
        ------
        Unidentified
            If it cannot be identified.
        """
        kind = type(value)
        if kind in PLAIN_TYPES:
            if self._library_depth and isinstance(value, str | bytes):
                self._count_bytes(value, len(value))
            return repr(value)
        if id(value) in self._ancestors:  # it contains itself
            return f"#{self._ancestors.index(id(value))}"
        if id(value) in self._descriptions:
            return self._descriptions[id(value)]
        self._alive.append(value)
        self._ancestors.append(id(value))
        try:
            description = self._describe(value, kind)
        except RecursionError:
            if self._partial:  # its depth depends on the caller: all of it is skipped
                raise
            description = self._unidentified(value)
        except Unidentified:
            # An object of a library counts in full, or not at all.
            if not self._partial or self._library_depth:
                raise
            description = ""
        finally:
            self._ancestors.pop()
        self._descriptions[id(value)] = description
        return description

    def _describe(self, value: Any, kind: type) -> str:
        if isinstance(value, type):
            return self._class(value)
        if kind.__module__ in _CONTAINER_MODULES and isinstance(value, _CONTAINERS):
            return self._container(value)
        if isinstance(value, ops.Node | ir.Expr):
            return self._node(value.op() if isinstance(value, ir.Expr) else value)
        if isinstance(value, dt.DataType | sch.Schema | Deferred):
            return f"{kind.__name__} {value!r}"
        if isinstance(value, types.ModuleType | contextvars.ContextVar):
            return f"{kind.__name__} {getattr(value, '__name__', None) or value.name}"
        if "__wrapped__" in getattr(value, "__dict__", ()) and not inspect.isfunction(value):
            return f"{kind.__qualname__} {self.value(value.__wrapped__)}"
        if inspect.isroutine(value):
            return self._routine(value)
        if kind.__module__.startswith("barbule.functions.") and hasattr(value, "source"):
            return self._registered(value)
        if hasattr(kind, "__barbule_identity__"):
            return f"{kind.__qualname__} {value.__barbule_identity__()!r}"
        return self._object(value, kind)

    def _container(self, items: Mapping[Any, Any] | Iterable[Any]) -> str:
        descriptions = []
        if isinstance(items, Mapping):
            for key, item in items.items():
                with self._at(f"[{key!r}]"):
                    descriptions.append(f"{self.value(key)}: {self.value(item)}")
        else:
            descriptions = [self.value(item) for item in items]
        if isinstance(items, set | frozenset):
            descriptions.sort()
        return f"{type(items).__name__}({', '.join(descriptions)})"

    def _node(self, node: ops.Node) -> str:
        if isinstance(node, ManagedTable):
            database = node.source.__barbule_identity__()
            name = node.source.catalog.stable_name(node.table_id)
            return f"table {database} {name} at {node.commit}"
        if isinstance(node, ops.InMemoryTable):
            return f"rows {node.schema!r} {self._arrow(node, node.data.to_pyarrow(node.schema))}"
        if isinstance(node, ops.DatabaseTable):
            namespace = node.namespace
            return f"table {node.name} of {namespace.catalog}.{namespace.database} {node.schema!r}"
        pairs = zip(node.__argnames__, node.__args__, strict=True)
        # Ibis numbers references to a table in the order in which a process creates them.
        arguments = [self.value(argument) for name, argument in pairs if name != "identifier"]
        return f"{type(node).__name__}({', '.join(arguments)})"

    # -- Objects -----------------------------------------------------------------------------------

    def _object(self, value: object, kind: type) -> str:
        self._object_count += 1
        libraries = {cls.__module__.partition(".")[0] for cls in kind.__mro__}
        if self._object_count > MAX_OBJECTS or libraries & _NETWORKS:
            return self._unidentified(value)
        if "numpy" in libraries:
            return self._array(value)
        if "pyarrow" in libraries:
            return self._arrow(value, value)
        if is_users(kind.__module__) or (kind.__module__, kind.__name__) in _NAMESPACES:
            return self._state(value, kind)
        if kind.__module__.partition(".")[0] in _VALUE_MODULES:
            return self._reduced(value)
        return self._unidentified(value) if self._lenient else self._of_library(value)

    def _of_library(self, value: object) -> str:
        """Describe the initial state of an object: it may change during use, as caches do."""
        if self._library_depth == 0 and id(value) in self._initial:
            return self._initial[id(value)][1]
        path = self._path_text()
        self._library_depth += 1
        try:
            description = self._reduced(value)
        except Unidentified as error:
            raise Unidentified(value, path) from error.__cause__
        finally:
            self._library_depth -= 1
        if self._library_depth == 0:
            self._initial[id(value)] = (value, description)
        return description

    def _state(self, value: object, kind: type) -> str:
        """Describe an object of a user's class by its class and its attributes."""
        constructor, *parts = self._reduce(value)
        state = parts[1] if len(parts) > 1 else None
        descriptions = [self.value(constructor), self.value(parts[0] if parts else ())]
        changing = attributes_changed_by(kind)
        for name, item in _attributes(state):
            if name in changing and self._lenient:
                continue
            key = (id(value), name)
            if name in changing and key in self._initial:
                descriptions.append(self._initial[key][1])
                continue
            with self._at(f".{name}"):
                description = f"{name}={self.value(item)}"
            if name in changing and self._library_depth == 0:
                self._initial[key] = (value, description)
            descriptions.append(description)
        descriptions += [self.value(None if items is None else list(items)) for items in parts[2:]]
        return f"object({'; '.join(descriptions)})"

    def _reduced(self, value: object) -> str:
        """Describe an object by everything that a copy would consist of."""
        parts = [
            self.value(list(part) if position and isinstance(part, Iterator) else part)
            for position, part in enumerate(self._reduce(value))
        ]
        return f"object({'; '.join(parts)})"

    def _reduce(self, value: object) -> tuple[Any, ...]:
        """Take an object apart as for a copy; one that holds a lock, a socket or a file refuses."""
        try:
            parts = value.__reduce_ex__(4)
        except Exception as error:
            if self._lenient:
                return (type(value),)
            raise Unidentified(value, self._path_text()) from error
        return (parts,) if isinstance(parts, str) else parts

    def _array(self, value: object) -> str:
        import numpy as np

        if isinstance(value, np.generic):
            return f"{value.dtype} {value.item()!r}"
        if not isinstance(value, np.ndarray):
            return self._reduced(value)
        if value.dtype.hasobject:
            return f"array {value.shape} {self.value(value.tolist())}"
        if not self._fits(value.nbytes):
            return self._unidentified(value)
        return f"array {value.dtype} {value.shape} {short_hash(value.tobytes())}"

    def _arrow(self, value: object, rows: Any) -> str:
        import pyarrow as pa

        if not hasattr(rows, "nbytes"):
            return str(rows) if isinstance(rows, pa.DataType | pa.Schema) else self._reduced(rows)
        if not self._fits(rows.nbytes):
            return self._unidentified(value)
        return f"{rows.type if hasattr(rows, 'type') else rows.schema} {rows.to_pylist()!r}"

    # -- Limits and errors -------------------------------------------------------------------------

    def _fits(self, size: int) -> bool:
        self._byte_count += size
        return self._byte_count <= MAX_BYTES

    def _count_bytes(self, value: object, size: int) -> None:
        if not self._fits(size) and not self._lenient:
            raise Unidentified(value, self._path_text())

    def _unidentified(self, value: object) -> str:
        if not self._lenient:
            raise Unidentified(value, self._path_text())
        return f"<{type(value).__module__}.{type(value).__qualname__}>"

    @contextlib.contextmanager
    def _at(self, step: str) -> Iterator[None]:
        self._path.append(step)
        try:
            yield
        finally:
            self._path.pop()

    def _path_text(self) -> str:
        steps = [
            step if position == 0 or step[0] in ".[" else f".{step}"
            for position, step in enumerate(self._path)
        ]
        return "".join(steps)


def _attributes(state: object) -> Iterable[tuple[str, Any]]:
    """List the attributes in the state of an object, including those in slots."""
    parts = state if isinstance(state, tuple) else (state,)
    for part in parts:
        if isinstance(part, Mapping):
            inner = part.get("__dict__")  # of pydantic's models
            yield from (inner if isinstance(inner, Mapping) else {}).items()
            yield from ((str(name), item) for name, item in part.items() if name != "__dict__")
        elif part is not None:
            yield "state", part


def short_hash(content: str | bytes) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a content."""
    encoded = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(encoded).hexdigest()[:16]
