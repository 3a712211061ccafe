"""The recording of spans: which one is current, and what is recorded below it.

Owns the context variable that holds the current span. Where no trace is open it is None, and to
begin a span costs one look at it.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from contextlib import suppress
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from barbule.errors import BarbuleError
from barbule.tracing.masking import MAX_READ_CHARACTERS, TextMask, masked_statement
from barbule.tracing.spans import COUNTS, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

__all__ = [
    "TRACE_VARIABLE",
    "ActiveSpan",
    "Node",
    "active",
    "add",
    "annotate",
    "carried",
    "current_node",
    "frozen",
    "operation",
    "operations",
    "rename",
    "span",
    "statement",
    "timed_batches",
]

TRACE_VARIABLE = "BARBULE_TRACE"
"""The environment variable that has each operation print its tree."""

OPERATION = "operation"
_VERBS_OF_NAMES = {"create_table", "create_view", "drop_table", "get_table"}
_MAX_SPANS = 20_000  # of one trace, so that a job of hours fits into memory

T = TypeVar("T")
C = TypeVar("C", bound=type)


class _Limits:
    """What the spans of one trace share."""

    __slots__ = ("closed", "count", "dropped")

    def __init__(self) -> None:
        self.closed = False
        self.count = 0
        self.dropped = 0


class Node:
    """A span that is being recorded. Any thread may add to its children."""

    __slots__ = ("attributes", "began", "children", "kind", "limits", "ms", "name", "of_operation")

    def __init__(self, parent: Node | None, kind: str, name: str, attributes: Any) -> None:
        self.kind = kind
        self.name = name
        self.attributes: dict[str, Any] = attributes
        self.children: list[Node] = []
        self.ms = 0.0
        self.began: float | None = None  # while it runs
        self.limits: _Limits = parent.limits if parent else _Limits()
        self.of_operation: bool = kind == OPERATION or (parent is not None and parent.of_operation)
        self.limits.count += 1
        if parent is None:
            return
        if self.limits.count <= _MAX_SPANS:
            parent.children.append(self)
        else:
            self.limits.dropped += 1

    def begin(self) -> None:
        """Let the time run."""
        self.began = time.perf_counter()

    def end(self, error: type[BaseException] | None) -> None:
        """Stop the time. Of an error its type is kept: its message may show values of cells."""
        if self.began is not None:
            self.ms += (time.perf_counter() - self.began) * 1000
            self.began = None
        if error is not None:
            self.attributes["error"] = error.__name__


_current: ContextVar[Node | None] = ContextVar("barbule_trace", default=None)


def current_node() -> Node | None:
    """Return the current span, where a trace is open."""
    node = _current.get()
    return None if node is None or node.limits.closed else node


def active() -> bool:
    """Whether a trace is open, so that attributes which cost something are worth it."""
    return current_node() is not None


class _NoSpan:
    """The placeholder of all spans if no trace is open; false."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __bool__(self) -> bool:
        return False

    def set(self, **attributes: Any) -> None:
        """Do nothing."""


_OFF = _NoSpan()


