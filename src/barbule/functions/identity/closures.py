"""What a function closes over: the values that tell functions apart which one factory has made.

Owns how values are identified: plain values by what they are, tables by their names, functions by
theirs and by what they close over in turn, objects by their class and state. What cannot be
identified (a client, a lock, a network of torch) is refused, or left out where a version is said.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
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

from barbule.errors import ExpressionError
from barbule.functions.identity.bindings import Binding, attributes_changed_by, bindings, has_object
from barbule.functions.identity.code import (
    is_users,
    is_users_code,
    module_of,
    qualified_name,
    text_of,
)
from barbule.nodes import ManagedTable

__all__ = ["Closure", "Describer", "Unidentified"]

MAX_BYTES = 1 << 20
"""Of arrays and of the content of objects: more is not hashed at each call."""

MAX_OBJECTS = 1_000
"""Of those that a closure holds: what holds more is not gone through at each call."""

# Networks may be large, and are changed in place by their optimizers.
_NETWORKS = {"flax", "jax", "keras", "tensorflow", "torch"}
_STATE_OF_LIBRARIES = {("types", "SimpleNamespace"), ("argparse", "Namespace")}
# What is a value, though a library defines its class.
_VALUES = {
    *("_decimal", "array", "collections", "datetime", "decimal", "enum", "fractions", "functools"),
    *("ipaddress", "operator", "pathlib", "re", "string", "types", "typing", "uuid", "zoneinfo"),
}
_CONTAINERS = {"builtins", "collections", "ibis.common.collections"}
_ITEMS = (list, tuple, set, frozenset, Mapping)
_PLAIN = (str, bytes, int, float, complex, bool, type(None), type(Ellipsis), range)


class Unidentified(Exception):  # noqa: N818 - it says of a value what it is
    """Nothing says what a value is that would be the same in another process.

    Attributes
    ----------
    path
        How it is reached from the function: "model.client".
    """

    def __init__(self, value: Any, path: str) -> None:
        super().__init__(path)
        self.value = value
        self.path = path


class Closure:
    """What a function, a class, or anything else that can be called closes over.

    That is the variables of the functions around it, defaults that are computed, the object of
    a method, the arguments of a `functools.partial`.

    Parameters
    ----------
    function
        A function, class, method, partial, or an object with `__call__`.

    Examples
    --------
    >>> def adding(k):
    ...     return lambda n: n + k
    >>> Closure(adding(1)).digest() == Closure(adding(1)).digest()
    True
    >>> Closure(adding(1)).digest() == Closure(adding(2)).digest()
    False
    >>> Closure(len).digest()
    ''
    """

    def __init__(self, function: Any) -> None:
        self._function = function
        self._kept: dict[Any, tuple[Any, str]] = {}

    def digest(self) -> str:
        """Return a short hash; empty where it closes over nothing.

        Raises
        ------
        ExpressionError
            When it closes over what cannot be identified.
        """
        if next(bindings(self._function), None) is None:
            return ""
        describer = Describer(self._kept, lenient=False)
        try:
            text = describer.bindings(self._function)
        except Unidentified as found:
            raise self._refused(found) from found.__cause__
        return _short_hash(text)

    @functools.cached_property
    def identified(self) -> str:
        """A short hash of what can be identified, as it is at first; empty where nothing can.

        It is that of `digest` where all can be identified.
        """
        describer = Describer(self._kept, lenient=False, partial=True)
        told = []
        for each in bindings(self._function):
            # A version that is said asks nothing of what is closed over: whatever an object does
            # when it is taken apart, and however deep it is, it then counts for nothing.
            with contextlib.suppress(Exception):
                told.append(describer.binding(self._function, each))
        text = ";".join(filter(None, told))
        return _short_hash(text) if text else ""

    def _refused(self, found: Unidentified) -> ExpressionError:
        kind = type(found.value)
        return ExpressionError(
            f"the function {qualified_name(self._function)} closes over {found.path!r}, and "
            f"what this is, of the type {kind.__module__}.{kind.__qualname__}, cannot be "
            "identified: what the function computes could not be told from what another of its "
            "name computes.",
            hint='Say it by version="1", another one for each such function and whenever its '
            "results change; or make it of what can be identified: texts, numbers, tables, "
            "functions, and objects that hold these.",
        )

    def plain(self) -> bool:
        """Whether all that it closes over are plain values."""
        return all(_is_plain(each.value) for each in bindings(self._function))


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_plain, [*value, *value.values()]))
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_is_plain, value))
    return isinstance(value, _PLAIN)


class Describer:
    """Says what values are, by texts that are equal where the values are.

    Parameters
    ----------
    kept
        What was said before of objects that change as they are used, by identity: of these,
        what they were at first counts.
    lenient
        Whether what cannot be identified is described by its type alone.
    partial
        Whether it is left out: its text is empty.
    """

    def __init__(
        self, kept: dict[Any, tuple[Any, str]], *, lenient: bool, partial: bool = False
    ) -> None:
        self._kept = kept
        self._lenient = lenient
        self._partial = partial
        self._open: list[int] = []  # what contains what is described now, by identity
        self._told: dict[int, str] = {}
        self._alive: list[Any] = []  # so that no identity is used twice
        self._users: dict[int, Any] = {}
        self._path: list[str] = []
        self._depth = 0  # within objects of libraries
        self._bytes = self._objects = 0

    def users_code(self) -> list[Any]:
        """List the functions and classes of users that were met."""
        return list(self._users.values())

    # -- Functions ---------------------------------------------------------------------------------

    def bindings(self, function: Any) -> str:
        """Describe what a function closes over."""
        told = (self.binding(function, each) for each in bindings(function))
        return ";".join(filter(None, told))

    def binding(self, function: Any, binding: Binding) -> str:
        """Describe one thing that a function closes over; empty where it is left out."""
        key = (id(function), binding.name)
        if binding.changes and key in self._kept:
            return self._kept[key][1]
        with self._at(binding.name), self._leniently(binding.lenient):
            value = self.value(binding.value)
        text = f"{binding.name}={value}" if value else ""
        if binding.changes:
            self._kept[key] = (function, text)
        return text

    @contextlib.contextmanager
    def _leniently(self, lenient: bool) -> Iterator[None]:
        outer, self._lenient = self._lenient, self._lenient or lenient
        try:
            yield
        finally:
            self._lenient = outer

    def _function(self, value: Any) -> str:
        name = qualified_name(value)
        if value.__name__ == "<lambda>" or value.__module__ is None:
            name += f" {_short_hash(text_of(value))}"
        users = is_users_code(value)
        if users:
            self._users.setdefault(id(value), value)
        with self._leniently(not users):  # what libraries wrap functions in
            return f"function {name}({self.bindings(value)})"

    def _class(self, value: type) -> str:
        name = f"class {module_of(value)}.{value.__qualname__}"
        if is_users(value.__module__):
            self._users.setdefault(id(value), value)
        return f"{name}({self.bindings(value)})"

    def _registered(self, value: Any) -> str:
        """Describe what the decorators of barbule have made."""
        function = getattr(value, "_runner", None) or getattr(value, "_function", value)
        told = [function.name, function.stated]
        if function.source is not None:
            told.append(self.value(function.source.function))
        return f"call {told}{self.value(dict(function.fixed))}"

    # -- Values ------------------------------------------------------------------------------------

    def value(self, value: Any) -> str:
        """Describe a value.

        Raises
        ------
        Unidentified
            When it cannot be identified.
        """
        kind = type(value)
        if kind in _PLAIN:
            return self._plain(value)
        if id(value) in self._open:  # it contains itself
            return f"#{self._open.index(id(value))}"
        if id(value) in self._told:
            return self._told[id(value)]
        self._alive.append(value)
        self._open.append(id(value))
        try:
            text = self._described(value, kind)
        except RecursionError:
            if self._partial:  # how deep it comes depends on who asks: all of it is left out
                raise
            text = self._unknown(value)
        except Unidentified:
            # An object of a library counts as a whole, or not at all.
            if not self._partial or self._depth:
                raise
            text = ""
        finally:
            self._open.pop()
        self._told[id(value)] = text
        return text

    def _described(self, value: Any, kind: type) -> str:
        if isinstance(value, type):
            return self._class(value)
        if kind.__module__ in _CONTAINERS and isinstance(value, _ITEMS):
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

    def _routine(self, value: Any) -> str:
        if inspect.isfunction(value):
            return self._function(value)
        if inspect.ismethod(value) or has_object(value):
            with self._at("self"):
                return f"{value.__name__} of {self.value(value.__self__)}"
        return f"function {qualified_name(value)}"

    def _plain(self, value: Any) -> str:
        if self._depth and isinstance(value, str | bytes):
            self._count(value, len(value))
        return repr(value)

    def _container(self, value: Any) -> str:
        if isinstance(value, Mapping):
            told = []
            for key, item in value.items():
                with self._at(f"[{key!r}]"):
                    told.append(f"{self.value(key)}: {self.value(item)}")
        else:
            told = [self.value(item) for item in value]
        if isinstance(value, set | frozenset):
            told.sort()
        return f"{type(value).__name__}({', '.join(told)})"

    # -- Expressions -------------------------------------------------------------------------------

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
        # Ibis numbers references to a table in the order in which a process makes them.
        told = [self.value(argument) for name, argument in pairs if name != "identifier"]
        return f"{type(node).__name__}({', '.join(told)})"

    # -- Objects -----------------------------------------------------------------------------------

    def _object(self, value: Any, kind: type) -> str:
        self._objects += 1
        roots = {each.__module__.partition(".")[0] for each in kind.__mro__}
        if self._objects > MAX_OBJECTS or roots & _NETWORKS:
            return self._unknown(value)
        if "numpy" in roots:
            return self._array(value)
        if "pyarrow" in roots:
            return self._arrow(value, value)
        if is_users(kind.__module__) or (kind.__module__, kind.__name__) in (_STATE_OF_LIBRARIES):
            return self._state(value, kind)
        if kind.__module__.partition(".")[0] in _VALUES:
            return self._reduced(value)
        return self._unknown(value) if self._lenient else self._of_library(value)

    def _of_library(self, value: Any) -> str:
        """Describe an object as it was at first: it may change as it is used, as caches do."""
        if self._depth == 0 and id(value) in self._kept:
            return self._kept[id(value)][1]
        path = self._reached()
        self._depth += 1
        try:
            text = self._reduced(value)
        except Unidentified as found:
            raise Unidentified(value, path) from found.__cause__
        finally:
            self._depth -= 1
        if self._depth == 0:
            self._kept[id(value)] = (value, text)
        return text

    def _state(self, value: Any, kind: type) -> str:
        """Describe an object of a user's class, by its class and its attributes."""
        how, *rest = self._reducing(value)
        state = rest[1] if len(rest) > 1 else None
        told = [self.value(how), self.value(rest[0] if rest else ())]
        changing = attributes_changed_by(kind)
        for name, item in _attributes(state):
            if name in changing and self._lenient:
                continue
            key = (id(value), name)
            if name in changing and key in self._kept:
                told.append(self._kept[key][1])
                continue
            with self._at(f".{name}"):
                text = f"{name}={self.value(item)}"
            if name in changing and self._depth == 0:
                self._kept[key] = (value, text)
            told.append(text)
        told += [self.value(None if more is None else list(more)) for more in rest[2:]]
        return f"object({'; '.join(told)})"

    def _reduced(self, value: Any) -> str:
        how, *rest = self._reducing(value)
        told = [self.value(how)]
        for more in rest:
            steps = isinstance(more, Iterator)
            told.append(self.value(list(more) if steps else more))
        return f"object({'; '.join(told)})"

    def _reducing(self, value: Any) -> tuple[Any, ...]:
        """Take an object apart as for a copy; what holds a lock, a socket or a file refuses."""
        try:
            parts = value.__reduce_ex__(4)
        except Exception as error:
            if self._lenient:
                return (type(value),)
            raise Unidentified(value, self._reached()) from error
        return (parts,) if isinstance(parts, str) else parts

    def _array(self, value: Any) -> str:
        import numpy as np

        if isinstance(value, np.generic):
            return f"{value.dtype} {value.item()!r}"
        if not isinstance(value, np.ndarray):
            return self._reduced(value)
        if value.dtype.hasobject:
            return f"array {value.shape} {self.value(value.tolist())}"
        if not self._fits(value.nbytes):
            return self._unknown(value)
        return f"array {value.dtype} {value.shape} {_short_hash(value.tobytes())}"

    def _arrow(self, value: Any, data: Any) -> str:
        import pyarrow as pa

        if not hasattr(data, "nbytes"):
            return str(data) if isinstance(data, pa.DataType | pa.Schema) else self._reduced(data)
        if not self._fits(data.nbytes):
            return self._unknown(value)
        return f"{data.type if hasattr(data, 'type') else data.schema} {data.to_pylist()!r}"

    def _fits(self, size: int) -> bool:
        self._bytes += size
        return self._bytes <= MAX_BYTES

    def _count(self, value: Any, size: int) -> None:
        if not self._fits(size) and not self._lenient:
            raise Unidentified(value, self._reached())

    def _unknown(self, value: Any) -> str:
        if not self._lenient:
            raise Unidentified(value, self._reached())
        return f"<{type(value).__module__}.{type(value).__qualname__}>"

    @contextlib.contextmanager
    def _at(self, step: str) -> Iterator[None]:
        self._path.append(step)
        try:
            yield
        finally:
            self._path.pop()

    def _reached(self) -> str:
        steps = [
            step if place == 0 or step[0] in ".[" else f".{step}"
            for place, step in enumerate(self._path)
        ]
        return "".join(steps)


def _attributes(state: Any) -> Iterable[tuple[str, Any]]:
    """List the attributes that the state of an object holds, those in slots included."""
    parts = state if isinstance(state, tuple) else (state,)
    for part in parts:
        if isinstance(part, Mapping):
            inner = part.get("__dict__")  # of pydantic's models
            yield from (inner if isinstance(inner, Mapping) else {}).items()
            yield from ((str(name), item) for name, item in part.items() if name != "__dict__")
        elif part is not None:
            yield "state", part


def _short_hash(content: str | bytes) -> str:
    data = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(data).hexdigest()[:16]
