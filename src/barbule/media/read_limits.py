"""Read limits of files: exceeding one fails the cell, not the machine.

Owns the limits of `[media]` of the configuration while media are read, and the errors that name
them. The readers define what counts as an element, a cell or a page.
"""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING

from barbule.config import MediaSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ExceededError", "Tally", "apply_limits", "check_limit"]

_CURRENT: ContextVar[MediaSettings] = ContextVar("barbule_media_bounds")
_DEFAULT_SETTINGS = MediaSettings()
_UNITS = {
    "max_elements": "elements",
    "max_cells": "cells",
    "max_pages": "pages",
    "max_text": "characters of text",
}


class ExceededError(Exception):
    """A file exceeds a limit.

    Parameters
    ----------
    setting
        The name of the limit in `[media]`.
    """

    def __init__(self, setting: str, limit: int) -> None:
        super().__init__(f"has more than {limit:,} {_UNITS[setting]}")
        self.hint = f"Raise {setting} in [media] of the configuration if you trust the file."


@contextlib.contextmanager
def apply_limits(options: MediaSettings) -> Iterator[None]:
    """Apply the limits of a configuration in this context, including its threads."""
    token = _CURRENT.set(options)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def limit_of(setting: str) -> int:
    """Return a limit that applies here."""
    limit: int = getattr(_CURRENT.get(_DEFAULT_SETTINGS), setting)
    return limit


def check_limit(setting: str, count: int) -> None:
    """Refuse a file that exceeds a limit.

    Raises
    ------
    ExceededError
        If it does.

    Examples
    --------
    >>> check_limit("max_pages", 12)
    """
    if count > (limit := limit_of(setting)):
        raise ExceededError(setting, limit)


class Tally:
    """Counts items of a reader, up to a limit."""

    def __init__(self, setting: str) -> None:
        self._setting, self._limit, self._count = setting, limit_of(setting), 0

    def add(self, count: int) -> None:
        """Add to the count.

        Raises
        ------
        ExceededError
            If the limit is exceeded.
        """
        self._count += count
        if self._count > self._limit:
            raise ExceededError(self._setting, self._limit)
