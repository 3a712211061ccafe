"""Files that functions make: temporary until a media store takes them.

Owns their place and their end. Knows neither formats nor stores.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from pathlib import Path

__all__ = ["MadeFile"]


class MadeFile(os.PathLike[str]):
    """A file that was made and that nobody else refers to.

    It is removed with this object. A media store takes its content when it becomes a cell;
    `reference` then says under which name.

    Parameters
    ----------
    suffix
        The extension of its format: "mp4".

    Examples
    --------
    >>> made = MadeFile("txt")
    >>> _ = made.path.write_text("barbs")
    >>> with open(made) as file:
    ...     file.read()
    'barbs'
    """

    def __init__(self, suffix: str) -> None:
        handle, name = tempfile.mkstemp(prefix="barbule-", suffix=f".{suffix}")
        os.close(handle)
        self.path = Path(name)
        self.suffix = suffix
        self.reference: str | None = None
        self._end = weakref.finalize(self, self.path.unlink, missing_ok=True)

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"MadeFile({str(self.path)!r})"
