"""Results of mutations: the number of changed rows and failed cells, and the new version."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeVar

from barbule.suggestions import VerbResult

if TYPE_CHECKING:
    from barbule.executor.calls.operation import Tally

__all__ = [
    "DeleteResult",
    "InsertResult",
    "MutationResult",
    "ResultT",
    "UpdateResult",
    "warn_of_empty_cells",
]

_LOG = logging.getLogger("barbule")


@dataclass(frozen=True)
class MutationResult(VerbResult):
    """The result of a mutation.

    Attributes
    ----------
    rows
        The rows of the table that were written or removed; those of its views are not counted.
    errors
        The cells that are empty because a function failed.
    version
        The version of the table that shows the change.
    calls, hits
        Model requests and calls of functions in the call ledger, as a budget counts them; and calls
        answered by the ledger.
    deferred
        The cells that are empty because a budget was spent.
    """

    _reading: ClassVar[str] = "Read rows from the table: t.collect()."

    rows: int
    errors: int
    version: int
    calls: int = 0
    hits: int = 0
    deferred: int = 0


class InsertResult(MutationResult):
    """The result of an insert."""


class UpdateResult(MutationResult):
    """The result of an update, or of a change of structure."""


class DeleteResult(MutationResult):
    """The result of a delete."""


ResultT = TypeVar("ResultT", bound=MutationResult)


def warn_of_empty_cells(table: str, tally: Tally) -> None:
    """Warn about cells that a mutation left empty: because of errors, or of a budget."""
    if tally.model_error:
        _LOG.warning(
            "%s: %d cell%s failed; the first error: %s t.errors() lists them; recompute(..., "
            "errors_only=True) retries them.",
            table,
            tally.errors,
            "" if tally.errors == 1 else "s",
            tally.model_error,
        )
    if tally.deferred:
        _LOG.warning(
            "%s: %d cell%s deferred because the budget is spent; recompute(..., "
            'where="deferred") continues.',
            table,
            tally.deferred,
            " was" if tally.deferred == 1 else "s were",
        )
