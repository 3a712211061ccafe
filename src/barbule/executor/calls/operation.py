"""What one operation knows: its counts, its budgets, its recording, its media and its target.

Owns this record. It is created at the entrance of a query or a verb, which reads the `with` blocks
of the user once, and handed down to everything that calls functions for it. Nothing is called here.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from barbule.executor.budgets.budget import active_budgets
from barbule.executor.display.progress import ProgressDisplay
from barbule.executor.ledger.recording import current_recording
from barbule.functions.registry import lookup

if TYPE_CHECKING:
    from collections.abc import Iterator

    from barbule.executor.budgets.budget import Budget
    from barbule.executor.budgets.dry_run import DryRun
    from barbule.executor.calls.provenance import Provenance
    from barbule.executor.ledger.recording import Recording
    from barbule.media.library import MediaLibrary
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


@dataclass(frozen=True)
class Operation:
    """One query, or one verb with everything that it runs.

    Attributes
    ----------
    library
        Opens and stores media; it records what the operation stores.
    budgets
        The budgets of the session and of the user's `with` blocks.
    recording
        The recording of the user's `with` block.
    tally
        The calls so far.
    progress
        The display of the progress.
    target
        The table and columns that are computed, if the operation is more than a query.
    dry_run
        The replacement of calls in a dry run; None if calls are made.
    """

    library: MediaLibrary
    budgets: tuple[Budget, ...] = ()
    recording: Recording | None = None
    tally: Tally = field(default_factory=Tally)
    progress: ProgressDisplay = field(default_factory=ProgressDisplay)
    target: Provenance | None = None
    dry_run: DryRun | None = None

    @classmethod
    def begin(cls, library: MediaLibrary, session_budget: Budget | None = None) -> Self:
        """Begin an operation within the budgets and the recording of the calling code."""
        own = () if session_budget is None else (session_budget,)
        return cls(library, (*active_budgets(), *own), current_recording())

    def counting_anew(self) -> Self:
        """Return the operation with counts of its own, for one of its transactions."""
        return replace(self, tally=Tally())

    @contextlib.contextmanager
    def computing(self, target: Provenance) -> Iterator[Self]:
        """Yield the operation that computes these columns; their budget is released at the end."""
        try:
            yield replace(self, target=target)
        finally:
            if target.budget is not None:
                target.budget.release()

    def running_dry(self, dry_run: DryRun) -> Self:
        """Return the operation with calls that are not made, but collected."""
        return replace(self, dry_run=dry_run)

    @property
    def call_budgets(self) -> tuple[Budget, ...]:
        """The budgets that need room for each call: those of the operation and of its table."""
        table_budget = self.target.budget if self.target is not None else None
        return self.budgets if table_budget is None else (*self.budgets, table_budget)

    def leaves_failures_empty(self, call: Call) -> bool:
        """Whether a call may fail for single rows, regardless of its function's declaration.

        The call's own `on_error` takes precedence. Calls of models may fail if a column stores the
        error.
        """
        if call.on_error is not None:
            return call.on_error == "null"
        if call.errors is None:
            return False
        lenient = self.target is not None and self.target.lenient
        return lenient or lookup(call.function, call.version).kind == "model"
