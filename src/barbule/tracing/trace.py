"""The trace that users open: everything that runs within a `with` block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from barbule.tracing.recording import ActiveSpan, Node, current_node, frozen
from barbule.tracing.spans import Span, SpanTree

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Trace", "trace"]


class Trace(SpanTree):
    """The spans of a `with` block, as a tree; `trace` creates it.

    It is printed as a tree, which can be folded in a notebook. Within the block, it contains the
    spans recorded so far.
    """

    __slots__ = ("_active", "_is_outermost", "_span")

    def __init__(self) -> None:
        self._active: ActiveSpan | None = None
        self._is_outermost = False
        self._span: Span | None = None

    def __enter__(self) -> Self:
        parent = current_node()
        self._is_outermost = parent is None
        self._span = None
        self._active = ActiveSpan(Node(parent, "trace", "", {}))
        self._active.__enter__()
        return self

    def __exit__(
        self,
        error: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        active = self._active
        if active is None:
            return
        active.__exit__(error, value, traceback)
        limits = active.node.limits
        if self._is_outermost:
            limits.closed = True
        if limits.dropped:
            active.set(dropped=limits.dropped)
        self._span = frozen(active.node)
        self._active = None

    @property
    def span(self) -> Span:
        """The span of the block; all other spans are below it."""
        if self._span is not None:
            return self._span
        if self._active is not None:
            return frozen(self._active.node)
        return Span("trace", "", {}, 0.0)

    @property
    def children(self) -> tuple[Span, ...]:
        """The operations in the block, and spans that belong to no operation."""
        return self.span.children

    @property
    def ms(self) -> float:
        """The duration of the block in milliseconds."""
        return self.span.ms

    def __repr__(self) -> str:
        count = len(self.children)
        return f"<trace of {count} span{'' if count == 1 else 's'}, {self.ms:.1f} ms>"


def trace() -> Trace:
    """Record the plans, statements, calls, searches and commits of a `with` block.

    The trace includes the threads that work for an operation. It contains no secrets and no values
    of cells: statements have `?` in place of values, and errors are recorded by their type. With
    the environment variable `BARBULE_TRACE=1`, each operation prints its tree to standard error
    when it ends.

    Returns
    -------
    Trace
        A context manager that is printed as a tree. `find(kind)` and `count(kind)` search it, and
        `to_json()` returns it for a report.

    Examples
    --------
    >>> import barbule as bb
    >>> films = bb.create_table("films", {"name": bb.String})
    >>> with bb.trace() as t:
    ...     _ = films.insert(name="Up")
    >>> t.count("commit"), [span.name for span in t.children]
    (1, ['insert'])
    >>> t.find("commit")[0].attributes["rows"]["films"]
    1
    >>> print(t)
    trace  [...]
    └─ operation insert  [tables films, ...]
    ...
    """
    return Trace()
