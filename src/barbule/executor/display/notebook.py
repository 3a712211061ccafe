"""Rows in a notebook: an HTML table with thumbnails, players and errors.

Owns the table around the cells, and that no function or model is called for it. `media.previews`
renders media. All data is escaped.
"""

from __future__ import annotations

import functools
import html
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from barbule.executor.display.preview import Preview, cell_text, first_rows
from barbule.media.previews import STYLE, error_html, media_html
from barbule.nodes import CALLING_NODES
from barbule.types import Media, declaration, holds_media

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import ibis.expr.schema as sch
    import ibis.expr.types as ir

    from barbule.executor.display.preview import Reason
    from barbule.executor.display.query_source import QuerySource
    from barbule.media.library import MediaLibrary

__all__ = ["query_html", "rows_html"]

_MAX_CHARACTERS = 600
_MAX_ITEMS = 4
_MAX_EMBEDDED_BYTES = 8 << 20  # of all files in a table; more would make notebooks too large
_STYLE = f"""<style>
.barbule {{overflow-x:auto;font:13px/1.45 system-ui,-apple-system,"Segoe UI",sans-serif}}
.barbule table {{border-collapse:collapse;margin:0;border:0;table-layout:auto}}
.barbule th,.barbule td {{padding:6px 12px;text-align:left;vertical-align:top;border:0}}
.barbule th,.barbule tr {{background:none}}
.barbule th {{vertical-align:bottom;font-weight:600;border-bottom:2px solid rgba(128,128,128,.45)}}
.barbule td {{border-bottom:1px solid rgba(128,128,128,.18)}}
.barbule tbody tr:hover td {{background:rgba(128,128,128,.07)}}
.barbule .type,.barbule .dim,.barbule .note,.barbule .null {{color:#8a8a8a;font-weight:400}}
.barbule .type {{font-size:11px;display:block;max-width:16em}}
.barbule .type {{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}}
.barbule .title {{font-weight:600;margin:0 0 6px}}
.barbule .note {{margin:6px 0 0}}
.barbule .null {{font-size:11px;letter-spacing:.04em}}
.barbule .number {{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}}
.barbule .text {{width:max-content;max-width:32em;max-height:8.7em;overflow:auto}}
.barbule .text {{white-space:pre-wrap;overflow-wrap:anywhere}}
.barbule .code {{font:12px/1.45 ui-monospace,Menlo,Consolas,monospace}}
.barbule .items {{display:flex;flex-wrap:wrap;gap:6px;align-items:flex-end}}
.barbule .items img {{max-width:72px;height:auto}}
.barbule .fields td {{padding:1px 8px 1px 0;border:0;font-size:11px}}
{STYLE}</style>"""


def rows_html(preview: Preview, library: MediaLibrary) -> str:
    """Render rows as a table; `library` opens media cells."""
    media = sum(map(holds_media, preview.schema.types)) * preview.rows.num_rows
    max_bytes = _MAX_EMBEDDED_BYTES // max(media, 1)
    draw = functools.partial(media_html, library=library, max_bytes=max_bytes)
    columns = []
    for _, dtype, cells in preview.columns():
        tag = '<td class="number">' if declaration(dtype).display == "number" else "<td>"
        columns.append(
            [f"{tag}{_cell(value, reason, dtype, draw)}</td>" for value, reason in cells]
        )
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in zip(*columns, strict=True))
    return _framed(
        f"{_head(preview.schema, preview.types)}<tbody>{body}</tbody>", preview.title, preview.note
    )


def query_html(source: QuerySource, query: ir.Table) -> str:
    """Render the first rows of a query; if it calls functions, only its columns.

    Failed cells show the error.
    """
    if query.op().find(CALLING_NODES):
        return _framed(
            _head(query.schema()),
            note="This query calls functions, so the preview does not run it. "
            "<code>.collect()</code> runs it; <code>.explain()</code> shows the calls that "
            "it would make.",
            escaped=True,
        )
    return rows_html(first_rows(source, query), source.library)


def _framed(table: str, title: str = "", note: str = "", *, escaped: bool = False) -> str:
    heading = f'<p class="title">{html.escape(title)}</p>' if title else ""
    footer = f'<p class="note">{note if escaped else html.escape(note)}</p>' if note else ""
    return f'{_STYLE}<div class="barbule">{heading}<table>{table}</table>{footer}</div>'


def _head(schema: sch.Schema, types: Mapping[str, str] | None = None) -> str:
    type_texts = {name: html.escape(str(dtype)) for name, dtype in schema.items()}
    type_texts |= {name: html.escape(text) for name, text in (types or {}).items()}
    heads = "".join(
        f"<th{_class(dtype)}>{html.escape(name)}"
        f'<span class="type" title="{type_texts[name]}">{type_texts[name]}</span></th>'
        for name, dtype in schema.items()
    )
    return f"<thead><tr>{heads}</tr></thead>"


def _class(dtype: dt.DataType) -> str:
    return ' class="number"' if declaration(dtype).display == "number" else ""


def _cell(
    value: Any, reason: Reason | None, dtype: dt.DataType, draw: Callable[[str, Media], str]
) -> str:
    if value is None and reason is not None:
        return error_html(reason["message"], reason["type"])
    if value is None:
        return '<span class="null">NULL</span>'
    if isinstance(dtype, Media):
        return draw(value, dtype)
    if isinstance(dtype, dt.Array) and holds_media(dtype):
        return _items(value, dtype, draw)
    if isinstance(dtype, dt.Struct) and holds_media(dtype):
        rows = (
            f'<tr><td class="dim">{html.escape(name)}</td>'
            f"<td>{_cell(value[name], None, field_dtype, draw)}</td></tr>"
            for name, field_dtype in dtype.fields.items()
        )
        return f'<table class="fields">{"".join(rows)}</table>'
    return _text(cell_text(value, dtype), dtype)


def _items(values: list[Any], dtype: dt.Array, draw: Callable[[str, Media], str]) -> str:
    """Render the first of a list of media, and the number of further ones."""
    items = [_cell(value, None, dtype.value_type, draw) for value in values[:_MAX_ITEMS]]
    more = len(values) - len(items)
    note = f'<span class="dim">and {more:,} more</span>' if more > 0 else ""
    return f'<div class="items">{"".join(items)}{note}</div>'


def _text(text: str, dtype: dt.DataType) -> str:
    display = declaration(dtype).display
    if display in {"number", "boolean"}:
        return html.escape(text)
    shortened = text if len(text) <= _MAX_CHARACTERS else text[: _MAX_CHARACTERS - 1] + "…"
    code = " code" if display == "code" else ""
    return f'<div class="text{code}">{html.escape(shortened)}</div>'
