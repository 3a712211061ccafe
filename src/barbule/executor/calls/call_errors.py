"""What stands for a failed call: in a cell, and inside of another call.

Owns these two records; what becomes of a failure is decided where the call is made.
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
    """What stands for the result of a call that failed and may leave its cell empty."""

    type: str
    message: str

    @classmethod
    def of(cls, error: Exception, count: int = 1) -> Failure:
        """Describe an error; of a wrapped one, what the function raised.

        Parameters
        ----------
        count
            How many rows share it: which of them is at fault is not known, if there are several.
        """
        message = message_of(error)
        if count > 1:
            message = f"{message} (one call for {count} rows failed)"
        return cls(type(error).__name__, _writable(message))


def _writable(text: str) -> str:
    """Return a message that every database takes, whatever value it shows."""
    whole = text.replace("\0", "\\x00")
    return whole.encode(errors="replace").decode() if not whole.isascii() else whole


class Deferred(Failure):
    """What stands for the result of a call that was put off because the budget is spent."""

    @classmethod
    def of(cls, error: Exception, count: int = 1) -> Deferred:  # noqa: ARG003 - it says so itself
        """Describe why it was put off."""
        return cls("deferred", str(error))


class InnerFailure(Exception):  # noqa: N818 - it carries an error
    """A call inside of another one failed.

    Parameters
    ----------
    on_error
        What the call itself says of its errors, if it does.

    Attributes
    ----------
    ends
        Whether the errors of that function end the operation, or leave the cell empty.
    """

    def __init__(self, function: Function, raised: Exception, on_error: str | None = None) -> None:
        super().__init__(message_of(raised))
        self.raised = raised
        self.ends = (on_error or function.on_error) == "abort"
        self._name = function.name

    def explained(self) -> BarbuleError:
        """Return the error that ends the operation."""
        if isinstance(self.raised, BarbuleError):
            return self.raised
        return FunctionError(
            f"{self._name} failed: {type(self.raised).__name__}: {message_of(self.raised)}.",
            hint="Mend the function or the value; on_error='null' leaves such cells empty.",
        )