class ActiveSpan:
    """A span as a context, which is current within it; true.

    Parameters
    ----------
    leaf
        Whether nothing is recorded below it. It is not made current then, so that a generator may
        use it, and it may be entered again: its times add up.
    """

    __slots__ = ("_leaf", "_outer", "node")

    def __init__(self, node: Node, *, leaf: bool = False) -> None:
        self.node = node
        self._leaf = leaf
        self._outer: Any = None

    def __enter__(self) -> Self:
        if not self._leaf:
            self._outer = _current.set(self.node)
        self.node.begin()
        return self

    def __exit__(
        self,
        error: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.node.end(error)
        if not self._leaf:
            _current.reset(self._outer)

    def set(self, **attributes: Any) -> None:
        """Set attributes."""
        self.node.attributes |= attributes


def span(kind: str, name: str = "", /, **attributes: Any) -> ActiveSpan | _NoSpan:
    """Begin a span as a context: what runs within it is recorded below it.

    It must not be open where a generator yields: see `statement` and `timed_batches`.
    """
    parent = _current.get()
    if parent is None or parent.limits.closed:
        return _OFF
    return ActiveSpan(Node(parent, kind, name, attributes))


def statement(sql: str) -> ActiveSpan | _NoSpan:
    """Begin the span of a statement that the database runs."""
    parent = _current.get()
    if parent is None or parent.limits.closed:
        return _OFF
    name = sql[:40].lstrip().partition(" ")[0].upper().rstrip(";")
    text = {"sql": sql[:MAX_READ_CHARACTERS]}
    return ActiveSpan(Node(parent, "statement", name, text), leaf=True)


def timed_batches(sql: str, batches: Iterator[T]) -> Iterator[T]:
    """Return the batches of a statement; its time is that in which they are waited for."""
    traced = statement(sql)
    return _timed(traced, batches) if isinstance(traced, ActiveSpan) else batches


def _timed(traced: ActiveSpan, batches: Iterator[T]) -> Iterator[T]:
    rows = 0
    try:
        while True:
            with traced:
                batch = next(batches, None)
            if batch is None:
                return
            rows += getattr(batch, "num_rows", 0)
            traced.set(rows=rows)
            yield batch
    finally:
        if hasattr(batches, "close"):
            batches.close()


def annotate(**attributes: Any) -> None:
    """Set attributes of the current span."""
    if (node := _current.get()) is not None:
        node.attributes |= attributes


def rename(kind: str, name: str) -> None:
    """Give the current span another name, if it is of that kind."""
    if (node := _current.get()) is not None and node.kind == kind:
        node.name = name


def add(**counts: int) -> None:
    """Add to counts of the current span."""
    if (node := _current.get()) is not None:
        for name, count in counts.items():
            node.attributes[name] = node.attributes.get(name, 0) + count


def carried(function: Callable[[], T]) -> Callable[[], T]:
    """Return a function that another thread calls for the operation of this one."""
    node = current_node()
    if node is None:
        return function

    def run() -> T:
        outer = _current.set(node)
        try:
            return function()
        finally:
            _current.reset(outer)

    return run


# Operations


class _Operation(ActiveSpan):
    """The span of a public method: kept if anything ran in it, and printed on request."""

    __slots__ = ("_parent", "_printed")

    def __init__(self, node: Node, parent: Node | None, *, printed: bool) -> None:
        super().__init__(node)
        self._parent = parent
        self._printed = printed

    def __exit__(
        self,
        error: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        super().__exit__(error, value, traceback)
        node = self.node
        if not node.children:
            if self._parent is not None and node in self._parent.children:
                self._parent.children.remove(node)
        elif self._printed:
            if self._parent is None:
                node.limits.closed = True
            tree = str(frozen(node))
            with suppress(OSError, ValueError):  # a closed output must not fail the operation
                print(tree, file=sys.stderr)  # noqa: T201 - what the variable asks for


def operation(
    name: str, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] = MappingProxyType({})
) -> ActiveSpan | _NoSpan:
    """Begin the span of a public method, unless it runs within another one.

    Parameters
    ----------
    args
        The arguments of the method, which name its tables.
    """
    parent = current_node()
    if parent is not None and parent.of_operation:
        return _OFF
    printed = os.environ.get(TRACE_VARIABLE, "0") not in {"", "0"}
    if parent is None and not printed:
        return _OFF
    node = Node(parent, OPERATION, name, _subject(name, args, kwargs))
    return _Operation(node, parent, printed=printed)


def operations(*names: str) -> Callable[[C], C]:
    """Return a class decorator that records methods as operations."""

    def decorate(cls: C) -> C:
        for name in names:
            setattr(cls, name, _recorded(name, getattr(cls, name)))
        return cls

    return decorate


def _recorded(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def run(*args: Any, **kwargs: Any) -> Any:
        with operation(name, args[:2]):
            return method(*args, **kwargs)

    return run


def _subject(
    verb: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, tuple[str, ...]]:
    """Return the tables of a verb: those that its expression reads, or the one that it names."""
    import ibis.expr.types as ir

    for value in args[:2]:
        if isinstance(value, ir.Expr):
            return {"tables": _tables(value)}
    if verb in _VERBS_OF_NAMES:
        name = args[1] if len(args) > 1 else kwargs.get("name")
        return {"tables": (name,)} if isinstance(name, str) else {}
    return {}


def _tables(expression: Any) -> tuple[str, ...]:
    import ibis.expr.operations as ops

    try:
        leaves = expression.op().find(ops.DatabaseTable)
        return tuple(sorted({leaf.name for leaf in leaves}))
    except BarbuleError:  # a table that was dropped has no name; the verb will say so
        return ()


# Reading


def frozen(node: Node, mask: TextMask | None = None) -> Span:
    """Return what has been recorded so far as data, without values and secrets."""
    mask = mask or TextMask()
    began, ms = node.began, node.ms
    attributes = {name: _shown(name, value, mask) for name, value in node.attributes.copy().items()}
    attributes |= {name: 0 for name in COUNTS.get(node.kind, ()) if name not in attributes}
    if began is not None:
        ms += (time.perf_counter() - began) * 1000
        attributes["running"] = True
    children = tuple(frozen(child, mask) for child in tuple(node.children))
    return Span(node.kind, mask(node.name), MappingProxyType(attributes), ms, children)


def _shown(name: str, value: Any, mask: TextMask) -> Any:
    if isinstance(value, str):
        return mask(masked_statement(value) if name == "sql" else value)
    if isinstance(value, tuple | list):
        return tuple(_shown("", member, mask) for member in value)
    if hasattr(value, "items"):
        return MappingProxyType({mask(str(key)): member for key, member in value.items()})
    if value is None or isinstance(value, bool | int | float):
        return value
    return type(value).__name__
