"""Records of failed calls: in a cell, and inside another call.

Owns these records. The caller decides whether a failure ends the operation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from barbule.errors import BarbuleError, FunctionError, message_of

if TYPE_CHECKING:
    from barbule.functions.function import Function

__all__ = ["Deferred", "Failure", "InnerFailure"]


@dataclass(frozen=True)
class Failure:
    """The result of a call that failed and may leave its cell empty."""

    type: str
    message: str

    @property
    def text(self) -> str:
        """The error, as the ledger stores it."""
        return f"{self.type}: {self.message}"

    @classmethod
    def of(cls, error: Exception, row_count: int = 1) -> Failure:
        """Describe an error; for a wrapped one, the error that the function raised.

        Parameters
        ----------
        row_count
            The number of rows that share it: which of them failed is unknown.
        """
        message = message_of(error)
        if row_count > 1:
            message = f"{message} (one call for {row_count} rows failed)"
        return cls(type(error).__name__, _storable(message))


def _storable(message: str) -> str:
    """Return a message that every database stores, whatever value it quotes."""
    escaped = message.replace("\0", "\\x00")
    return escaped.encode(errors="replace").decode() if not escaped.isascii() else escaped


class Deferred(Failure):
    """The result of a call that was deferred because the budget is spent."""

    @classmethod
    def of(cls, error: Exception, row_count: int = 1) -> Deferred:  # noqa: ARG003 - in the message
        """Describe why it was deferred."""
        return cls("deferred", str(error))


class InnerFailure(Exception):  # noqa: N818 - it carries an error
    """A call inside another one failed.

    Parameters
    ----------
    on_error
        The `on_error` of the call itself, if it has one.

    Attributes
    ----------
    aborts
        Whether the errors of that function end the operation, or leave the cell empty.
    """

    def __init__(self, function: Function, raised: Exception, on_error: str | None = None) -> None:
        super().__init__(message_of(raised))
        self.raised = raised
        self.aborts = (on_error or function.on_error) == "abort"
        self._function_name = function.name

    def explained(self) -> BarbuleError:
        """Return the error that ends the operation."""
        if isinstance(self.raised, BarbuleError):
            return self.raised
        return FunctionError(
            f"{self._function_name} failed: {type(self.raised).__name__}: "
            f"{message_of(self.raised)}.",
            hint="Fix the function or the value, or set on_error='null' to leave such cells NULL.",
        )
