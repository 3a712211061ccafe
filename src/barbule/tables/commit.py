"""The lifecycle of a transaction: it is prepared, published, and prepared again after a conflict.

Owns the order of these steps. Rows are first read and computed without a lock, which may take long
if functions are called. Then, under the write lock and in one transaction of the backend,
everything is written and committed.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, TypeVar

from barbule.tables.transaction.isolation import MAX_UNLOCKED_ATTEMPTS
from barbule.tables.transaction.operations import operating
from barbule.tables.transaction.transaction import Transaction
from barbule.tables.views.full_refresh import refresh_scheduled
from barbule.tracing import span

if TYPE_CHECKING:
    from collections.abc import Callable

    from barbule.executor.calls.operation import Operation
    from barbule.executor.engine import Engine

__all__ = ["run_transaction", "run_transaction_in_parts"]

OutcomeT = TypeVar("OutcomeT")


class _Conflict(Exception):  # noqa: N818 - the transaction is prepared again
    """Another transaction has changed rows that the preparation has read."""


def run_transaction(
    engine: Engine,
    operation: str,
    prepare: Callable[[Transaction], OutcomeT],
    *,
    since: int,
    slow: bool = False,
) -> tuple[Transaction, OutcomeT]:
    """Prepare and publish a transaction atomically.

    Parameters
    ----------
    operation
        Its name in the history.
    prepare
        Prepares the transaction; called again if other transactions have changed the rows that it
        read.
    since
        The latest commit when the operation began; earlier conclusions from the structure of tables
        are checked, too.
    slow
        Whether it may call functions, so that other writers should not wait for it.

    Returns
    -------
    tuple
        The published transaction, and the result of `prepare`.

    Raises
    ------
    StaleRead
        If another transaction has since changed the structure of a table, or has deleted media; see
        `isolated`.
    """
    started = time.perf_counter()
    with operating(engine) as (own_engine, _):
        counted = _counted(own_engine)
        if slow:
            engine.backend.check_writable()  # before functions are called
        for attempt in range(MAX_UNLOCKED_ATTEMPTS + 1):
            unlocked = slow and attempt < MAX_UNLOCKED_ATTEMPTS
            lock = contextlib.nullcontext() if unlocked else engine.backend.write_lock()
            with lock:
                transaction = _begin(own_engine, operation, counted, since)
                try:
                    outcome = _prepare(transaction, prepare, unlocked=unlocked)
                    _publish(transaction, started, unlocked=unlocked)
                except _Conflict:
                    continue
            if counted.tally.calls:
                engine.ledger.wait()
            transaction.finish()
            return transaction, outcome
    raise AssertionError("a transaction under the write lock cannot have a conflict")


def _counted(engine: Engine) -> Operation:
    """Return the operation of an engine, with counts for one transaction."""
    assert engine.operation is not None
    return engine.operation.counting_anew()


def _begin(engine: Engine, verb: str, operation: Operation, since: int) -> Transaction:
    catalog = engine.database.catalog
    catalog.refresh()
    pending = catalog.begin(verb)
    return Transaction(engine.preparing(pending, operation), pending, since)


def _prepare(
    transaction: Transaction, prepare: Callable[[Transaction], OutcomeT], *, unlocked: bool
) -> OutcomeT:
    """Prepare a transaction; a failure because others changed what it read is a conflict."""
    try:
        outcome = prepare(transaction)
        refresh_scheduled(transaction)
    except Exception:
        with transaction.engine.backend.write_lock():
            transaction.engine.catalog.refresh()
            transaction.check_structures()
            if not unlocked or transaction.reads_are_current():
                raise
        raise _Conflict from None
    return outcome


def _publish(transaction: Transaction, started: float, *, unlocked: bool) -> None:
    """Publish a transaction; if others have changed what it has read, it is a conflict."""
    with transaction.engine.backend.write_lock():
        if unlocked:  # else nobody has committed since it began
            transaction.engine.catalog.refresh()
        transaction.check_structures()
        if not transaction.reads_are_current():
            raise _Conflict
        transaction.publish(started)


def run_transaction_in_parts(
    engine: Engine,
    operation: str,
    prepare: Callable[[Transaction], OutcomeT],
    *,
    since: int,
) -> tuple[Transaction, OutcomeT]:
    """Run a transaction that is too large to collect first.

    Other writers wait meanwhile; `prepare` calls `flush` between its parts. See `run_transaction`.
    """
    started = time.perf_counter()
    with operating(engine) as (own_engine, _):
        counted = _counted(own_engine)
        with engine.backend.write_lock():
            transaction = _begin(own_engine, operation, counted, since)
            with engine.backend.transaction(large=True, invalidates_plans=True):
                outcome = _prepare(transaction, prepare, unlocked=False)
                transaction.check_structures()
                with span("commit", operation):
                    commit = transaction.write_commit(started)
            engine.database.catalog.publish(transaction.pending, commit)
        engine.ledger.flush()
        transaction.finish()
    return transaction, outcome
