"""The text of charts and diagrams in Office files.

Owns the rows of a chart and the order of a diagram's points. Other content of a slide or a page
belongs to its reader.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.media.documents.blocks import grid
from barbule.media.documents.office.package import RELATED, related_tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from docx.opc.part import Part
    from lxml.etree import _Element as Element

    from barbule.media.documents.blocks import Rows

__all__ = ["drawing_texts"]

_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
_CX = "{http://schemas.microsoft.com/office/drawing/2014/chartex}"
_DGM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}"
_CHART, _CHART_EX, _DIAGRAM = f"{_C}chart", f"{_CX}chart", f"{_DGM}relIds"
_PARENT_OF = {None, "parOf"}


def drawing_texts(element: Element, part: Part) -> Iterator[tuple[str, Rows | None]]:
    """Yield the texts of the charts and diagrams in an element, and the rows of the charts.

    Parameters
    ----------
    element
        What refers to them.
    part
        The part that holds it.
    """
    for drawing in element.iter(_CHART, _CHART_EX, _DIAGRAM):
        if drawing.tag == _DIAGRAM:
            tree = related_tree(part, drawing.get(f"{RELATED}dm"))
            text = "\n".join(_diagram_texts(tree)) if tree is not None else ""
            rows: Rows | None = None
        else:
            tree = related_tree(part, drawing.get(f"{RELATED}id"))
            if tree is None:
                continue
            rows = tuple(_chart_rows(tree) if drawing.tag == _CHART else _chart_ex_rows(tree))
            text = "\n".join(line for line in (*_titles(tree), grid(rows)) if line)
        if text:
            yield text, rows


def _paragraphs(element: Element) -> Iterator[str]:
    for paragraph in element.iter(f"{_A}p"):
        if text := " ".join("".join(run.text or "" for run in paragraph.iter(f"{_A}t")).split()):
            yield text


def _titles(chart: Element) -> Iterator[str]:
    """Yield the titles of a chart and of its axes."""
    for title in chart.iter(f"{_C}title", f"{_CX}title"):
        yield from _paragraphs(title)


def _chart_rows(chart: Element) -> Iterator[tuple[str, ...]]:
    """Yield the names of the series, then the values of each category."""
    all_series = list(chart.iter(f"{_C}ser"))
    names = [" ".join(_values(series.find(f"{_C}tx")).values()) for series in all_series]
    columns = [_values(series.find(f"{_C}val"), series.find(f"{_C}yVal")) for series in all_series]
    categories: dict[int, str] = {}
    for series in all_series:
        for index, name in _values(series.find(f"{_C}cat"), series.find(f"{_C}xVal")).items():
            categories.setdefault(index, name)
    yield from _table(names, categories, columns)


def _chart_ex_rows(chart: Element) -> Iterator[tuple[str, ...]]:
    all_series = list(chart.iter(f"{_CX}series"))
    names = [
        " ".join(value.text or "" for value in series.iter(f"{_CX}v")) for series in all_series
    ]
    columns = [_values(series) for series in chart.iter(f"{_CX}numDim")]
    words = next(chart.iter(f"{_CX}strDim"), None)
    yield from _table([*names, *[""] * (len(columns) - len(names))], _values(words), columns)


def _table(
    names: list[str], categories: dict[int, str], columns: list[dict[int, str]]
) -> Iterator[tuple[str, ...]]:
    if any(names):
        yield ("", *names)
    indexes = sorted({*categories, *(index for column in columns for index in column)})
    for index in indexes:
        yield (categories.get(index, ""), *(column.get(index, "") for column in columns))


def _values(*elements: Element | None) -> dict[int, str]:
    """Return the points of the first element that is not None, by their indexes."""
    element = next((candidate for candidate in elements if candidate is not None), None)
    if element is None:
        return {}
    # Of names on several levels the first is that of the points.
    level = next(element.iter(f"{_C}lvl", f"{_CX}lvl"), element)
    values: dict[int, str] = {}
    for count, point in enumerate(level.iter(f"{_C}pt", f"{_CX}pt")):
        index, value = point.get("idx", ""), point.find(f"{_C}v")
        text = (point if value is None else value).text or ""
        values[int(index) if index.isdecimal() else count] = " ".join(text.split())
    return values


def _diagram_texts(diagram: Element) -> Iterator[str]:
    """Yield the texts of a diagram, each point before those below it."""
    points = {point.get("modelId"): point for point in diagram.iter(f"{_DGM}pt")}
    children: dict[str | None, list[tuple[int, str | None]]] = {}
    for link in diagram.iter(f"{_DGM}cxn"):
        if link.get("type") in _PARENT_OF:
            order = link.get("srcOrd") or "0"
            position = int(order) if order.isdecimal() else 0
            children.setdefault(link.get("srcId"), []).append((position, link.get("destId")))
    roots = [name for name, point in points.items() if point.get("type") == "doc"]
    for name in _depth_first([*roots, *points], children):
        if name in points:
            yield from (
                text for element in points[name].iter(f"{_DGM}t") for text in _paragraphs(element)
            )


def _depth_first(
    roots: Iterable[str | None], children_by_parent: dict[str | None, list[tuple[int, str | None]]]
) -> Iterator[str | None]:
    visited: set[str | None] = set()
    stack = list(roots)[::-1]
    while stack:
        name = stack.pop()
        if name not in visited:
            visited.add(name)
            yield name
            children = sorted(children_by_parent.get(name, []), key=lambda child: child[0])
            stack.extend(child for _, child in reversed(children))
