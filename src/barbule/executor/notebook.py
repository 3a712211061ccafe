"""How rows look in a notebook: a table in HTML, with thumbnails, players and errors.

Owns the table around the cells, and which rows of a query are shown: none that a function or model
would be called for. How media are drawn is `media.previews`' business. Everything that comes
from data is escaped.
"""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

from barbule.errors import UnsupportedError
from barbule.media.previews import error_html, media_html
from barbule.nodes import ASKING, CellError
from barbule.planner.lineage import origin
from barbule.types import Media

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.schema as sch
    import ibis.expr.types as ir
    import pyarrow as pa

    from barbule.executor.engine import Engine
    from barbule.media.library import MediaLibrary

__all__ = ["SHOWN_ROWS", "query_html", "rows_html"]

SHOWN_ROWS = 20
_ERROR = "bb_error_"
_MOST_CHARACTERS = 160
_MOST_NUMBERS = 4
_CELL = "text-align:left;vertical-align:top"
_DIM = "color:#888;font-weight:normal"


def rows_html(
    rows: pa.Table,
    schema: sch.Schema,
    library: MediaLibrary,
    *,
    caption: str | None = None,
    reasons: Mapping[str, list[dict[str, str] | None]] | None = None,
) -> str:
    """Draw rows as a table.

    Parameters
    ----------
    rows
        The rows to show, in storage form.
    schema
        Their columns as users see them.
    library
        Opens media cells.
    caption
        A line below the table.
    reasons
        For columns of which cells failed: the error of each row, or None.
    """
    columns = []
    for name, kind in schema.items():
        cells = rows.column(name).to_pylist()
        why = (reasons or {}).get(name, [None] * len(cells))
        shown = [_cell(c, w, kind, library) for c, w in zip(cells, why, strict=True)]
        columns.append([f'<td style="{_CELL}">{cell}</td>' for cell in shown])
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in zip(*columns, strict=True))
    foot = f"<p>{html.escape(caption)}</p>" if caption else ""
    return f"<table>{_head(schema)}<tbody>{body}</tbody></table>{foot}"


def query_html(engine: Engine, query: ir.Table) -> str:
    """Draw the first rows of a query; of one that calls functions, its columns alone.

    Where a column holds cells that failed, they show why.
    """
    relation, schema = query.op(), query.schema()
    if relation.find(ASKING):
        return (
            f"<table>{_head(schema)}</table><p>This query calls functions, so it is not run to be "
            "shown: <code>.collect()</code> runs it, <code>.explain()</code> says what it asks.</p>"
        )
    failing = _failing(engine, relation)
    try:
        rows = engine.arrow(_with_reasons(relation, failing))
    except UnsupportedError:  # the errors lie beneath a join or the like
        failing = []
        rows = engine.arrow(_with_reasons(relation, failing))
    more = rows.num_rows > SHOWN_ROWS
    rows = rows.slice(0, SHOWN_ROWS)
    reasons = {name: rows.column(f"{_ERROR}{name}").to_pylist() for name in failing}
    caption = f"The first {SHOWN_ROWS} rows." if more else None
    return rows_html(rows, schema, engine.library, caption=caption, reasons=reasons)


def _failing(engine: Engine, relation: ops.Relation) -> list[str]:
    """Name the columns that are stored columns which can fail."""
    found = []
    for name in relation.schema.names:
        place = origin(ops.Field(relation, name))
        if place is not None and engine.errors_of(*place):
            found.append(name)
    return found


def _with_reasons(relation: ops.Relation, failing: list[str]) -> ir.Table:
    fields = {name: ops.Field(relation, name) for name in relation.schema.names}
    reasons = {f"{_ERROR}{name}": CellError(fields[name]) for name in failing}
    shown = ops.Project(relation, {**fields, **reasons}) if failing else relation
    return shown.to_expr().limit(SHOWN_ROWS + 1)


def _head(schema: sch.Schema) -> str:
    heads = "".join(
        f'<th style="{_CELL}">{html.escape(name)}<br>'
        f'<span style="{_DIM}">{html.escape(str(kind))}</span></th>'
        for name, kind in schema.items()
    )
    return f"<thead><tr>{heads}</tr></thead>"


def _cell(
    value: Any, reason: Mapping[str, str] | None, kind: dt.DataType, library: MediaLibrary
) -> str:
    if value is None:
        if reason is not None:
            return error_html(f"{reason['type']}: {reason['message']}")
        return f'<span style="{_DIM}">NULL</span>'
    if isinstance(kind, Media):
        return media_html(value, kind, library)
    return html.escape(_text(value, kind))


def _text(value: Any, kind: dt.DataType) -> str:
    if isinstance(kind, dt.Array) and kind.value_type.is_floating() and len(value) > _MOST_NUMBERS:
        first = ", ".join(f"{each:.4g}" for each in value[:_MOST_NUMBERS] if each is not None)
        return f"[{first}, … ({len(value)})]"
    if isinstance(value, dict | list):
        text = json.dumps(value, ensure_ascii=False, default=str)
    elif isinstance(value, bytes):
        text = f"{len(value)} bytes"
    else:
        text = str(value)
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"
