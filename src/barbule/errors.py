"""The errors of barbule: one root class, each also a builtin exception.

Defines the exception classes and how their messages are built. A message says what went wrong and
where (table, column, row, value), and ends with what to do. Must not import another module of the
package.
"""

from __future__ import annotations

import errno
import re
from typing import Any

__all__ = [
    "BarbuleError",
    "BudgetError",
    "ColumnNotFoundError",
    "ConfigurationError",
    "ConflictError",
    "DataError",
    "DependencyError",
    "DiskError",
    "ExpressionError",
    "FunctionError",
    "LockedError",
    "MediaError",
    "MixedVersionsWarning",
    "ModelError",
    "ReplayError",
    "SchemaError",
    "StoreError",
    "TableExistsError",
    "TableNotFoundError",
    "UnknownFunctionError",
    "UnreachableError",
    "UnsupportedError",
    "VectorIndexError",
    "VersionError",
]

_MAX_VALUE_CHARACTERS = 80
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # without tabs and line ends
_DURATION = re.compile(r"(?<!\w)interval\('(?:[DWhms]|ms|us|ns)'\)")  # without months and years


class BarbuleError(Exception):
    """The base class of all errors of barbule.

    Parameters
    ----------
    message
        What went wrong, one sentence.
    hint
        What to do about it, one sentence.
    table, column, row, value
        Where it went wrong; each is shown if given. `value` is shortened.
    rows
        The number of rows, starting at `row`, one of which failed: those of a batch.

    Attributes
    ----------
    retryable
        Whether the same attempt may succeed later (a rate limit, a broken connection).

    Examples
    --------
    >>> print(BarbuleError("the name is taken.", hint="Choose another.", table="films"))
    table 'films': the name is taken. Choose another.
    """

    retryable: bool = False

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        table: str | None = None,
        column: str | None = None,
        row: int | None = None,
        value: object = None,
        rows: int = 1,
    ) -> None:
        super().__init__(message)
        self.message = _with_our_type_names(message)
        self.hint = hint if hint is None else _with_our_type_names(hint)
        self.table = table
        self.column = column
        self.row = row
        self.value = value
        self.rows = rows

    def at(
        self,
        *,
        table: str | None = None,
        column: str | None = None,
        row: int | None = None,
        rows: int = 1,
    ) -> BarbuleError:
        """Fill in the missing parts of the error's location; return self."""
        self.rows = self.rows if self.row is not None else rows
        self.table = self.table if self.table is not None else table
        self.column = self.column if self.column is not None else column
        self.row = self.row if self.row is not None else row
        return self

    def __str__(self) -> str:
        # KeyError shows the repr of its argument, so the text is built here for all classes.
        locations = [
            f"{label} {name!r}"
            for label, name in (("table", self.table), ("column", self.column))
            if name is not None
        ]
        if self.row is not None:
            last = self.row + self.rows - 1
            locations.append(f"row {self.row}" if self.rows == 1 else f"rows {self.row} to {last}")
        text = f"{', '.join(locations)}: {self.message}" if locations else self.message
        if self.value is not None:
            text = f"{text} (value: {_short(self.value)})"
        # It may contain text from user functions, files and servers.
        return printable(f"{text} {self.hint}" if self.hint else text)


def _with_our_type_names(text: str) -> str:
    """Use barbule's type names: Ibis writes bb.Duration as interval('us')."""
    return _DURATION.sub("duration", text) if "interval(" in text else text


def printable(text: str) -> str:
    r"""Escape the control characters of a string, so that no terminal interprets them.

    Tabs and line breaks stay.

    Examples
    --------
    >>> print(printable("\x1b[2J clears a screen"))
    \x1b[2J clears a screen
    """
    if text.isprintable():
        return text
    return _CONTROLS.sub(lambda match: repr(match[0])[1:-1], text.replace("\r\n", "\n"))


def message_of(error: BaseException) -> str:
    """Return the message of an exception, even if its `__str__` fails.

    Examples
    --------
    >>> class Odd(Exception):
    ...     def __str__(self):
    ...         return self.reason  # which nobody has set
    >>> message_of(ValueError("it is odd")), message_of(Odd())
    ('it is odd', '(its message cannot be shown: AttributeError)')
    """
    try:
        return str(error)
    except Exception as failure:  # noqa: BLE001 - it may be anything
        return f"(its message cannot be shown: {type(failure).__name__})"


