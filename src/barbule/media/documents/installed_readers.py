"""Readers of document formats in installed packages.

Owns which files they read, the errors of a reader that fails, and those of files whose reader is no
longer installed. barbule's own formats cannot be replaced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.errors import BarbuleError, MediaError, message_of
from barbule.extensions import (
    READERS,
    Extension,
    extension,
    extension_names,
    is_interrupt,
    misdeclaration_hint,
    signature_problem,
)
from barbule.media.documents.reader_results import checked_document
from barbule.media.isolation import current_isolation, in_reader_process
from barbule.media.read_limits import ExceededError

if TYPE_CHECKING:
    from pathlib import Path

    from barbule.media.documents.blocks import DocumentText

__all__ = [
    "installed_format",
    "missing_reader",
    "note_reader",
    "read_installed_format",
    "refuse_former_format",
]


def installed_format(path: Path) -> str | None:
    """Return the extension of a file without its dot, if a package reads such files."""
    name = path.suffix.lower().removeprefix(".")
    return name if name and name in extension_names(READERS) else None


def _reader(name: str) -> Extension:
    """Return the reader of a format.

    Raises
    ------
    ConfigurationError
        If it cannot be loaded, or cannot be called with a path.
    """
    reader = extension(READERS, name)
    assert reader is not None, name  # it is one of `extension_names`
    if problem := signature_problem(reader.value, "path"):
        raise reader.problem(
            problem,
            "Its entry point must name a function that takes a path and returns a DocumentText.",
        )
    return reader


def read_installed_format(name: str, path: Path) -> DocumentText:
    """Read a file with the reader of a package.

    Raises
    ------
    ConfigurationError
        If the reader cannot be loaded, or returns something else than a `DocumentText`.
    MediaError
        If the reader fails.
    """
    reader = _reader(name)
    try:
        document = reader.value(path)
    except ExceededError:
        raise
    except BarbuleError as error:
        if str(path) in error.message:
            raise
        raise MediaError(
            f"{path} cannot be read: {reader.label}: {error.message}", hint=error.hint
        ) from error
    except BaseException as error:
        if is_interrupt(error) or (isinstance(error, MemoryError) and in_reader_process()):
            raise  # the error of a memory limit names the limit
        raise MediaError(
            f"{path} cannot be read: {reader.label} raised {type(error).__name__}: "
            f"{message_of(error).rstrip('.')}.",
            hint=f"Check the file. If it is valid, report this to the author of {reader.package}.",
        ) from error
    return checked_document(document, reader, path)


def note_reader(name: str) -> None:
    """Record in the session that the reader of a format has read a file."""
    isolation = current_isolation()
    reader = extension(READERS, name)
    if isolation is not None and reader is not None:
        isolation.readers_used[name] = reader.origin


def refuse_former_format(path: Path) -> None:
    """Refuse a file whose reader has been uninstalled, whatever its content looks like.

    Raises
    ------
    MediaError
        If a package has read files with this extension for the database, and none does now.
    """
    isolation = current_isolation()
    former = isolation.former_readers() if isolation is not None else {}
    name = path.suffix.lower().removeprefix(".")
    if name in former and installed_format(path) is None:
        raise MediaError(
            f"{path} cannot be read: no reader for .{name} files is installed; {former[name]} has "
            "read them for this database.",
            hint="Install the package again.",
        )


def missing_reader(path: Path, name: str) -> MediaError:
    """Return the error for a file that no reader takes."""
    return MediaError(
        f"{path} cannot be read: no reader for .{name} files is installed.",
        hint="Install the package that reads them, or save plain text as .txt. "
        f"{misdeclaration_hint(READERS, name)}".rstrip(),
    )
