"""Tar files, compressed or not, read as a stream.

Refuses archive bombs, oversized headers and truncated files.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import tarfile
import zlib
from typing import IO, TYPE_CHECKING, Any, Self

from barbule.errors import DataError
from barbule.media.archives import is_swollen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from barbule.io.input_files import File

__all__ = ["open_tar_file"]


@contextlib.contextmanager
def open_tar_file(file: File) -> Iterator[Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]]:
    """Open a tar file and iterate over its members, each with the archive.

    Raises
    ------
    DataError
        If the file is missing, damaged or truncated, or unpacks to far more than its size.
    """
    with (
        _explain_errors(file),
        file.open_python() as opened,
        _open_stream(stream := _CountingStream(opened)) as archive,
    ):
        yield _checked_members(file, stream, archive)


def _checked_members(
    file: File, stream: _CountingStream, archive: tarfile.TarFile
) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
    for index, member in enumerate(archive):
        archive.members.clear()  # type: ignore[attr-defined]  # it would keep all members
        _refuse_swollen(file, stream.count, member, index)
        yield member, archive


@contextlib.contextmanager
def _open_stream(stream: _CountingStream) -> Iterator[tarfile.TarFile]:
    """Open a tar file, compressed or not, as a stream."""
    head = stream.read(6)
    stream.seek(0)
    opener = next(
        (decompress for magic, decompress in _DECOMPRESSORS.items() if head.startswith(magic)), None
    )
    with contextlib.ExitStack() as closing:
        # Not decompressed by `tarfile`, whose buffer grows with the unpacked size of a block.
        plain: Any = stream if opener is None else closing.enter_context(opener(stream))
        yield closing.enter_context(tarfile.open(fileobj=plain, mode="r|", tarinfo=_TarMember))


_DECOMPRESSORS: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": lambda stream: gzip.GzipFile(fileobj=stream),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ": lzma.LZMAFile,
    b"\x5d\x00\x00\x80": lzma.LZMAFile,
}
_MAX_MEMBERS_OF_ANY_SIZE = 20_000
_MIN_PACKED_BYTES = 8  # of a member: a header with a name and a time takes some 20


def _refuse_swollen(file: File, packed: int, member: tarfile.TarInfo, index: int) -> None:
    empty = index > _MAX_MEMBERS_OF_ANY_SIZE and packed < _MIN_PACKED_BYTES * index
    if empty or is_swollen(packed, member.offset_data):
        raise DataError(
            f"the file {file.label!r} unpacks to more than {member.offset_data} bytes in "
            f"{index + 1} files, from {packed}.",
            hint="It is rejected as an archive bomb; decompress it first if you trust it.",
        )


class _CountingStream:
    """A stream that counts the bytes that are read."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self.count += len(data)
        return data

    def seek(self, position: int, whence: int = 0) -> int:
        self.count = 0
        return self._stream.seek(position, whence)


_MAX_HEADER_BYTES = 1 << 20
_HEADERS = {
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
}


class _TarMember(tarfile.TarInfo):
    """A member of an archive that must be complete: `tarfile` accepts a truncated one."""

    def _proc_member(self, archive: tarfile.TarFile) -> Any:
        # The content of a header is read at once, before the member is returned.
        if self.type in _HEADERS and self.size > _MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header in it claims {self.size} bytes")
        return super()._proc_member(archive)  # type: ignore[misc]

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except (tarfile.EmptyHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            raise EOFError("it has no end") from error


@contextlib.contextmanager
def _explain_errors(file: File) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise file.missing() from error
    except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        reason = str(error).strip().rstrip(".") or "it ends in the middle"
        raise DataError(
            f"the file {file.label!r} cannot be read: {reason}.",
            hint="It may be truncated or damaged, or not a tar file.",
        ) from error
