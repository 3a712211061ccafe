"""Operations that restart if other transactions have changed what they read.

Owns the exceptions for this. Transactions are serializable: what a preparation has read (the
structure of tables, their live rows, labels) is compared at publication with what other
transactions have committed in the meantime. If rows have changed, the transaction is prepared
again; if a structure has changed, or referenced media have been deleted, the operation restarts. By
then, answers of functions are in the call ledger.
"""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import ibis.expr.types as ir

from barbule.errors import BarbuleError, ConflictError
from barbule.executor.engine import Engine
from barbule.nodes import ManagedTable
from barbule.tables.transaction.media_references import find_deleted_media
from barbule.tables.transaction.operations import operating

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = [
    "MAX_UNLOCKED_ATTEMPTS",
    "MediaDeleted",
    "NothingToDo",
    "StaleRead",
    "StructureChanged",
    "detecting_deleted_media",
    "engine_of",
    "isolated",
    "single_pass_source",
]

ArgumentsP = ParamSpec("ArgumentsP")
ResultT = TypeVar("ResultT")

# The number of times that a long transaction is prepared without the write lock.
MAX_UNLOCKED_ATTEMPTS = 3


class NothingToDo(Exception):  # noqa: N818 - no error
    """Ends a transaction that would change nothing."""


class StaleRead(Exception):  # noqa: N818 - `isolated` runs the operation again
    """Ends an operation that has read data that others have since changed; it names the data."""


class StructureChanged(StaleRead):
    """Ends an operation that has read the structure of tables."""

    def __init__(self, tables: Sequence[str]) -> None:
        super().__init__(f"the structure of {', '.join(map(repr, tables))} was changed")


class MediaDeleted(StaleRead):
    """Ends an operation whose files in the media store other transactions have deleted."""

    def __init__(self, references: Sequence[str]) -> None:
        more = f" and {len(references) - 1} more" if len(references) > 1 else ""
        super().__init__(f"{references[0]}{more} was deleted from the media store")


def isolated(operation: Callable[ArgumentsP, ResultT]) -> Callable[ArgumentsP, ResultT]:
    """Let an operation run again if other transactions have changed what it has read.

    After several attempts it holds the write lock from beginning to end. If it fails, files that it
    has put into the media store are removed. The first argument of the operation is an engine, or a
    leaf or table that has one; the operation receives it with the engine of its own.
    """
    verb: Callable[..., ResultT] = operation

    @functools.wraps(operation)
    def run(*args: ArgumentsP.args, **kwargs: ArgumentsP.kwargs) -> ResultT:
        engine = engine_of(args[0])
        since = engine.catalog.head
        with operating(engine) as (own_engine, objects):
            own_args = (_on_engine(args[0], own_engine), *args[1:])
            before = objects.required()
            for _ in range(MAX_UNLOCKED_ATTEMPTS):
                with contextlib.suppress(StaleRead), detecting_deleted_media(own_engine, since):
                    return verb(*own_args, **kwargs)
                objects.restart(before)
            with engine.backend.write_lock(), objects.exclusive():
                return verb(*own_args, **kwargs)

    return run


def engine_of(subject: Any) -> Engine:
    """Return the engine of an engine, a leaf or a table."""
    if isinstance(subject, Engine):
        return subject
    # By type: a table may have columns named `backend` and `source`.
    leaf = subject.op() if isinstance(subject, ir.Expr) else subject
    engine: Engine = leaf.source
    return engine


def _on_engine(subject: Any, engine: Engine) -> Any:
    """Return the same engine, leaf or table for the operation of an engine."""
    if isinstance(subject, Engine):
        return engine
    if isinstance(subject, ManagedTable):
        return subject.copy(source=engine)
    return engine.table_of(subject.op().copy(source=engine))


@contextlib.contextmanager
def detecting_deleted_media(engine: Engine, since: int) -> Iterator[None]:
    """Raise `MediaDeleted` if an operation fails because others have deleted its media."""
    try:
        yield
    except ConflictError:
        raise
    except BarbuleError:
        lost = []
        with contextlib.suppress(BarbuleError):  # the first error is more specific
            engine.catalog.refresh()
            lost = find_deleted_media(engine, (), since)
        if lost:
            raise MediaDeleted(lost) from None
        raise


@contextlib.contextmanager
def single_pass_source(engine: Engine, source: object, table: str, since: int) -> Iterator[None]:
    """End an operation that would restart, but can read its source only once.

    Raises
    ------
    ConflictError
        If other transactions have changed what the operation has read.
    """
    try:
        with detecting_deleted_media(engine, since):
            yield
    except StaleRead as stale:
        if not hasattr(source, "__next__") and not hasattr(source, "read_next_batch"):
            raise
        raise ConflictError(
            f"{stale} while rows were read from a source that can be read only once. Nothing "
            "was written.",
            table=table,
            hint="Create the source again and repeat the operation.",
        ) from None
