"""How rows look in a terminal, or in a log: a table of `rich`, as wide as there is room.

Owns how many columns fit and how cells are written. Media are named, not opened. What is in a
cell is never markup, nor an order to the terminal.
"""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Any

from barbule.errors import printable
from barbule.executor.display.preview import cell_text
from barbule.media.previews import media_name
from barbule.types import Media

if TYPE_CHECKING:
    import ibis.expr.datatypes as dt
    from rich.console import Console, Group
    from rich.text import Text

    from barbule.executor.display.preview import Reason, Shown

__all__ = ["print_rows", "rows_table", "rows_text"]

_WIDTH = 120  # characters, where there is no terminal
_MOST_CHARACTERS = 80
_NARROWEST, _WIDEST = 6, 16  # what a column gets at least, by what is in it
_BORDERS = 3


def rows_table(shown: Shown, width: int) -> Group:
    """Make a table of rows, of the columns that fit.

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
        (printable(name), kind, [_cell(value, why, kind) for value, why in cells])
        for name, kind, cells in shown.columns()
    ]
    types = {printable(name): printable(said) for name, said in shown.types.items()}
    fitting = _fitting([_least(name, cells) for name, _, cells in columns], width)
    left = [name for name, _, _ in columns[fitting:]]
    rest = f"Too wide for {len(left)} more: {', '.join(left)}." if left else ""
    note = " ".join(filter(None, (shown.note, rest)))
    table = Table(box=box.ROUNDED)
    for name, kind, _ in columns[:fitting]:
        said = types.get(name, printable(str(kind)))
        head = Text(f"{name}\n", "bold").append(said, "dim not bold")
        table.add_column(head, justify="right" if kind.is_numeric() else "left", overflow="fold")
    for row in zip(*(cells for _, _, cells in columns[:fitting]), strict=True):
        table.add_row(*row)
    # Beside the table, not of it: there they would be broken at its width.
    above = [Text(printable(shown.title), "bold")] if shown.title else []
    return Group(*above, table, *([Text(printable(note), "dim")] if note else []))


def rows_text(shown: Shown) -> str:
    """Write rows as plain text, as wide as the terminal."""
    from io import StringIO

    from rich.console import Console

    text, width = StringIO(), _width()
    console = Console(file=text, width=width, no_color=True, force_jupyter=False)
    console.print(rows_table(shown, width))
    return "\n".join(line.rstrip() for line in text.getvalue().rstrip().splitlines())


def print_rows(shown: Shown) -> None:
    """Print rows, in colours where the terminal has them."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    console: Console = Console(width=None if terminal else _width(), force_jupyter=False)
    console.print(rows_table(shown, console.width))


def _width() -> int:
    return shutil.get_terminal_size((_WIDTH, 24)).columns


def _least(name: str, cells: list[Text]) -> int:
    longest = max((len(cell) for cell in cells), default=0)
    return min(max(len(name), min(longest, _WIDEST), _NARROWEST), _WIDEST + _NARROWEST)


def _fitting(least: list[int], width: int) -> int:
    """Count the columns for which there is room, at least one."""
    taken = 1
    for count, each in enumerate(least):
        taken += each + _BORDERS
        if taken > width:
            return max(count, 1)
    return len(least)


def _cell(value: Any, reason: Reason | None, kind: dt.DataType) -> Text:
    from rich.text import Text

    if value is None:
        if reason is not None:
            return Text(_cut(f"⚠ {reason['type']}: {reason['message']}"), "red")
        return Text("NULL", "dim italic")
    if isinstance(kind, Media):
        return Text(_cut(media_name(value)), "cyan")
    return Text(_cut(cell_text(value, kind)))


def _cut(text: str) -> str:
    text = printable(text)
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"
