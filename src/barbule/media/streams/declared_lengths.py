"""How long the file of a sound or a video says that it is, told by its outermost structure.

Owns the walk over boxes of MP4, chunks of RIFF and AIFF, and elements of Matroska: a few bytes of
each are read, nothing is decoded. A file that is being written may leave its length open.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["declared_length"]

_MAX_BOXES = 100_000  # of a film in fragments; what follows them is not looked at
_SIZE_FOLLOWS = 1  # as the size of a box: eight bytes behind its name have it
_OPEN = 0xFFFF_FFFF
_SEGMENT = b"\x18\x53\x80\x67"


def declared_length(path: Path) -> int | None:
    """Return how many bytes a file has at least, as it says; None where it does not tell.

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
            return _boxes(file, size)
        if head[:4] == b"RIFF" and head[8:] in {b"WAVE", b"AVI "}:
            return _chunk(head, "little")
        if head[:4] == b"FORM" and head[8:] in {b"AIFF", b"AIFC"}:
            return _chunk(head, "big")
        if head[:4] == b"\x1aE\xdf\xa3":
            return _matroska(file)
    return None


def _chunk(head: bytes, order: str) -> int | None:
    length = int.from_bytes(head[4:8], "little" if order == "little" else "big")
    return None if length in {0, _OPEN} else 8 + length


def _boxes(file: IO[bytes], size: int) -> int:
    """Return the end of the last box that begins in the file."""
    place = 0
    for _ in range(_MAX_BOXES):
        file.seek(place)
        head = file.read(16)
        if len(head) < 8:  # noqa: PLR2004 - of a size and a name
            break
        length = int.from_bytes(head[:4])
        if length == _SIZE_FOLLOWS:
            length = int.from_bytes(head[8:])
        if not _is_name(head[4:8]) or length < 8:  # noqa: PLR2004 - 0: as far as the file goes
            break
        place += length
        if place >= size:
            return place
    return min(place, size)


def _is_name(name: bytes) -> bool:
    return all(0x20 <= byte < 0x7F or byte == 0xA9 for byte in name)  # noqa: PLR2004 - "©"


def _matroska(file: IO[bytes]) -> int | None:
    """Return the end of the segment, which all else is in; a live one has no size."""
    file.seek(4)
    header = _variable(file)
    if header is None:
        return None
    file.seek(header, 1)
    if file.read(4) != _SEGMENT:
        return None
    length = _variable(file)
    return None if length is None else file.tell() + length


def _variable(file: IO[bytes]) -> int | None:
    """Read a number of EBML, whose first bits say how many bytes it has; None: unknown."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    more = 8 - first[0].bit_length()
    bits = 7 * (more + 1)
    number = int.from_bytes(first + file.read(more)) & ((1 << bits) - 1)
    return None if number == (1 << bits) - 1 else number
