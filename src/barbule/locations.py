"""Where media are: paths and URIs, how they are shown, and how files are written.

Owns which local file a path or URI names, what of a URI may be shown, and writing a file whole
or not at all. Nothing is fetched here.
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

__all__ = ["expanded", "file_from_uri", "storing", "without_secrets", "written_atomically"]

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
        If it is no file of this machine, or does not exist.
    """
    shown = without_secrets(uri)
    scheme = _SCHEME.match(uri)
    if scheme and scheme[1].lower() == "file":
        parts = urlsplit(uri)
        if parts.netloc not in {"", "localhost"}:
            raise MediaError(
                f"{shown} names a file of another machine.", hint="Use file:///path or a path."
            )
        path = Path(url2pathname(parts.path))
    elif scheme and (uri.startswith(f"{scheme[0]}//") or scheme[1].lower() == "data"):
        raise MediaError(f"{shown} is no local file.", hint="Fetch it first.")
    else:
        path = Path(uri)
    try:
        path = path.expanduser().absolute()
        if path.is_file():
            return path
        gone = not path.exists()
        what = "does not exist" if gone else _kind(path)
    except (OSError, ValueError, RuntimeError):  # NUL bytes, over-long names, unknown ~user
        what, gone = "is not a path", False
    error = MediaError(f"{shown} {what}.", hint="Check the path and the working directory.")
    error.gone = gone
    raise error


def _kind(path: Path) -> str:
    if path.is_dir():
        return "is a directory"
    return "is no regular file (a device, a pipe or a socket), and is not read"


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return a path in which `~` and `~user` stand for home folders.

    Raises
    ------
    MediaError
        When there is no such user.

    Examples
    --------
    >>> expanded("a/~b.png").as_posix()
    'a/~b.png'
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise MediaError(
            f"{os.fspath(path)!r} begins with the home folder of a user that does not exist.",
            hint="Check the name; a file whose name begins with '~' is './~name'.",
        ) from None


def reference_to(place: str | os.PathLike[str]) -> str:
    """Return the reference by which a cell holds a path or a URL: a local path is absolute.

    Examples
    --------
    >>> reference_to("https://example.org/a.png")
    'https://example.org/a.png'
    >>> Path(reference_to("a.png")) == Path.cwd() / "a.png"
    True
    """
    if isinstance(place, str) and ":" in place[:12]:
        return place
    return str(expanded(place).absolute())


def without_secrets(uri: str) -> str:
    """Return a URI as it may be shown: no user, password, query or inline data.

    Parameters
    ----------
    uri
        A URI or path.

    Returns
    -------
    str
        What may stand in a message or a log.

    Examples
    --------
    >>> without_secrets("https://me:pw@example.com/a.png?signature=abc#top")
    'https://example.com/a.png?…'
    """
    head = uri[:512]
    if head[:5].lower() == "data:":
        mime = head[5:].partition(",")[0].partition(";")[0]
        return f"data:{mime[:64]},…"
    scheme, mark, rest = head.partition("://")
    if not mark:
        return head
    address, query, _ = rest.partition("?")
    host, slash, path = address.partition("#")[0].partition("/")
    shown = f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
    return f"{shown}?…" if query else shown


@contextmanager
def storing(what: str) -> Iterator[None]:
    """Say in our words why something cannot be written.

    Parameters
    ----------
    what
        What errors call it.

    Raises
    ------
    DiskError
        When the system refuses it: the disk is full, or the path not to be written.
    """
    try:
        yield
    except BarbuleError:
        raise
    except OSError as error:
        raise DiskError.of(what, error) from error


@contextmanager
def written_atomically(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that appears under its name whole, or not at all.

    Parameters
    ----------
    path
        The file; its folder is made.

    Yields
    ------
    typing.BinaryIO
        Where to write.
    """
    if path.exists() and not path.is_file():  # a device or a pipe stays what it is
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
