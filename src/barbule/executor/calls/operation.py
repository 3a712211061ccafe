"""The operation of a thread: its counts, its target, and its progress display.

Owns the per-thread state of one running operation. Nothing is called here.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from barbule.executor.display.progress import Progress, screen
from barbule.functions.registry import lookup

if TYPE_CHECKING:
    from collections.abc import Iterator

    from barbule.executor.budgets.dry_run import DryRun
    from barbule.executor.calls.provenance import Provenance
    from barbule.planner.stages import Call

__all__ = ["Operation", "Tally"]


@dataclass
class Tally:
    """Call counts of one operation, for functions in the ledger.

    Attributes
    ----------
    model_error
        The message of the first model call that failed.
    """

    calls: int = 0
    hits: int = 0
    errors: int = 0
    deferred: int = 0
    model_error: str = ""

    def add(self, other: Tally) -> None:
        """Add the counts of another tally."""
        self.calls += other.calls
        self.hits += other.hits
        self.errors += other.errors
        self.deferred += other.deferred
        self.model_error = self.model_error or other.model_error


class _ThreadState(threading.local):
    def __init__(self) -> None:
        self.tally = Tally()
        self.provenance: Provenance | None = None
        self.progress: Progress | None = None
        self.dry_run: DryRun | None = None


class Operation:
    """The operation of the calling thread; each thread of a session has its own."""

    def __init__(self) -> None:
        self._thread = _ThreadState()

    @property
    def tally(self) -> Tally:
        """The counts of the operation so far."""
        return self._thread.tally

    @contextlib.contextmanager
    def tallying(self) -> Iterator[Tally]:
        """Count the calls of the block; they are added to those around it."""
        outer = self._thread.tally
        self._thread.tally = tally = Tally()
        try:
            yield tally
        finally:
            self._thread.tally = outer
            outer.add(tally)

    @property
    def provenance(self) -> Provenance | None:
        """The table and columns that the operation computes, if it is more than a query."""
        return self._thread.provenance

    @contextlib.contextmanager
    def computing(self, provenance: Provenance) -> Iterator[None]:
        """Assign the calls of the block to these columns; their budget is released at its end."""
        outer, self._thread.provenance = self._thread.provenance, provenance
        try:
            yield
        finally:
            self._thread.provenance = outer
            if provenance.budget is not None:
                provenance.budget.release()

    def leaves_failures_empty(self, call: Call) -> bool:
        """Whether a call may fail for single rows, regardless of its function's declaration.

        The call's own `on_error` takes precedence. Calls of models may fail if a column stores the
        error.
        """
        if call.on_error is not None:
            return call.on_error == "null"
        if call.errors is None:
            return False
        lenient = self.provenance is not None and self.provenance.lenient
        return lenient or lookup(call.function, call.version).kind == "model"

    @contextlib.contextmanager
    def show_progress(self) -> Iterator[Progress]:
        """Show the progress of the block, on a terminal or in a notebook."""
        if self._thread.progress is not None:
            yield self._thread.progress
            return
        self._thread.progress = Progress(screen())
        try:
            with self._thread.progress.running() as progress:
                yield progress
        finally:
            self._thread.progress = None

    @property
    def is_visible(self) -> bool:
        """Whether the progress is shown, so that it is worth counting rows in advance."""
        progress = self._thread.progress
        return progress is not None and progress.visible

    @property
    def dry_run(self) -> DryRun | None:
        """The replacement of calls in a dry run; None if calls are made."""
        return self._thread.dry_run

    @contextlib.contextmanager
    def running_dry(self, dry_run: DryRun) -> Iterator[DryRun]:
        """Make no calls within the block; collect the keys of those that would be made."""
        self._thread.dry_run = dry_run
        try:
            yield dry_run
        finally:
            self._thread.dry_run = None
