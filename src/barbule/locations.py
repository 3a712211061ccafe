"""Paths and URIs: local files, URIs without secrets, and atomic writes.

Owns which local file a path or URI names, which parts of a URI may be displayed, and atomic writes
of files. Nothing is downloaded here.
"""

from __future__ import annotations

import os
import re
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from barbule.errors import BarbuleError, DiskError, MediaError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

__all__ = ["expand_user", "file_from_uri", "redact_uri", "write_atomically", "write_errors"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")  # two letters at least: c: is a drive


def file_from_uri(uri: str) -> Path:
    """Return the file that a path or a `file://` URI names.

    Parameters
    ----------
    uri
        A path (`~` is the home directory) or a `file://` URI of this machine.

    Returns
    -------
    pathlib.Path
        Its absolute path.

    Raises
    ------
    MediaError
        If it is not a file on this machine, or does not exist.
    """
    label = redact_uri(uri)
    scheme = _SCHEME.match(uri)
    if scheme and scheme[1].lower() == "file":
        parts = urlsplit(uri)
        if parts.netloc not in {"", "localhost"}:
            raise MediaError(
                f"{label} refers to a file on another machine.", hint="Use file:///path or a path."
            )
        path = Path(url2pathname(parts.path))
    elif scheme and (uri.startswith(f"{scheme[0]}//") or scheme[1].lower() == "data"):
        raise MediaError(f"{label} is not a local file.", hint="Download it first.")
    else:
        path = Path(uri)
    try:
        path = path.expanduser().absolute()
        if path.is_file():
            return path
        is_missing = not path.exists()
        problem = "does not exist" if is_missing else _kind(path)
    except (OSError, ValueError, RuntimeError):  # NUL bytes, over-long names, unknown ~user
        problem, is_missing = "is not a path", False
    error = MediaError(f"{label} {problem}.", hint="Check the path and the working directory.")
    error.gone = is_missing
    raise error


def _kind(path: Path) -> str:
    if path.is_dir():
        return "is a directory"
    return "is not a regular file (it is a device, a pipe or a socket) and is not read"


def expand_user(path: str | os.PathLike[str]) -> Path:
    """Return a path with `~` and `~user` replaced by home folders.

    Raises
    ------
    MediaError
        If there is no such user.

    Examples
    --------
    >>> expand_user("a/~b.png").as_posix()
    'a/~b.png'
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise MediaError(
            f"{os.fspath(path)!r} begins with the home folder of a user that does not exist.",
            hint="Check the name; a file whose name begins with '~' is './~name'.",
        ) from None


def reference_to(location: str | os.PathLike[str]) -> str:
    """Return the reference that a cell holds for a path or a URL: a local path is absolute.

    Examples
    --------
    >>> reference_to("https://example.org/a.png")
    'https://example.org/a.png'
    >>> Path(reference_to("a.png")) == Path.cwd() / "a.png"
    True
    """
    if isinstance(location, str) and ":" in location[:12]:
        return location
    return str(expand_user(location).absolute())


def redact_uri(uri: str) -> str:
    """Return a URI without parts that may be secret: user, password, query and inline data.

    Parameters
    ----------
    uri
        A URI or path.

    Returns
    -------
    str
        The string for a message or a log.

    Examples
    --------
    >>> redact_uri("https://me:pw@example.com/a.png?signature=abc#top")
    'https://example.com/a.png?…'
    """
    head = uri[:512]
    if head[:5].lower() == "data:":
        mime = head[5:].partition(",")[0].partition(";")[0]
        return f"data:{mime[:64]},…"
    scheme, separator, location = head.partition("://")
    if not separator:
        return head
    address, query, _ = location.partition("?")
    host, slash, path = address.partition("#")[0].partition("/")
    visible = f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
    return f"{visible}?…" if query else visible


@contextmanager
def write_errors(description: str) -> Iterator[None]:
    """Convert write errors of the operating system to a `DiskError`.

    Parameters
    ----------
    description
        The thing that is written, for error messages.

    Raises
    ------
    DiskError
        If the system refuses the write: the disk is full, or the path is not writable.
    """
    try:
        yield
    except BarbuleError:
        raise
    except OSError as error:
        raise DiskError.of(description, error) from error


@contextmanager
def write_atomically(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that is published under its name completely, or not at all.

    Parameters
    ----------
    path
        The file; its folder is created.

    Yields
    ------
    typing.BinaryIO
        The path to write to.
    """
    if path.exists() and not path.is_file():  # a device or a pipe keeps its type
        with path.open("wb") as file:
            yield file
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}"
    try:
        with temporary.open("xb") as file:
            yield file
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
