"""The differences between two versions, in a terminal or a page.

Owns which rows and columns are displayed, and how a changed value is written: old → new. `versions`
computes the differences.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt
import ibis.expr.schema as sch

from barbule.executor.display.notebook import rows_html
from barbule.executor.display.preview import PREVIEW_ROWS, Preview, cell_text
from barbule.executor.display.terminal import rows_text
from barbule.media.previews import media_name
from barbule.types import declaration
from barbule.versions import DIFFERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import ibis.expr.types as ir
    import pyarrow as pa

    from barbule.executor.display.query_source import QuerySource
    from barbule.versions import Diff

__all__ = ["diff_html", "diff_text"]

_MAX_CHARACTERS = 34  # of a value next to another
_COMMON_CHARACTERS = 12  # of these, those before the first difference


def diff_text(source: QuerySource, diff: Diff) -> str:
    """Write the first rows of each kind below one another."""
    heading, parts = _read(source, diff)
    return "\n".join([heading, *map(rows_text, parts)])


def diff_html(source: QuerySource, diff: Diff) -> str:
    """Render the first rows of each kind below one another."""
    heading, parts = _read(source, diff)
    tables = (rows_html(part, source.library) for part in parts)
    return "\n".join([f"<pre>{html.escape(heading)}</pre>", *tables])


def _read(source: QuerySource, diff: Diff) -> tuple[str, list[Preview]]:
    counts = diff.counts()
    parts = [
        _rows(source, rows, f"{name}: {counts[name]:,}", counts[name])
        for name, rows in (("added", diff.added), ("removed", diff.removed))
        if counts[name]
    ]
    if counts["changed"] and diff.marked is not None:
        parts.append(_changes(source, diff.marked, counts["changed"]))
    return diff.heading(counts), parts


def _more_note(count: int) -> str:
    return f"and {count - PREVIEW_ROWS:,} more" if count > PREVIEW_ROWS else ""


def _rows(source: QuerySource, rows: ir.Table, title: str, count: int) -> Preview:
    first = source.arrow(rows.limit(PREVIEW_ROWS))
    return Preview(first, rows.schema(), title=title, note=_more_note(count))


def _changes(source: QuerySource, marked: ir.Table, count: int) -> Preview:
    """Return the changed rows: the changed columns, after one that identifies the rows."""
    import pyarrow as pa

    schema = marked.schema()
    first = source.arrow(marked.limit(PREVIEW_ROWS))
    names = [name.removeprefix(DIFFERS) for name in schema.names if name.startswith(DIFFERS)]
    changed = [name for name in names if any(_cells(first, f"{DIFFERS}{name}"))]
    unchanged = [name for name in names if name not in changed]
    identifying = [name for name in unchanged if _is_identifying(schema[f"{name}_new"])][:1]
    columns = {name: list(_texts(first, schema, name)) for name in [*identifying, *changed]}
    texts = sch.Schema(dict.fromkeys(columns, dt.string))
    types = {name: _types(schema[f"{name}_old"], schema[f"{name}_new"]) for name in columns}
    rows = pa.table(columns, texts.to_pyarrow())
    return Preview(rows, texts, title=f"changed: {count:,}", note=_more_note(count), types=types)


def _is_identifying(dtype: dt.DataType) -> bool:
    """Whether people can identify a row by the values of a type."""
    return declaration(dtype).display in {"text", "number", "boolean"}


def _types(old: dt.DataType, new: dt.DataType) -> str:
    return str(new) if old == new else f"{old} → {new}"


def _texts(rows: pa.Table, schema: sch.Schema, name: str) -> Iterator[str]:
    pairs = zip(_cells(rows, f"{name}_old"), _cells(rows, f"{name}_new"), strict=True)
    differs = _cells(rows, f"{DIFFERS}{name}")
    dtypes = schema[f"{name}_old"], schema[f"{name}_new"]
    for (old, new), is_different in zip(pairs, differs, strict=True):
        old_text, new_text = _text(old, dtypes[0]), _text(new, dtypes[1])
        yield " → ".join(_excerpts(old_text, new_text)) if is_different else new_text


def _excerpts(old: str, new: str) -> tuple[str, str]:
    """Cut two long texts around their first difference, so that both fit into a cell."""
    if max(len(old), len(new)) <= _MAX_CHARACTERS:
        return old, new
    pairs = enumerate(zip(old, new, strict=False))
    same = next((index for index, (left, right) in pairs if left != right), min(len(old), len(new)))
    start = max(same - _COMMON_CHARACTERS, 0)
    return _excerpt(old, start), _excerpt(new, start)


def _excerpt(text: str, start: int) -> str:
    end = start + _MAX_CHARACTERS
    return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"


def _cells(rows: pa.Table, name: str) -> list[Any]:
    cells: list[Any] = rows.column(name).to_pylist()
    return cells


def _text(value: Any, dtype: dt.DataType) -> str:
    if value is None:
        return "NULL"
    return media_name(value) if declaration(dtype).is_media else cell_text(value, dtype)
