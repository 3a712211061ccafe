"""What is shown of the differences between two versions, in a terminal or a page.

Owns which rows and columns these are, and how a value that changed is written: old → new. What
differs is found by `versions`.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt
import ibis.expr.schema as sch

from barbule.executor.display.notebook import rows_html
from barbule.executor.display.preview import SHOWN_ROWS, Shown, cell_text
from barbule.executor.display.terminal import rows_text
from barbule.media.previews import media_name
from barbule.types import Media
from barbule.values.cells import holds_media
from barbule.versions import DIFFERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import ibis.expr.types as ir
    import pyarrow as pa

    from barbule.executor.engine import Engine
    from barbule.versions import Diff

__all__ = ["diff_html", "diff_text"]

_LONGEST = 34  # characters of a value beside another
_BEFORE = 12  # of these, what both have before they differ


def diff_text(engine: Engine, diff: Diff) -> str:
    """Write the first rows of each kind below one another."""
    heading, parts = _read(engine, diff)
    return "\n".join([heading, *map(rows_text, parts)])


def diff_html(engine: Engine, diff: Diff) -> str:
    """Draw the first rows of each kind below one another."""
    heading, parts = _read(engine, diff)
    drawn = (rows_html(part, engine.library) for part in parts)
    return "\n".join([f"<pre>{html.escape(heading)}</pre>", *drawn])


def _read(engine: Engine, diff: Diff) -> tuple[str, list[Shown]]:
    counts = diff.counts()
    parts = [
        _rows(engine, rows, f"{name}: {counts[name]:,}", counts[name])
        for name, rows in (("added", diff.added), ("removed", diff.removed))
        if counts[name]
    ]
    if counts["changed"] and diff.marked is not None:
        parts.append(_changes(engine, diff.marked, counts["changed"]))
    return diff.heading(counts), parts


def _more(count: int) -> str:
    return f"and {count - SHOWN_ROWS:,} more" if count > SHOWN_ROWS else ""


def _rows(engine: Engine, rows: ir.Table, title: str, count: int) -> Shown:
    first = engine.arrow(rows.limit(SHOWN_ROWS))
    return Shown(first, rows.schema(), title=title, note=_more(count))


def _changes(engine: Engine, marked: ir.Table, count: int) -> Shown:
    """Lay out rows that changed: the columns that did, behind one that tells the rows apart."""
    import pyarrow as pa

    schema = marked.schema()
    first = engine.arrow(marked.limit(SHOWN_ROWS))
    names = [name.removeprefix(DIFFERS) for name in schema.names if name.startswith(DIFFERS)]
    changed = [name for name in names if any(_cells(first, f"{DIFFERS}{name}"))]
    told = [name for name in names if name not in changed and _tells(schema[f"{name}_new"])][:1]
    columns = {name: list(_texts(first, schema, name)) for name in [*told, *changed]}
    texts = sch.Schema(dict.fromkeys(columns, dt.string))
    types = {name: _types(schema[f"{name}_old"], schema[f"{name}_new"]) for name in columns}
    rows = pa.table(columns, texts.to_pyarrow())
    return Shown(rows, texts, title=f"changed: {count:,}", note=_more(count), types=types)


def _tells(kind: dt.DataType) -> bool:
    """Whether the values of a type may tell people which row it is."""
    return not (holds_media(kind) or kind.is_nested() or kind.is_json() or kind.is_binary())


def _types(old: dt.DataType, new: dt.DataType) -> str:
    return str(new) if old == new else f"{old} → {new}"


def _texts(rows: pa.Table, schema: sch.Schema, name: str) -> Iterator[str]:
    pairs = zip(_cells(rows, f"{name}_old"), _cells(rows, f"{name}_new"), strict=True)
    differs = _cells(rows, f"{DIFFERS}{name}")
    kinds = schema[f"{name}_old"], schema[f"{name}_new"]
    for (old, new), differ in zip(pairs, differs, strict=True):
        before, after = _text(old, kinds[0]), _text(new, kinds[1])
        yield " → ".join(_about_difference(before, after)) if differ else after


def _about_difference(old: str, new: str) -> tuple[str, str]:
    """Cut two long texts where they differ, so that both fit into a cell."""
    if max(len(old), len(new)) <= _LONGEST:
        return old, new
    places = enumerate(zip(old, new, strict=False))
    same = next((place for place, (a, b) in places if a != b), min(len(old), len(new)))
    start = max(same - _BEFORE, 0)
    return _part(old, start), _part(new, start)


def _part(text: str, start: int) -> str:
    end = start + _LONGEST
    return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"


def _cells(rows: pa.Table, name: str) -> list[Any]:
    cells: list[Any] = rows.column(name).to_pylist()
    return cells


def _text(value: Any, kind: dt.DataType) -> str:
    if value is None:
        return "NULL"
    return media_name(value) if isinstance(kind, Media) else cell_text(value, kind)
