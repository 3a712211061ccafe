"""Readers of untrusted files, in separate processes with limits on time and memory.

Owns which files are read this way, the limits of their readers, and the errors of those that exceed
them. The readers themselves read the files.
"""

from __future__ import annotations

import contextlib
import math
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from barbule import errors
from barbule.errors import BarbuleError, FunctionError, MediaError
from barbule.media.read_limits import apply_limits
from barbule.processes.pool import Processes
from barbule.processes.worker import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from barbule.config import MediaSettings

__all__ = ["Allowance", "Isolation", "current_isolation", "in_reader_process", "isolated"]

Result = TypeVar("Result")

_CURRENT: ContextVar[Isolation | None] = ContextVar("barbule_isolation", default=None)
_IN_READER: ContextVar[bool] = ContextVar("barbule_in_reader", default=False)
_BYTES_PER_MEGABYTE = 1_000_000
_MEMORY_PER_FILE_BYTE = 8  # of a file, in addition to what any file may take
_CLOCK_SECONDS_PER_SECOND = 4  # wall-clock seconds per CPU second, as the machine may be busy
_START_SECONDS = 30.0  # additional wall-clock seconds, because the machine may be busy


class Allowance(NamedTuple):
    """Additional resources of a reader, beyond the configured limits.

    Parameters
    ----------
    seconds
        CPU seconds.
    memory
        Bytes.
    """

    seconds: int = 0
    memory: int = 0


class Isolation:
    """The processes in which a session reads untrusted files.

    Parameters
    ----------
    options
        Which files are read this way, and their limits.
    fetched
        The folder of copies of downloaded files.

    Attributes
    ----------
    readers_used
        The packages whose readers have read files, by file extension.
    former_readers
        Returns those that have read files for the database in earlier sessions.
    """

    def __init__(self, options: MediaSettings, fetched: Path) -> None:
        self._options = options
        self._fetched = fetched.absolute()
        self._processes = Processes()
        self.readers_used: dict[str, str] = {}
        self.former_readers: Callable[[], Mapping[str, str]] = dict

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Apply the configuration to all reads in this context, including its threads."""
        token = _CURRENT.set(self)
        try:
            with apply_limits(self._options):
                yield
        finally:
            _CURRENT.reset(token)

    def covers(self, path: Path, *, unbounded: bool) -> bool:
        """Whether a file is read in a separate process."""
        configured = self._options.isolate
        if configured is not None or getattr(sys, "frozen", False) or not sys.executable:
            return bool(configured)
        return unbounded or path.absolute().is_relative_to(self._fetched)

    def read(
        self, read: Callable[..., Result], path: Path, args: tuple[object, ...], extra: Allowance
    ) -> Result:
        """Call a reader of a file in another process.

        Raises
        ------
        MediaError
            If it exceeded a limit, or ended its process.
        """
        limits = self._limits(path, extra)
        timeout = _START_SECONDS + _CLOCK_SECONDS_PER_SECOND * limits.seconds
        task = (read, self._options, path.absolute(), args)
        try:
            error, value = self._processes.limited_call(_WORKER_FUNCTION, timeout, limits, task)
        except TimeoutError:
            raise MediaError(
                f"{path} takes more than {limits.seconds} s to read.",
                hint="Raise max_seconds in [media] of the configuration if you trust the file.",
            ) from None
        except MemoryError:
            raise _too_large(path, limits) from None
        except FunctionError as crash:
            raise _too_large(path, limits, f": {crash.message.rstrip('.')}") from None
        if error is None:
            result: Result = value
            return result
        raised: BarbuleError = getattr(errors, error)(value[0], hint=value[1])
        raise raised

    def _limits(self, path: Path, extra: Allowance) -> Limits:
        try:
            size = path.stat().st_size
        except OSError:  # its reader raises the reason
            size = 0
        return Limits(
            self._options.max_memory + extra.memory + _MEMORY_PER_FILE_BYTE * size,
            math.ceil(self._options.max_seconds * max(1.0, size / _BYTES_PER_MEGABYTE))
            + extra.seconds,
        )

    def close(self) -> None:
        """End the processes."""
        self._processes.close()


def current_isolation() -> Isolation | None:
    """Return what reads files in this context; None outside of a session."""
    return _CURRENT.get()


def in_reader_process() -> bool:
    """Whether this process reads files for another one, under limits."""
    return _IN_READER.get()


def isolated(
    read: Callable[..., Result],
    path: Path,
    *args: object,
    unbounded: bool = False,
    extra: Allowance | None = None,
) -> Result:
    """Call `read(path, *args)`, in another process if the configuration requires it.

    Parameters
    ----------
    read
        A module-level function; its arguments and its result can be pickled.
    unbounded
        Whether there are no other limits for files of this type.
    more
        Additional resources, beyond the configured limits.

    Raises
    ------
    MediaError
        If it exceeded a limit, or ended its process.
    """
    isolation = _CURRENT.get()
    if isolation is None or not isolation.covers(path, unbounded=unbounded):
        return read(path, *args)
    return isolation.read(read, path, args, extra or Allowance())


def _too_large(path: Path, limits: Limits, reason: str = "") -> MediaError:
    return MediaError(
        f"{path} cannot be read in {limits.memory:,} bytes of memory{reason}.",
        hint="It may be damaged or malicious; raise max_memory in [media] of the configuration "
        "if you trust it.",
    )


def read_in_worker(
    read: Callable[..., Any], options: MediaSettings, path: Path, args: tuple[Any, ...]
) -> tuple[str | None, Any]:
    """Read a file in this process, which was started for it; return an error as its parts."""
    _IN_READER.set(True)
    try:
        with apply_limits(options):
            return None, read(path, *args)
    except BarbuleError as error:
        return _class_name(error), (error.message, error.hint)


def _class_name(error: BarbuleError) -> str:
    """Return the class of an error; a reader of a package may raise a class of its own."""
    names = (cls.__name__ for cls in type(error).__mro__ if cls.__module__ == errors.__name__)
    return next(names)


_WORKER_FUNCTION = (read_in_worker.__module__, read_in_worker.__name__)
