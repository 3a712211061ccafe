"""The addresses of the database, the vectors and the media store.

Checks their schemes, makes their paths absolute and fills in defaults. Reads no files and opens
nothing.
"""

from __future__ import annotations

import difflib
import os
import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from barbule.config.settings import redact
from barbule.errors import ConfigurationError
from barbule.extensions import (
    BACKENDS,
    INDEXES,
    Group,
    extension,
    extension_names,
    missing_package_hint,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["ADDRESS_NAMES", "Address", "allowed_names", "resolve"]

ADDRESS_NAMES: Final = ("home", "backend", "vectors", "media")

_FILE_BACKENDS: Final = ("duckdb", "sqlite")
_BACKENDS: Final = ("duckdb", "postgres", "postgresql")
_VECTORS: Final = ("chroma", "chroma+http", "chroma+https", "exact")
_SUFFIXES: Final = {".duckdb": "duckdb", ".ddb": "duckdb", ".sqlite": "sqlite"}

# A single letter before the colon is the drive of a Windows path.
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?://)?(.*)", re.DOTALL)
_LIKE_A_SCHEME: Final = re.compile(r"([^:/\\?#\s]{2,}):")
_SIMILARITY: Final = 0.7  # of a scheme that may be meant: below it, unrelated short names match


class Address(NamedTuple):
    """An address as the user gave it.

    Parameters
    ----------
    value
        A URL or path.
    label
        Where it was given, as the beginning of a message.
    base
        The base of relative paths.
    user
        The folder that `~` stands for.
    """

    value: str
    label: str
    base: Path
    user: Path

    def invalid(self, problem: str, hint: str) -> ConfigurationError:
        """Return the error for an invalid address."""
        return ConfigurationError(f"{self.label} {problem}.", hint=hint, value=redact(self.value))

    def path(self, text: str | None = None) -> Path:
        """Convert the value, or a part of it, to an absolute path without following links."""
        path = self.value if text is None else text
        if path == "~" or path.startswith("~/"):
            path = f"{self.user}{path[1:]}"
        elif path.startswith("~") and (path := os.path.expanduser(path)).startswith("~"):  # noqa: PTH111 - which raises
            raise self.invalid(
                "begins with the home folder of a user that does not exist",
                "Check the name; a file whose name begins with '~' is './~name'.",
            )
        # pathlib cannot resolve ".." without following links; a leading "//" is not a host here.
        return Path("/" + os.path.normpath(self.base / path).lstrip("/"))

    def local_url(self, scheme: str, text: str) -> str:
        """Convert a part of the value to a URL with an absolute path."""
        path = self.path(text)
        if set("?#") & set(str(path)):
            raise self.invalid(
                "leads to a path with '?' or '#', which end the path part of a URL",
                "Choose a folder without them.",
            )
        return f"{scheme}://{path.as_posix()}"


def resolve(addresses: Mapping[str, Address], home: Path) -> tuple[str, str, str]:
    """Validate the addresses and fill in the defaults.

    Parameters
    ----------
    addresses
        The given addresses by the names in `ADDRESS_NAMES`.
    home
        The folder for defaults.

    Returns
    -------
    tuple of str
        The URLs of backend, vectors and media.

    Raises
    ------
    ConfigurationError
        An address has an unknown scheme, or lacks its host or folder.
    """
    origin = Address(str(home), "the home folder", home, home)
    default = origin.local_url("duckdb", "barbule.duckdb")
    backend = _backend(addresses["backend"]) if "backend" in addresses else default

    scheme, _, location = backend.partition("://")
    file = location.partition("?")[0]
    vectors, media = origin.local_url("chroma", "vectors"), origin.local_url("file", "media")
    if scheme in _FILE_BACKENDS and not file:
        # A separate store: no other database uses the media files of a database in memory.
        vectors, media = "exact:", f"memory://barbule/{uuid.uuid4().hex}/media"
    elif scheme in _FILE_BACKENDS and file.startswith("/") and backend != default:
        # Next to the database file, so that it moves with its vectors and media files.
        stem = Path(file).with_suffix("")
        vectors, media = f"chroma://{stem}.vectors", f"file://{stem}.media"
    return (
        backend,
        _vectors(addresses["vectors"]) if "vectors" in addresses else vectors,
        _media(addresses["media"]) if "media" in addresses else media,
    )


def _backend(address: Address) -> str:
    match = _SCHEME.fullmatch(address.value)
    if match is None:
        _refuse_invalid_name(address, BACKENDS)
        suffix = Path(address.value).suffix.lower()
        if suffix not in _SUFFIXES:
            raise address.invalid(
                "is neither an Ibis URL nor the path of a database file",
                "Write e.g. 'duckdb:///data/app.duckdb'. "
                f"{_allowed_schemes('', _BACKENDS, BACKENDS)}",
            )
        return address.local_url(_SUFFIXES[suffix], address.value)
    scheme, location = match[1].lower(), match[2]
    known = (*_BACKENDS, *_FILE_BACKENDS)
    if scheme not in known and scheme not in _installed_backends():
        raise address.invalid(
            f"has the unknown scheme {scheme!r}", _allowed_schemes(scheme, _BACKENDS, BACKENDS)
        )
    path, mark, query = location.partition("?")
    if scheme not in _FILE_BACKENDS or path.startswith(("md:", "motherduck:")):
        return address.value
    if path in {"", ":memory:"}:
        return f"{scheme}://{mark}{query}"
    return f"{address.local_url(scheme, path)}{mark}{query}"


def _refuse_invalid_name(address: Address, group: Group) -> None:
    """Refuse a scheme that a package declares although it can be no scheme.

    Raises
    ------
    ConfigurationError
        If a package declares it.
    """
    if match := _LIKE_A_SCHEME.match(address.value):
        name = match[1].lower()
        if name not in extension_names(group):
            extension(group, name)


def _allowed_schemes(scheme: str, own: tuple[str, ...], group: Group) -> str:
    names = dict.fromkeys((*own, *extension_names(group)))
    allowed = allowed_names("scheme", scheme, names, similarity=_SIMILARITY)
    return " ".join(filter(None, [allowed, missing_package_hint(group, scheme)]))


def _installed_backends() -> set[str]:
    # Only for unusual schemes: this searches all installed packages. Schemes of Ibis without an
    # adapter are refused when the backend is opened.
    from importlib.metadata import entry_points

    return {
        *extension_names(BACKENDS),
        *(entry.name for entry in entry_points(group="ibis.backends")),
    }


def _vectors(address: Address) -> str:
    match = _SCHEME.fullmatch(address.value)
    scheme, location = (match[1].lower(), match[2]) if match else ("", "")
    if address.value == "exact" or (scheme == "exact" and not location):
        return "exact:"
    if scheme and scheme not in _VECTORS and scheme in extension_names(INDEXES):
        return address.value
    if scheme not in _VECTORS:
        _refuse_invalid_name(address, INDEXES)
        problem = f"has the unknown scheme {scheme!r}" if scheme else "is not a URL"
        if address.value.lower() in extension_names(INDEXES):
            raise address.invalid(problem, f"Write '{address.value.lower()}:'.")
        raise address.invalid(problem, _allowed_schemes(scheme, _VECTORS, INDEXES))
    if scheme == "exact":
        raise address.invalid("has a path or host, and exact search takes none", "Write 'exact:'.")
    if scheme == "chroma":
        if not location:
            raise address.invalid("names no folder", "Write e.g. 'chroma:///data/vectors'.")
        return address.local_url(scheme, location)
    if not location or location.startswith(("/", ":")):
        raise address.invalid("names no host", f"Write e.g. '{scheme}://localhost:8000'.")
    return address.value


def _media(address: Address) -> str:
    match = _SCHEME.fullmatch(address.value)
    scheme, location = (match[1].lower(), match[2]) if match else ("file", address.value)
    if scheme in {"file", "local"}:
        if not location:
            raise address.invalid("names no folder", "Write e.g. 'file:///data/media'.")
        return address.local_url("file", location)
    if "://" not in address.value:
        raise address.invalid(
            "is neither a path nor a URL", "Write e.g. 's3://bucket/media' or './media'."
        )
    return address.value


def allowed_names(noun: str, name: str, names: Iterable[str], *, similarity: float = 0.6) -> str:
    """Return a hint with the allowed names and the most similar one."""
    names = list(names)
    close = difflib.get_close_matches(name, names, n=1, cutoff=similarity)
    guess = f"Did you mean {close[0]!r}? " if close else ""
    return f"{guess}Allowed {noun}s: {', '.join(names)}."
