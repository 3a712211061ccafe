"""Spans as data: a frozen tree of what ran, counted, searched, and written as JSON.

Owns the kinds of spans and the counts that the spans of each kind have.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from barbule.errors import ExpressionError
from barbule.tracing.tree import html_tree, text_tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["COUNTS", "Span", "SpanTree"]

COUNTS: dict[str, tuple[str, ...]] = {
    "operation": (),
    "plan": ("stages",),
    "schema": (),
    "statement": ("rows", "bytes"),
    "calls": ("rows", "calls", "requests", "hits", "errors", "deferred"),
    "ledger": ("keys", "found", "rows"),
    "search": ("rows",),
    "sync": ("rows",),
    "view": (),
    "convert": ("rows", "bytes"),
    "commit": (),
    "trace": (),
}
"""The kinds of spans, and the counts of each kind: they are 0 if nothing was counted."""


class SpanTree:
    """The methods that spans and traces share."""

    __slots__ = ()

    if TYPE_CHECKING:

        @property
        def span(self) -> Span:
            """The span at the root."""

    def find(self, kind: str, name: str | None = None) -> tuple[Span, ...]:
        """Return the spans of a kind at all levels below this one, in order.

        Parameters
        ----------
        kind
            "operation", "calls", "commit" and so on.
        name
            Only spans with this name. The name of a function may omit its module.

        Raises
        ------
        ExpressionError
            If there is no such kind of span.
        """
        below = tuple(_below(self.span))
        if kind not in COUNTS:
            _check_kind(kind, below)
        return tuple(
            span for span in below if span.kind == kind and (name is None or _is_named(span, name))
        )

    def count(self, kind: str, name: str | None = None) -> int:
        """Return the number of spans that `find` returns.

        Parameters
        ----------
        kind, name
            As in `find`.

        Raises
        ------
        ExpressionError
            If there is no such kind of span.
        """
        return len(self.find(kind, name))

    def to_json(self) -> str:
        """Return the tree as JSON; each span has `kind`, `name`, `ms`, `attributes`, `children`."""
        return json.dumps(_as_json(self.span), ensure_ascii=False)

    def __str__(self) -> str:
        return text_tree(self.span)

    def _repr_html_(self) -> str:
        return html_tree(self.span)


@dataclass(frozen=True, repr=False)
class Span(SpanTree):
    """One step of an operation, with its time and the steps within it.

    Attributes
    ----------
    kind
        "operation", "plan", "statement", "calls", "ledger", "search", "sync", "view", "commit" …
    name
        The name of the method, function, index and so on.
    attributes
        Counts and names, but no values of cells.
    ms
        The duration in milliseconds.
    children
        The spans within it, in the order in which they began.
    """

    kind: str
    name: str
    attributes: Mapping[str, Any]
    ms: float
    children: tuple[Span, ...] = ()

    @property
    def span(self) -> Span:
        """The span itself."""
        return self

    def __repr__(self) -> str:
        return f"<span {self.kind} {self.name}: {self.ms:.1f} ms, {len(self.children)} children>"


def _check_kind(kind: str, spans: Iterable[Span]) -> None:
    """Refuse a kind that no span can have."""
    if kind in {span.kind for span in spans}:
        return
    kinds = [name for name in COUNTS if name != "trace"]
    close = difflib.get_close_matches(str(kind), kinds, n=1)
    suggestion = f"Did you mean {close[0]!r}? " if close else ""
    raise ExpressionError(
        f"there is no kind of span {kind!r}.", hint=f"{suggestion}Kinds are {', '.join(kinds)}."
    )


def _is_named(span: Span, name: str) -> bool:
    if span.name == name:
        return True
    return span.kind == "calls" and span.name.endswith(f".{name}")


def _below(span: Span) -> Iterator[Span]:
    for child in span.children:
        yield child
        yield from _below(child)


def _as_json(span: Span) -> dict[str, Any]:
    attributes = {
        name: dict(value) if hasattr(value, "items") else value
        for name, value in span.attributes.items()
    }
    return {
        "kind": span.kind,
        "name": span.name,
        "ms": round(span.ms, 3),
        "attributes": attributes,
        "children": [_as_json(child) for child in span.children],
    }
