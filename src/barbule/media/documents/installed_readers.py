"""Readers of document formats in installed packages.

Owns which files they read, and the errors of a reader that fails. barbule's own formats cannot be
replaced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.errors import BarbuleError, ConfigurationError, MediaError
from barbule.extensions import READERS, extension, extension_names
from barbule.media.documents.blocks import DocumentText
from barbule.media.read_limits import ExceededError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["installed_format", "read_installed_format"]


def installed_format(path: Path) -> str | None:
    """Return the extension of a file without its dot, if a package reads such files."""
    name = path.suffix.lower().removeprefix(".")
    return name if name and name in extension_names(READERS) else None


def read_installed_format(name: str, path: Path) -> DocumentText:
    """Read a file with the reader of a package.

    Raises
    ------
    ConfigurationError
        If the reader cannot be loaded, or returns no `DocumentText`.
    MediaError
        If the reader fails.
    """
    reader = extension(READERS, name)
    if not callable(reader):
        raise ConfigurationError(
            f"the extension {name!r} of {READERS!r} cannot be called.",
            hint="Its entry point must name a function that takes a path and returns a "
            "DocumentText.",
        )
    try:
        document = reader(path)
    except (BarbuleError, ExceededError):
        raise
    except Exception as error:
        raise MediaError(
            f"{path} cannot be read: the reader of {name.upper()} files raised "
            f"{type(error).__name__}: {error}.",
            hint="The file may be damaged; the reader is not part of barbule.",
        ) from error
    if not isinstance(document, DocumentText):
        raise ConfigurationError(
            f"the reader of {name.upper()} files returned {type(document).__name__}, not "
            "DocumentText.",
            hint="See docs/extending.md.",
        )
    return document
