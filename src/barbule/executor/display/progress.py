"""The progress display of long operations, in a terminal or in a notebook.

Owns what is counted, and how it is displayed. Nothing is displayed in a log, a file or a pipe, or
for short operations, and the display is cleared when the operation ends.
"""

from __future__ import annotations

import contextlib
import html
import importlib
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    import rich.progress as bars

__all__ = ["Meter", "Progress", "ProgressDisplay", "screen"]

_DELAY_SECONDS = 0.5  # before the first display
_REFRESH_SECONDS = 0.2  # between two displays
_SECONDS_PER_MINUTE, _MINUTES_PER_HOUR = 60, 60


@dataclass(slots=True)
class Meter:
    """Counts the calls of one function; any thread may count.

    Attributes
    ----------
    rows, total
        The completed rows, and all rows; None if their number is unknown.
    calls, hits
        Calls that were made, and answers from the ledger.
    usd
        The price of the calls, as far as it is known.
    """

    label: str = ""
    total: int | None = None
    rows: int = 0
    calls: int = 0
    hits: int = 0
    usd: float = 0.0
    started: float = field(default_factory=time.monotonic)

    def done(self, rows: int = 1) -> None:
        """Count rows for which a call has ended."""
        self.rows += rows
        self.calls += rows

    @property
    def remaining_seconds(self) -> float | None:
        """The estimated remaining time at the current speed; None if unknown."""
        if not self.rows or self.total is None:
            return None
        return (time.monotonic() - self.started) / self.rows * max(0, self.total - self.rows)

    def summary(self) -> str:
        """Return the counts as text.

        Examples
        --------
        >>> Meter("summarize", 200, 120, 80, 40, 0.0123).summary()
        '120/200 rows · 80 calls · 40 from the ledger · $0.0123'
        """
        total = "" if self.total is None else f"/{self.total:,}"
        parts = [f"{self.rows:,}{total} rows", f"{self.calls:,} calls"]
        parts += [f"{self.hits:,} from the ledger"] if self.hits else []
        parts += [f"${self.usd:.4g}"] if self.usd else []
        return " · ".join(parts)


class Screen(Protocol):
    """Displays progress."""

    def show(self, meters: list[Meter]) -> None:
        """Display meters instead of the current display."""

    def clear(self) -> None:
        """Clear the display."""


class Progress:
    """The progress of one operation.

    Parameters
    ----------
    screen
        The display; None displays nothing.
    """

    def __init__(self, screen: Screen | None) -> None:
        self._screen = screen
        self._meters: list[Meter] = []
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def visible(self) -> bool:
        """Whether it is displayed, so that it is worth counting rows in advance."""
        return self._screen is not None

    def meter(self, label: str) -> Meter:
        """Create the meter of a function's calls."""
        meter = Meter(label)
        self._meters.append(meter)
        if self._screen is not None and self._thread is None:
            self._thread = threading.Thread(
                target=self._refresh, args=(self._screen,), name="barbule-progress", daemon=True
            )
            self._thread.start()
        return meter

    @contextlib.contextmanager
    def running(self) -> Iterator[Progress]:
        """Display it until the block ends, however it ends."""
        try:
            yield self
        finally:
            self._ended.set()
            if self._thread is not None:
                self._thread.join()

    def _refresh(self, screen: Screen) -> None:
        if self._ended.wait(_DELAY_SECONDS):
            return
        try:
            while True:
                screen.show(list(self._meters))
                if self._ended.wait(_REFRESH_SECONDS):
                    return
        finally:
            screen.clear()


class ProgressDisplay:
    """The progress display of one operation, whose parts are shown together."""

    def __init__(self) -> None:
        self._progress: Progress | None = None

    @contextlib.contextmanager
    def shown(self) -> Iterator[Progress]:
        """Show the progress of the block, on a terminal or in a notebook."""
        if self._progress is not None:
            yield self._progress
            return
        self._progress = Progress(screen())
        try:
            with self._progress.running() as progress:
                yield progress
        finally:
            self._progress = None

    @property
    def is_visible(self) -> bool:
        """Whether the progress is shown, so that it is worth counting rows in advance."""
        return self._progress is not None and self._progress.visible


def screen() -> Screen | None:
    """Return the progress display; None in a log, a file or a pipe."""
    shell = sys.modules.get("IPython")
    if shell is not None and getattr(shell.get_ipython(), "kernel", None) is not None:
        return _NotebookScreen()
    stream = sys.stderr
    if stream is not None and not stream.closed and stream.isatty():
        return _TerminalScreen()
    return None


class _TerminalScreen:
    """Lines in a terminal, drawn by rich on stderr."""

    def __init__(self) -> None:
        self._bars: bars.Progress | None = None
        self._tasks: dict[int, bars.TaskID] = {}

    def show(self, meters: list[Meter]) -> None:
        if self._bars is None:
            self._bars = _progress_bars()
            self._bars.start()
        for index, meter in enumerate(meters):
            if index not in self._tasks:
                self._tasks[index] = self._bars.add_task(
                    meter.label, total=None, summary="", remaining=""
                )
            self._bars.update(
                self._tasks[index],
                completed=meter.rows,
                total=meter.total,
                summary=meter.summary(),
                remaining=_remaining(meter),
            )
        self._bars.refresh()

    def clear(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None


def _progress_bars() -> bars.Progress:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as ProgressBars

    return ProgressBars(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[summary]}", markup=False),
        TextColumn("{task.fields[remaining]}", markup=False),
        console=Console(file=sys.stderr),
        transient=True,
        auto_refresh=False,
    )


class _NotebookScreen:
    """An output of the running cell, updated in place."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, meters: list[Meter]) -> None:
        shell: Any = importlib.import_module("IPython.display")
        output = shell.HTML("".join(map(_line, meters)))
        if self._handle is None:
            self._handle = shell.display(output, display_id=True)
        else:
            self._handle.update(output)

    def clear(self) -> None:
        if self._handle is not None:
            shell: Any = importlib.import_module("IPython.display")
            self._handle.update(shell.HTML(""))


def _line(meter: Meter) -> str:
    share = f'value="{meter.rows}" max="{max(1, meter.total)}"' if meter.total is not None else ""
    text = " · ".join(filter(None, [meter.summary(), _remaining(meter)]))
    return (
        f"<div>{html.escape(meter.label)} <progress {share}></progress> {html.escape(text)}</div>"
    )


def _remaining(meter: Meter) -> str:
    if meter.remaining_seconds is None:
        return ""
    minutes, seconds = divmod(round(meter.remaining_seconds), _SECONDS_PER_MINUTE)
    hours, minutes = divmod(minutes, _MINUTES_PER_HOUR)
    clock = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
    return f"{clock} left"
