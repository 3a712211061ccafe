"""Rows in a terminal, or in a log: a `rich` table with the width of the terminal.

Owns how many columns fit and how cells are written. Media are named, not opened. The text of a cell
is never interpreted as markup or escape sequences.
"""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Any, Literal

from barbule.errors import printable
from barbule.executor.display.preview import cell_text
from barbule.media.previews import media_name
from barbule.types import declaration

if TYPE_CHECKING:
    import ibis.expr.datatypes as dt
    from rich.console import Console, Group
    from rich.text import Text

    from barbule.executor.display.preview import Preview, Reason

__all__ = ["print_rows", "rows_table", "rows_text"]

_DEFAULT_WIDTH = 120  # characters, without a terminal
_MAX_CHARACTERS = 80
_MIN_COLUMN_WIDTH, _MAX_MIN_COLUMN_WIDTH = 6, 16  # bounds of the width of a column, from its cells
_BORDER_WIDTH = 3


def rows_table(preview: Preview, width: int) -> Group:
    """Create a table of rows with the columns that fit.

    Parameters
    ----------
    width
        Of the terminal, in characters.
    """
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    columns = [
        (printable(name), dtype, [_cell(value, reason, dtype) for value, reason in cells])
        for name, dtype, cells in preview.columns()
    ]
    types = {printable(name): printable(text) for name, text in preview.types.items()}
    count = _fitting_count([_min_width(name, cells) for name, _, cells in columns], width)
    omitted = [name for name, _, _ in columns[count:]]
    omission = f"Too wide for {len(omitted)} more: {', '.join(omitted)}." if omitted else ""
    note = " ".join(filter(None, (preview.note, omission)))
    table = Table(box=box.ROUNDED)
    for name, dtype, _ in columns[:count]:
        type_text = types.get(name, printable(str(dtype)))
        justify: Literal["right", "left"] = (
            "right" if declaration(dtype).display == "number" else "left"
        )
        head = Text(f"{name}\n", "bold").append(type_text, "dim not bold")
        table.add_column(head, justify=justify, overflow="fold")
    for row in zip(*(cells for _, _, cells in columns[:count]), strict=True):
        table.add_row(*row)
    # Outside the table, where they are not broken at its width.
    heading = [Text(printable(preview.title), "bold")] if preview.title else []
    footer = [Text(printable(note), "dim")] if note else []
    return Group(*heading, table, *footer)


def rows_text(preview: Preview) -> str:
    """Write rows as plain text, with the width of the terminal."""
    from io import StringIO

    from rich.console import Console

    text, width = StringIO(), _width()
    console = Console(file=text, width=width, no_color=True, force_jupyter=False)
    console.print(rows_table(preview, width))
    return "\n".join(line.rstrip() for line in text.getvalue().rstrip().splitlines())


def print_rows(preview: Preview) -> None:
    """Print rows, in colour if the terminal supports it."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    console: Console = Console(width=None if terminal else _width(), force_jupyter=False)
    console.print(rows_table(preview, console.width))


def _width() -> int:
    return shutil.get_terminal_size((_DEFAULT_WIDTH, 24)).columns


def _min_width(name: str, cells: list[Text]) -> int:
    longest = max((len(cell) for cell in cells), default=0)
    needed = max(len(name), min(longest, _MAX_MIN_COLUMN_WIDTH), _MIN_COLUMN_WIDTH)
    return min(needed, _MAX_MIN_COLUMN_WIDTH + _MIN_COLUMN_WIDTH)


def _fitting_count(min_widths: list[int], width: int) -> int:
    """Count the columns for which there is room, at least one."""
    required = 1
    for count, min_width in enumerate(min_widths):
        required += min_width + _BORDER_WIDTH
        if required > width:
            return max(count, 1)
    return len(min_widths)


def _cell(value: Any, reason: Reason | None, dtype: dt.DataType) -> Text:
    from rich.text import Text

    if value is None:
        if reason is not None:
            return Text(_cut(f"⚠ {reason['type']}: {reason['message']}"), "red")
        return Text("NULL", "dim italic")
    if declaration(dtype).is_media:
        return Text(_cut(media_name(value)), "cyan")
    return Text(_cut(cell_text(value, dtype)))


def _cut(text: str) -> str:
    text = printable(text)
    return text if len(text) <= _MAX_CHARACTERS else text[: _MAX_CHARACTERS - 1] + "…"
