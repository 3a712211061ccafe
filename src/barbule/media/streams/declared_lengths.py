"""The length that an audio or video file declares in its outermost structure.

Owns the walk over boxes of MP4, chunks of RIFF and AIFF, and elements of Matroska: a few bytes of
each are read, nothing is decoded. A file that is being written may leave its length open.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["declared_length"]

_MAX_BOXES = 100_000  # of a fragmented film; the following ones are not examined
_EXTENDED_SIZE = 1  # as the size of a box: eight bytes behind its name have it
_UNKNOWN_LENGTH = 0xFFFF_FFFF
_SEGMENT = b"\x18\x53\x80\x67"


def declared_length(path: Path) -> int | None:
    """Return the minimum number of bytes that a file declares; None if it declares none.

    Examples
    --------
    >>> import pathlib
    >>> file = pathlib.Path("cut.wav")
    >>> _ = file.write_bytes(b"RIFF" + (100).to_bytes(4, "little") + b"WAVEfmt ")
    >>> declared_length(file), file.stat().st_size
    (108, 16)
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[4:8] in {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"}:
            return _last_box_end(file, size)
        if head[:4] == b"RIFF" and head[8:] in {b"WAVE", b"AVI "}:
            return _chunk_end(head, "little")
        if head[:4] == b"FORM" and head[8:] in {b"AIFF", b"AIFC"}:
            return _chunk_end(head, "big")
        if head[:4] == b"\x1aE\xdf\xa3":
            return _matroska_end(file)
    return None


def _chunk_end(head: bytes, order: str) -> int | None:
    length = int.from_bytes(head[4:8], "little" if order == "little" else "big")
    return None if length in {0, _UNKNOWN_LENGTH} else 8 + length


def _last_box_end(file: IO[bytes], size: int) -> int:
    """Return the end of the last box that begins in the file."""
    offset = 0
    for _ in range(_MAX_BOXES):
        file.seek(offset)
        head = file.read(16)
        if len(head) < 8:  # noqa: PLR2004 - of a size and a name
            break
        length = int.from_bytes(head[:4])
        if length == _EXTENDED_SIZE:
            length = int.from_bytes(head[8:])
        if not _is_name(head[4:8]) or length < 8:  # noqa: PLR2004 - 0: as far as the file goes
            break
        offset += length
        if offset >= size:
            return offset
    return min(offset, size)


def _is_name(name: bytes) -> bool:
    return all(0x20 <= byte < 0x7F or byte == 0xA9 for byte in name)  # noqa: PLR2004 - "©"


def _matroska_end(file: IO[bytes]) -> int | None:
    """Return the end of the segment, which contains everything else; a live one has no size."""
    file.seek(4)
    header = _read_ebml_number(file)
    if header is None:
        return None
    file.seek(header, 1)
    if file.read(4) != _SEGMENT:
        return None
    length = _read_ebml_number(file)
    return None if length is None else file.tell() + length


def _read_ebml_number(file: IO[bytes]) -> int | None:
    """Read an EBML number, whose first bits encode its length; None: unknown."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    extra_bytes = 8 - first[0].bit_length()
    bits = 7 * (extra_bytes + 1)
    number = int.from_bytes(first + file.read(extra_bytes)) & ((1 << bits) - 1)
    return None if number == (1 << bits) - 1 else number
