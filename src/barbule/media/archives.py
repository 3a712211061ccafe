"""Checks of archives before they are read.

Owns the limits on the unpacked size of a zip or tar file, and on the names of its members. Nothing
is ever unpacked to the name of a member, but an archive with a name outside its folder is refused,
because it is malicious.
"""

from __future__ import annotations

import zipfile
from typing import IO, TYPE_CHECKING

from barbule.errors import MediaError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["check_member", "check_zip", "is_swollen"]

_MAX_MEMBERS = 100_000
_MAX_UNPACKED_BYTES = 1 << 30  # unpacked
_UNCHECKED_BYTES = 64 << 20  # any ratio may be legitimate below it: empty sheets, blank images
_MAX_RATIO = 200  # of text in an XML file, typically 10 to 40


def check_member(name: str, archive: str) -> None:
    """Refuse the name of a member that points outside the folder of its archive.

    Raises
    ------
    MediaError
        If it is absolute or contains "..".

    Examples
    --------
    >>> check_member("images/a..b.png", "a.tar")
    """
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or "\0" in name or parts[0].endswith(":"):
        raise MediaError(
            f"{archive} holds a file whose name points outside the archive: {name[:80]!r}.",
            hint="Such archives are malicious: do not use it.",
        )


def check_zip(path: Path | IO[bytes], label: str | None = None) -> None:
    """Refuse a zip file (DOCX, PPTX, XLSX, EPUB …) that unpacks to far more than its size.

    Only its directory is read.

    Parameters
    ----------
    path
        The file, or a stream of it.
    label
        Its name in messages; the path by default.

    Raises
    ------
    MediaError
        If its unpacked size is too large, it has too many members, or members with malicious names.
    zipfile.BadZipFile
        If it is damaged, or not a zip file.

    Examples
    --------
    >>> import pathlib, tempfile, zipfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.zip"
    >>> with zipfile.ZipFile(path, "w") as file:
    ...     file.writestr("a.txt", "barbs")
    >>> check_zip(path)
    """
    with zipfile.ZipFile(path) as archive:
        _check_members(archive.infolist(), label or str(path))


def is_swollen(packed: int, unpacked: int) -> bool:
    """Whether this many bytes are more than a legitimate file unpacks to.

    Examples
    --------
    >>> is_swollen(1_000_000, 100_000_000), is_swollen(1_000_000, 1_000_000_000)
    (False, True)
    """
    return unpacked > _UNCHECKED_BYTES and unpacked > _MAX_RATIO * max(packed, 1)


def _check_members(members: Iterable[zipfile.ZipInfo], label: str) -> None:
    count = packed = unpacked = 0
    for member in members:
        check_member(member.filename, label)
        count += 1
        packed += member.compress_size
        unpacked += member.file_size
    if unpacked > _MAX_UNPACKED_BYTES or is_swollen(packed, unpacked) or count > _MAX_MEMBERS:
        raise MediaError(
            f"{label} would unpack to {unpacked} bytes in {count} files, from {packed}.",
            hint="It is rejected as an archive bomb; save it again if you trust it.",
        )
