"""Remote file systems with a time limit for each call, regardless of how slowly it answers.

Owns that limit, and its error message. The callers decide what is called.
"""

from __future__ import annotations

import functools
import inspect
import io
from typing import IO, TYPE_CHECKING, Any

from barbule.media.fetching.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LimitedFiles"]

_BUFFER_BYTES = 1 << 20


class LimitedFiles:
    """The calls of an fsspec file system, each with a time limit.

    A call is one file or one listing. If it takes longer, its connection is ended if the file
    system supports that; the caller continues in any case.

    Parameters
    ----------
    files
        The file system.
    seconds
        The limit of each call.

    Examples
    --------
    >>> import fsspec
    >>> files = LimitedFiles(fsspec.filesystem("memory"), 10)
    >>> files.pipe_file("/limited/a.txt", b"barbs")
    >>> files.cat_file("/limited/a.txt")
    b'barbs'
    """

    def __init__(self, files: Any, seconds: float) -> None:
        self._files = files
        self._seconds = seconds

    @property
    def protocol(self) -> str | tuple[str, ...]:
        """The schemes of its URLs."""
        names: str | tuple[str, ...] = self._files.protocol
        return names

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        return functools.partial(self._call, name)

    def open(self, path: str, mode: str = "rb") -> IO[bytes]:
        """Open a file for reading: the limit applies to each read.

        Readers of rows do much else in between, so there is no limit for the entire file.
        """
        if mode != "rb":
            raise ValueError(mode)
        return io.BufferedReader(
            _LimitedFile(self._call("open", path, "rb"), self._seconds), _BUFFER_BYTES
        )

    def unstrip_protocol(self, path: str) -> str:
        """Return the URL of a path."""
        url: str = self._files.unstrip_protocol(path)
        return url

    def _call(self, name: str, *args: Any, **options: Any) -> Any:
        deadline = Deadline(self._seconds)
        return _ended(deadline, functools.partial(self._request, name, deadline), *args, **options)

    def _request(self, name: str, deadline: Deadline, *args: Any, **options: Any) -> Any:
        asynchronous = getattr(self._files, f"_{name}", None)
        if not (self._files.async_impl and inspect.iscoroutinefunction(asynchronous)):
            return getattr(self._files, name)(*args, **options)
        from fsspec.asyn import sync

        # Cancelled at the limit: an abandoned request must not complete later.
        limit = deadline.remaining
        return sync(self._files.loop, asynchronous, *args, timeout=limit, **options)


class _LimitedFile(io.RawIOBase):
    """A file with a time limit for each read."""

    def __init__(self, file: Any, seconds: float) -> None:
        self._file = file
        self._seconds = seconds

    def readinto(self, buffer: Any) -> int:
        data: bytes = _ended(Deadline(self._seconds), self._file.read, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        position: int = self._file.seek(offset, whence)
        return position

    def tell(self) -> int:
        position: int = self._file.tell()
        return position

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def _ended(deadline: Deadline, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    try:
        return deadline.call(functools.partial(function, **options), *args)
    except TimeoutError:
        if not deadline.passed:
            raise
        raise TimeoutError(
            f"no complete answer arrived within {deadline.seconds:g} s, the time_limit in [media] "
            "of the configuration"
        ) from None