def _short(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - others' objects may raise anything
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _MAX_VALUE_CHARACTERS else text[: _MAX_VALUE_CHARACTERS - 1] + "…"


class ConfigurationError(BarbuleError, ValueError):
    """A configuration key or value is wrong, or the resource that it names cannot be reached."""


class UnreachableError(ConfigurationError):
    """The database server is unreachable or does not answer; the next use reconnects."""

    retryable = True


class SchemaError(BarbuleError, ValueError):
    """A schema or type is not possible as requested."""


class ColumnNotFoundError(BarbuleError, AttributeError, KeyError):
    """A named column does not exist."""


class TableNotFoundError(BarbuleError, KeyError):
    """A named table, view or folder does not exist."""


class TableExistsError(BarbuleError, ValueError):
    """A table, view or folder with this name already exists."""


class DependencyError(BarbuleError, ValueError):
    """Other objects depend on the one that is to be dropped or replaced."""


class DataError(BarbuleError, ValueError):
    """A value does not fit its column."""


class DiskError(BarbuleError, OSError):
    """A disk is full, or a file on it cannot be written or is damaged."""

    @classmethod
    def of(cls, subject: str, error: OSError) -> DiskError:
        """Return the error for something that cannot be written.

        Parameters
        ----------
        subject
            The file, folder or database, as it may be shown.
        error
            The error message of the operating system.

        Examples
        --------
        >>> print(DiskError.of("'a.csv'", OSError(errno.ENOSPC, "No space left on device")))
        'a.csv' cannot be written: no space left on device. Free disk space, and try again.
        """
        reason = error.strerror or str(error) or type(error).__name__
        full = error.errno in _DISK_FULL_CODES
        disk_error = cls(
            f"{subject} cannot be written: {reason[:1].lower()}{reason[1:]}.",
            hint="Free disk space, and try again."
            if full
            else "Check the path and its permissions.",
        )
        disk_error.errno, disk_error.strerror = error.errno, reason
        return disk_error


_DISK_FULL_CODES = frozenset(
    getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name)
)


class LockedError(BarbuleError, TimeoutError):
    """Another process holds the database for longer than this process waits."""

    retryable = True


class ConflictError(BarbuleError, RuntimeError):
    """Other processes have changed data that an operation has read, and it cannot be retried."""

    retryable = True


class MediaError(BarbuleError, ValueError):
    """A media file is missing, unreadable, refused or in another format.

    Attributes
    ----------
    gone
        Whether the file does not exist, according to the server or file system.
    """

    gone: bool = False


class StoreError(BarbuleError, OSError):
    """The media store cannot be reached, is full or is not writable.

    The error does not belong to a cell, so it ends an operation even if failing cells are set to
    NULL.
    """

    retryable = True


class FunctionError(BarbuleError, RuntimeError):
    """A user's function failed, or returned a value that does not match its declaration."""


class UnknownFunctionError(BarbuleError, LookupError):
    """A stored expression calls a function that this process does not define."""


class ModelError(BarbuleError, RuntimeError):
    """A model call failed; the message is the provider's, without secrets.

    Parameters
    ----------
    retryable
        Whether a retry may succeed.
    retry_after
        The number of seconds that the provider asked to wait, if any.
    lasting
        Whether every request to the model would fail in the same way: a wrong key, a spent quota,
        an unknown model.
    charged
        Whether the provider may have processed the request and may charge for it: the answer came
        too late or could not be read, or the connection broke.
    sent
        Whether the request was sent. It was not if the server could not be reached or a key was
        missing.
    """

    def __init__(
        self,
        message: str,
        *,
        retryable: bool = False,
        retry_after: float | None = None,
        lasting: bool = False,
        charged: bool = False,
        sent: bool = True,
        **location: Any,
    ) -> None:
        super().__init__(message, **location)
        self.retryable = retryable
        self.retry_after = retry_after
        self.lasting = lasting
        self.charged = charged
        self.sent = sent


class BudgetError(BarbuleError, RuntimeError):
    """A call was not made because the budget is spent."""


class ReplayError(BarbuleError, LookupError):
    """A call is missing in the recording that replays all calls."""


class UnsupportedError(BarbuleError, NotImplementedError):
    """An expression contains an operation that barbule or the backend cannot run."""


class ExpressionError(BarbuleError, TypeError):
    """An expression cannot be built or stored."""


def with_article(noun: str) -> str:
    """Return a noun with its indefinite article.

    Examples
    --------
    >>> with_article("int"), with_article("str"), with_article("uint8")
    ('an int', 'a str', 'a uint8')
    """
    return f"{'an' if noun[:1].lower() in set('aeio') else 'a'} {noun}"


def unpicklable(subject: str) -> ExpressionError:
    """Return the error for pickling an object that belongs to the connections of this process."""
    return ExpressionError(
        f"{subject} cannot be pickled: it belongs to a session of this process.",
        hint="Send the rows that .collect() or .to_pyarrow() returns, or open the database again "
        "in the other process: bb.connect(url).get_table(name).",
    )


def too_deep_error() -> ExpressionError:
    """Return the error about an expression that Python or the database cannot process."""
    return ExpressionError(
        "an expression, a value or a chain of views is nested too deeply: the limit is several "
        "hundred levels of an expression, and about 40 levels of views.",
        hint="Compute parts of an expression with mutate() first, write isin() for many "
        "comparisons of one column, and create views over tables or views of fewer levels.",
    )


class VersionError(BarbuleError, LookupError):
    """A named version, label or timestamp does not exist."""


class VectorIndexError(BarbuleError, RuntimeError):
    """A vector index cannot be used."""


class MixedVersionsWarning(UserWarning):
    """New values of a column come from another version of the function than the existing ones.

    The warning is issued before anything is computed: `warnings.simplefilter("error",
    barbule.errors.MixedVersionsWarning)` turns it into an error that ends the operation.
    """
