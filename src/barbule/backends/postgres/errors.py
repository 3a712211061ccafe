"""Errors of Postgres as errors of barbule.

Owns which error each SQLSTATE becomes, and the error of a lost connection.
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
    too_deep_error,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["lost_connection", "nul_error", "server_message", "translate_errors"]

_SQLSTATE = re.compile(r"SQLSTATE: (\w{5})")
_SHUTDOWN_STATES = {"57P01", "57P02", "57P03"}
_CLOSED = "server closed the connection"
_UNSUPPORTED_STATES = {
    "0A000", "42601", "42703", "42803", "42804", "42846", "42883", "42P01", "42P18", "42P20",
    "42P21",
}  # fmt: skip
_MESSAGE = re.compile(r"ERROR:\s+(.*)")


def nul_error() -> DataError:
    """Return the error about a string that Postgres cannot store."""
    return DataError(
        "Postgres cannot store a string with the character NUL (\\x00).",
        hint="Remove it, or use a Binary column.",
    )


def server_message(text: str) -> str:
    """Return the server's message in the text of an error, without the statement."""
    match = _MESSAGE.search(text)
    message = match[1] if match else text.split("FATAL:", 1)[-1].split("[libpq]", 1)[-1]
    return message.strip().splitlines()[0].strip()


@contextmanager
def translate_errors(
    display_url: str = "the Postgres server", is_lost: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """Convert the errors of the server and of Ibis' compiler.

    Parameters
    ----------
    display_url
        The database, for messages.
    is_lost
        Returns whether the used connection is lost.

    Raises
    ------
    UnsupportedError
        If Postgres cannot run an expression.
    DataError
        If it cannot compute some values.
    LockedError
        If it has waited too long for a lock.
    UnreachableError
        If the connection is lost.
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
        if not state and (match := _SQLSTATE.search(str(error))):
            state = match[1]
        if state[:2] == "08" or state in _SHUTDOWN_STATES or _CLOSED in str(error) or is_lost():
            raise lost_connection(display_url) from error
        if (translated := _translated(state, server_message(str(error)))) is not None:
            raise translated from error
        raise


def lost_connection(display_url: str) -> UnreachableError:
    """Return the error about a lost connection."""
    return UnreachableError(
        f"the connection to {display_url} was lost; uncommitted changes were rolled back.",
        hint="Check that the server runs; the next operation reconnects.",
    )


def _unsupported(reason: str) -> UnsupportedError:
    return UnsupportedError(
        f"Postgres cannot run this expression: {reason}.",
        hint="Rewrite that part, or compute it in a @bb.udf.",
    )


def _translated(state: str, reason: str) -> BarbuleError | None:
    """Return an SQLSTATE's error (https://www.postgresql.org/docs/15/errcodes-appendix.html)."""
    if state in {"22021", "22P05"}:
        return nul_error()
    if state[:2] in {"21", "22", "23"}:
        return DataError(
            f"the database cannot compute this: {reason}.",
            hint="Filter out such values first. ceil(), floor(), round() and // of floats return "
            "64-bit integers: (t.x.abs() < 2**53).ifelse(t.x.ceil(), t.x) keeps larger and "
            "infinite ones."
            if "bigint" in reason
            else "Filter out such values first.",
        )
    if state in _UNSUPPORTED_STATES:
        return _unsupported(reason)
    if state == "54001":  # the limit of its stack
        return too_deep_error()
    if state[:2] == "54":
        return UnsupportedError(
            f"a row or value is too large for Postgres: {reason}.",
            hint="Use fewer or smaller columns, or split them over several tables.",
        )
    if state in {"55P03", "40P01"}:
        return LockedError(
            f"another process holds a lock that this operation needs: {reason}.",
            hint="Wait until it has finished, or raise lock_timeout.",
        )
    return None
