"""The display of a tree of spans in a terminal and in a notebook.

Owns the lines. Equal spans that follow each other share a line, which shows their number.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["html_tree", "text_tree"]


class Span(Protocol):
    """What is shown of a span, see `spans.Span`."""

    @property
    def kind(self) -> str:
        """The kind of the span."""

    @property
    def name(self) -> str:
        """The name of the span."""

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The attributes by name."""

    @property
    def ms(self) -> float:
        """How many milliseconds it took."""

    @property
    def children(self) -> Sequence[Span]:
        """The spans within it."""


_MAX_STATEMENT = 100
_SHOWN_ZEROS = {  # other counts are shown only if they are not zero
    "calls": ("rows", "calls"),
    "convert": ("rows",),
    "search": ("rows",),
    "sync": ("rows",),
}
_STYLE = "font-family: monospace; white-space: pre-wrap; margin-left: 1.2em"


def text_tree(span: Span) -> str:
    """Return a line for each span, indented as they are nested."""
    return "\n".join([_line([span]), *_lines(span.children, "")])


def html_tree(span: Span) -> str:
    """Return nested elements that can be folded."""
    return f'<div style="{_STYLE}">{_element([span])}</div>'


def _lines(spans: Sequence[Span], indent: str) -> Iterator[str]:
    groups = _groups(spans)
    for number, group in enumerate(groups, 1):
        last = number == len(groups)
        yield f"{indent}{'└─' if last else '├─'} {_line(group)}"
        yield from _lines(group[0].children, f"{indent}{'   ' if last else '│  '}")


def _element(group: list[Span]) -> str:
    line, children = html.escape(_line(group)), group[0].children
    if not children:
        return f"<div>{line}</div>"
    inner = "".join(map(_element, _groups(children)))
    return f'<details open><summary>{line}</summary><div style="{_STYLE}">{inner}</div></details>'


def _groups(spans: Sequence[Span]) -> list[list[Span]]:
    """Group equal spans that follow each other; spans with children are not grouped."""
    groups: list[list[Span]] = []
    for span in spans:
        if groups and not span.children and _same(groups[-1][-1], span):
            groups[-1].append(span)
        else:
            groups.append([span])
    return groups


def _same(one: Span, other: Span) -> bool:
    texts = [
        {key: value for key, value in span.attributes.items() if not _is_number(value)}
        for span in (one, other)
    ]
    return (not one.children and (one.kind, one.name) == (other.kind, other.name)) and texts[
        0
    ] == texts[1]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _line(group: list[Span]) -> str:
    span = group[0]
    attributes = dict(span.attributes)
    for other in group[1:]:
        for key, value in other.attributes.items():
            if _is_number(value):
                attributes[key] = attributes.get(key, 0) + value
    statement = attributes.pop("sql", None)
    head = span.name if statement is not None else f"{span.kind} {span.name}".rstrip()
    if statement is not None:
        head = statement if len(statement) <= _MAX_STATEMENT else f"{statement[:_MAX_STATEMENT]}…"
    if len(group) > 1:
        head = f"{len(group)} × {head}"
    ms = sum(each.ms for each in group)
    details = ", ".join(_described(attributes, _SHOWN_ZEROS.get(span.kind, ())))
    return f"{head}  [{f'{details}, ' if details else ''}{ms:.1f} ms]"


def _described(attributes: Mapping[str, Any], zeros: Sequence[str]) -> Iterator[str]:
    for key, value in attributes.items():
        if isinstance(value, bool):
            if value:
                yield key
        elif _is_number(value) and not value and key not in zeros:
            continue
        elif hasattr(value, "items"):
            yield f"{key} " + ", ".join(f"{name}: {count}" for name, count in value.items())
        elif isinstance(value, tuple):
            yield f"{key} " + ", ".join(map(str, value))
        elif key == "reason" and "path" in attributes:
            continue  # shown with the path
        elif key == "path" and "reason" in attributes:
            yield f"{key} {value} ({attributes['reason']})"
        else:
            yield f"{key} {value}"
