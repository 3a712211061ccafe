"""How much of a file is read: what is beyond fails its cell, and not the machine.

Owns the bounds that hold where media are read, as `[media]` of the configuration says, and the
errors that name them. What counts as an element, a cell or a page is known to the readers.
"""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING

from barbule.config import MediaSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ExceededError", "Tally", "bounded", "refuse_beyond"]

_CURRENT: ContextVar[MediaSettings] = ContextVar("barbule_media_bounds")
_DEFAULT = MediaSettings()
_WORDS = {
    "max_elements": "elements",
    "max_cells": "cells",
    "max_pages": "pages",
    "max_text": "characters of text",
}


class ExceededError(Exception):
    """A file goes beyond a bound.

    Parameters
    ----------
    setting
        The name of the bound in `[media]`.
    """

    def __init__(self, setting: str, limit: int) -> None:
        super().__init__(f"has more than {limit:,} {_WORDS[setting]}")
        self.hint = f"Raise {setting} in [media] of the configuration if you trust the file."


@contextlib.contextmanager
def bounded(options: MediaSettings) -> Iterator[None]:
    """Let the bounds of a configuration hold for what is read within, in its threads too."""
    token = _CURRENT.set(options)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def limit_of(setting: str) -> int:
    """Return a bound that holds here."""
    limit: int = getattr(_CURRENT.get(_DEFAULT), setting)
    return limit


def refuse_beyond(setting: str, count: int) -> None:
    """Refuse a file that goes beyond a bound.

    Raises
    ------
    ExceededError
        When it does.

    Examples
    --------
    >>> refuse_beyond("max_pages", 12)
    """
    if count > (limit := limit_of(setting)):
        raise ExceededError(setting, limit)


class Tally:
    """Counts what a reader takes, up to a bound."""

    def __init__(self, setting: str) -> None:
        self._setting, self._limit, self._count = setting, limit_of(setting), 0

    def add(self, count: int) -> None:
        """Count more of it.

        Raises
        ------
        ExceededError
            When it is too much.
        """
        self._count += count
        if self._count > self._limit:
            raise ExceededError(self._setting, self._limit)
