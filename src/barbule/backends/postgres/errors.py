"""The server's errors, in our words.

Owns what each SQLSTATE means to users, and what is said when the server goes away.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import adbc_driver_manager
import ibis.common.exceptions as com

from barbule.errors import (
    BarbuleError,
    DataError,
    LockedError,
    UnreachableError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["explained", "lost_connection", "no_nul", "reason_of"]

_STATE = re.compile(r"SQLSTATE: (\w{5})")
_ENDED = {"57P01", "57P02", "57P03"}
_CLOSED = "server closed the connection"
_REASON = re.compile(r"ERROR:\s+(.*)")


def no_nul() -> DataError:
    """Make the error about a text that Postgres cannot keep."""
    return DataError(
        "Postgres cannot keep a text with the character NUL (\\x00).",
        hint="Remove it, or use a Binary column.",
    )


def reason_of(text: str) -> str:
    """Return what the server says, without the statement."""
    found = _REASON.search(text)
    plain = found[1] if found else text.split("FATAL:", 1)[-1].split("[libpq]", 1)[-1]
    return plain.strip().splitlines()[0].strip()


@contextmanager
def explained(
    shown: str = "the Postgres server", lost: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """Say in our words what an expression asked that the database cannot do.

    Parameters
    ----------
    shown
        The database, for messages.
    lost
        Tells whether the connection that is used has gone.
    """
    import pyarrow as pa

    try:
        yield
    except (
        com.OperationNotDefinedError,
        com.UnsupportedOperationError,
        com.IbisTypeError,
    ) as error:
        raise _unsupported(str(error)) from error
    except (adbc_driver_manager.Error, pa.ArrowException, OSError) as error:
        state = getattr(error, "sqlstate", None) or ""
        if not state and (found := _STATE.search(str(error))):
            state = found[1]
        if state[:2] == "08" or state in _ENDED or _CLOSED in str(error) or lost():
            raise lost_connection(shown) from error
        if (known := _known(state, reason_of(str(error)))) is not None:
            raise known from error
        raise


def lost_connection(shown: str) -> UnreachableError:
    """Make the error about a server that went away."""
    return UnreachableError(
        f"the connection to {shown} is lost, and with it what was not committed.",
        hint="See that the server runs; the next use connects again.",
    )


def _unsupported(reason: str) -> UnsupportedError:
    return UnsupportedError(
        f"Postgres cannot run this expression: {reason}.",
        hint="Rewrite that part, or compute it in a @bb.udf.",
    )


def _known(state: str, reason: str) -> BarbuleError | None:
    """Make our error of an SQLSTATE (https://www.postgresql.org/docs/15/errcodes-appendix.html)."""
    if state in {"22021", "22P05"}:
        return no_nul()
    if state[:2] in {"21", "22", "23"}:
        return DataError(
            f"the database cannot compute this: {reason}.",
            hint="Filter out such values first. What ceil(), floor(), round() and // make of "
            "floats are whole numbers of 64 bits: (t.x.abs() < 2**53).ifelse(t.x.ceil(), t.x) "
            "keeps larger and infinite ones."
            if "bigint" in reason
            else "Filter out such values first.",
        )
    if state in {
        "0A000",
        "42804",
        "42846",
        "42883",
        "42P18",
        "42P20",
        "42P21",
        "42803",
        "42601",
        "42703",
        "42P01",
    }:
        return _unsupported(reason)
    if state[:2] == "54":
        return UnsupportedError(
            f"this is too large for Postgres: {reason}.",
            hint="Use fewer or smaller columns, in several tables.",
        )
    if state in {"55P03", "40P01"}:
        return LockedError(
            f"another process keeps what this needs: {reason}.",
            hint="Wait until its work is done, or raise lock_timeout.",
        )
    return None
