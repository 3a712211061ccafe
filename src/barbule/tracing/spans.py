"""Spans as data: a frozen tree of what ran, counted, searched, and written as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from barbule.tracing.tree import html_tree, text_tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Span", "SpanTree"]


class SpanTree:
    """What spans and traces share: a part of a tree that is counted, searched and shown."""

    __slots__ = ()

    if TYPE_CHECKING:

        @property
        def span(self) -> Span:
            """The span at the root."""

    def find(self, kind: str, name: str | None = None) -> tuple[Span, ...]:
        """Return the spans below of a kind, and of a name where one is given, in their order."""
        return tuple(
            span
            for span in _below(self.span)
            if span.kind == kind and (name is None or span.name == name)
        )

    def count(self, kind: str, name: str | None = None) -> int:
        """Return how many spans below are of a kind, and of a name where one is given."""
        return len(self.find(kind, name))

    def to_json(self) -> str:
        """Return the tree as JSON: of each span `kind`, `name`, `ms`, `attributes`, `children`."""
        return json.dumps(_as_json(self.span), ensure_ascii=False)

    def __str__(self) -> str:
        return text_tree(self.span)

    def _repr_html_(self) -> str:
        return html_tree(self.span)


@dataclass(frozen=True, repr=False)
class Span(SpanTree):
    """Something that ran: what, with which result, how long, and what ran within it.

    Attributes
    ----------
    kind
        "operation", "plan", "statement", "calls", "ledger", "search", "sync", "view", "commit" …
    name
        Of the verb, function, index and so on.
    attributes
        Counts and names; no values of cells.
    ms
        How long it took, in milliseconds.
    children
        What ran within it, in the order in which it began.
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
