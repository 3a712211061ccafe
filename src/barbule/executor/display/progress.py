"""How far long work has come, shown where somebody watches: on a terminal or in a notebook.

Owns what is counted, and how it is shown. Nothing is shown in a log, a file or a pipe, nor of work
that ends at once, and what was shown is taken away when the work ends.
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

__all__ = ["Meter", "Progress", "screen"]

_DELAY = 0.5  # seconds of work of which nothing is shown
_PAUSE = 0.2  # seconds between two pictures
_MINUTE, _HOUR = 60, 3600


@dataclass(slots=True)
class Meter:
    """How far the calls of one function are; any thread may count.

    Attributes
    ----------
    rows, total
        Rows that are done, and that there are; None where that is not known.
    calls, hits
        Calls that were made, and answers that were known already.
    usd
        What the calls have cost, as far as it is known.
    """

    label: str = ""
    total: int | None = None
    rows: int = 0
    calls: int = 0
    hits: int = 0
    usd: float = 0.0
    began: float = field(default_factory=time.monotonic)

    def done(self, rows: int = 1) -> None:
        """Count rows for which a call has ended."""
        self.rows += rows
        self.calls += rows

    @property
    def left(self) -> float | None:
        """Seconds that are left, when the rest is as fast as what is done; None if not known."""
        if not self.rows or self.total is None:
            return None
        return (time.monotonic() - self.began) / self.rows * max(0, self.total - self.rows)

    def told(self) -> str:
        """Say it in words.

        Examples
        --------
        >>> Meter("summarize", 200, 120, 80, 40, 0.0123).told()
        '120/200 rows · 80 calls · 40 from the ledger · $0.0123'
        """
        whole = "" if self.total is None else f"/{self.total:,}"
        parts = [f"{self.rows:,}{whole} rows", f"{self.calls:,} calls"]
        parts += [f"{self.hits:,} from the ledger"] if self.hits else []
        parts += [f"${self.usd:.4g}"] if self.usd else []
        return " · ".join(parts)


class Screen(Protocol):
    """Where progress is shown."""

    def show(self, meters: list[Meter]) -> None:
        """Show, or show anew."""

    def clear(self) -> None:
        """Take away what is shown."""


class Progress:
    """The progress of one operation.

    Parameters
    ----------
    on
        Where it is shown; None shows nothing.
    """

    def __init__(self, on: Screen | None) -> None:
        self._screen = on
        self._meters: list[Meter] = []
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def visible(self) -> bool:
        """Whether somebody may be watching, so that it is worth to count beforehand."""
        return self._screen is not None

    def meter(self, label: str) -> Meter:
        """Make the meter of a function's calls."""
        made = Meter(label)
        self._meters.append(made)
        if self._screen is not None and self._thread is None:
            self._thread = threading.Thread(
                target=self._watch, args=(self._screen,), name="barbule-progress", daemon=True
            )
            self._thread.start()
        return made

    @contextlib.contextmanager
    def shown(self) -> Iterator[Progress]:
        """Show it until the block ends, however it ends."""
        try:
            yield self
        finally:
            self._ended.set()
            if self._thread is not None:
                self._thread.join()

    def _watch(self, on: Screen) -> None:
        if self._ended.wait(_DELAY):
            return
        try:
            while True:
                on.show(list(self._meters))
                if self._ended.wait(_PAUSE):
                    return
        finally:
            on.clear()


def screen() -> Screen | None:
    """Return where progress can be shown; None in a log, a file or a pipe."""
    shell = sys.modules.get("IPython")
    if shell is not None and getattr(shell.get_ipython(), "kernel", None) is not None:
        return _Notebook()
    stream = sys.stderr
    if stream is not None and not stream.closed and stream.isatty():
        return _Terminal()
    return None


class _Terminal:
    """Lines of a terminal, drawn by rich on stderr."""

    def __init__(self) -> None:
        self._bars: Any = None
        self._tasks: dict[int, Any] = {}

    def show(self, meters: list[Meter]) -> None:
        if self._bars is None:
            self._bars = _bars()
            self._bars.start()
        for place, meter in enumerate(meters):
            if place not in self._tasks:
                self._tasks[place] = self._bars.add_task(meter.label, total=None, told="", left="")
            self._bars.update(
                self._tasks[place],
                completed=meter.rows,
                total=meter.total,
                told=meter.told(),
                left=_left(meter),
            )
        self._bars.refresh()

    def clear(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None


def _bars() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[told]}", markup=False),
        TextColumn("{task.fields[left]}", markup=False),
        console=Console(file=sys.stderr),
        transient=True,
        auto_refresh=False,
    )


class _Notebook:
    """An output of the running cell, which is changed in place."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, meters: list[Meter]) -> None:
        shell: Any = importlib.import_module("IPython.display")
        drawn = shell.HTML("".join(map(_line, meters)))
        if self._handle is None:
            self._handle = shell.display(drawn, display_id=True)
        else:
            self._handle.update(drawn)

    def clear(self) -> None:
        if self._handle is not None:
            shell: Any = importlib.import_module("IPython.display")
            self._handle.update(shell.HTML(""))


def _line(meter: Meter) -> str:
    share = f'value="{meter.rows}" max="{max(1, meter.total)}"' if meter.total is not None else ""
    told = " · ".join(filter(None, [meter.told(), _left(meter)]))
    return (
        f"<div>{html.escape(meter.label)} <progress {share}></progress> {html.escape(told)}</div>"
    )


def _left(meter: Meter) -> str:
    if meter.left is None:
        return ""
    minutes, seconds = divmod(round(meter.left), _MINUTE)
    hours, minutes = divmod(minutes, _HOUR // _MINUTE)
    clock = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
    return f"{clock} left"
