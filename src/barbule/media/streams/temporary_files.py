"""Files that functions write: temporary until a media store takes them.

Owns their folder and their removal. Knows neither formats nor stores.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from pathlib import Path

__all__ = ["TemporaryFile"]


class TemporaryFile(os.PathLike[str]):
    """A file that a function wrote and that nothing else refers to.

    It is removed with this object. A media store takes its content when it becomes a cell;
    `reference` is then its reference in the store.

    Parameters
    ----------
    suffix
        The extension of its format: "mp4".

    Examples
    --------
    >>> file = TemporaryFile("txt")
    >>> _ = file.path.write_text("barbs")
    >>> with open(file) as stream:
    ...     stream.read()
    'barbs'
    """

    def __init__(self, suffix: str) -> None:
        handle, name = tempfile.mkstemp(prefix="barbule-", suffix=f".{suffix}")
        os.close(handle)
        self.path = Path(name)
        self.suffix = suffix
        self.reference: str | None = None
        self._finalizer = weakref.finalize(self, self.path.unlink, missing_ok=True)

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"TemporaryFile({str(self.path)!r})"
