"""How rows look in a notebook: a table in HTML, with thumbnails, players and errors.

Owns the table around the cells, and that no function or model is called to be shown. How media
are drawn is `media.previews`' business. Everything that comes from data is escaped.
"""

from __future__ import annotations

import functools
import html
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from barbule.executor.display.preview import Shown, cell_text, first_rows
from barbule.media.previews import STYLE, error_html, media_html
from barbule.nodes import CALLING_NODES
from barbule.types import Media
from barbule.values.cells import holds_media

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import ibis.expr.schema as sch
    import ibis.expr.types as ir

    from barbule.executor.display.preview import Reason
    from barbule.executor.engine import Engine
    from barbule.media.library import MediaLibrary

__all__ = ["query_html", "rows_html"]

_MOST_CHARACTERS = 600
_MOST_ITEMS = 4
_EMBEDDED = 8 << 20  # bytes of all files in a table; more would make notebooks heavy
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


def rows_html(shown: Shown, library: MediaLibrary) -> str:
    """Draw rows as a table; `library` opens media cells."""
    media = sum(map(holds_media, shown.schema.types)) * shown.rows.num_rows
    most = _EMBEDDED // max(media, 1)
    draw = functools.partial(media_html, library=library, max_bytes=most)
    columns = []
    for _, kind, cells in shown.columns():
        tag = '<td class="number">' if kind.is_numeric() else "<td>"
        columns.append([f"{tag}{_cell(value, why, kind, draw)}</td>" for value, why in cells])
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in zip(*columns, strict=True))
    return _framed(
        f"{_head(shown.schema, shown.types)}<tbody>{body}</tbody>", shown.title, shown.note
    )


def query_html(engine: Engine, query: ir.Table) -> str:
    """Draw the first rows of a query; of one that calls functions, its columns alone.

    Where a column holds cells that failed, they show why.
    """
    if query.op().find(CALLING_NODES):
        return _framed(
            _head(query.schema()),
            note="This query calls functions, so it is not run to be shown: <code>.collect()</code>"
            " runs it, <code>.explain()</code> says what it asks.",
            escaped=True,
        )
    return rows_html(first_rows(engine, query), engine.library)


def _framed(table: str, title: str = "", note: str = "", *, escaped: bool = False) -> str:
    above = f'<p class="title">{html.escape(title)}</p>' if title else ""
    below = f'<p class="note">{note if escaped else html.escape(note)}</p>' if note else ""
    return f'{_STYLE}<div class="barbule">{above}<table>{table}</table>{below}</div>'


def _head(schema: sch.Schema, types: Mapping[str, str] | None = None) -> str:
    said = {name: html.escape(str(kind)) for name, kind in schema.items()}
    said |= {name: html.escape(text) for name, text in (types or {}).items()}
    heads = "".join(
        f"<th{_class(kind)}>{html.escape(name)}"
        f'<span class="type" title="{said[name]}">{said[name]}</span></th>'
        for name, kind in schema.items()
    )
    return f"<thead><tr>{heads}</tr></thead>"


def _class(kind: dt.DataType) -> str:
    return ' class="number"' if kind.is_numeric() else ""


def _cell(
    value: Any, reason: Reason | None, kind: dt.DataType, draw: Callable[[str, Media], str]
) -> str:
    if value is None and reason is not None:
        return error_html(reason["message"], reason["type"])
    if value is None:
        return '<span class="null">NULL</span>'
    if isinstance(kind, Media):
        return draw(value, kind)
    if isinstance(kind, dt.Array) and holds_media(kind):
        return _items(value, kind, draw)
    if isinstance(kind, dt.Struct) and holds_media(kind):
        rows = (
            f'<tr><td class="dim">{html.escape(name)}</td>'
            f"<td>{_cell(value[name], None, each, draw)}</td></tr>"
            for name, each in kind.fields.items()
        )
        return f'<table class="fields">{"".join(rows)}</table>'
    return _text(cell_text(value, kind), kind)


def _items(values: list[Any], kind: dt.Array, draw: Callable[[str, Media], str]) -> str:
    """Draw the first of a list of media, and say how many more there are."""
    shown = [_cell(each, None, kind.value_type, draw) for each in values[:_MOST_ITEMS]]
    more = len(values) - len(shown)
    rest = f'<span class="dim">and {more:,} more</span>' if more > 0 else ""
    return f'<div class="items">{"".join(shown)}{rest}</div>'


def _text(text: str, kind: dt.DataType) -> str:
    if kind.is_numeric() or kind.is_boolean():
        return html.escape(text)
    cut = text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"
    code = " code" if kind.is_json() or kind.is_nested() else ""
    return f'<div class="text{code}">{html.escape(cut)}</div>'
