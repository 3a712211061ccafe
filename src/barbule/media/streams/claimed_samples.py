"""The number of samples that the index of an MP4 or MOV file claims, before it is opened.

FFmpeg creates a table entry for each of them when it opens a file; four bytes may claim billions.
Owns the count; nothing is decoded.
"""

from __future__ import annotations

import functools
import os
import re
from typing import IO, TYPE_CHECKING

from barbule.errors import MediaError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["refuse_claimed_samples"]

_FIRST = frozenset(
    (b"ftyp", b"moov", b"moof", b"mdat", b"wide", b"free", b"skip", b"styp", b"pnot")
)
_CONTENT = b"mdat"
_TABLES = re.compile(rb"stsz|stz2|stts|ctts|trun")
_COUNT = {b"stsz": 8, b"stz2": 8, b"trun": 4}  # bytes from the content of a table to its count
_PAIRS = 8  # bytes before the pairs of other tables, of which each has a count
_MOST_BOXES = 1_000_000
_HEAD = 8  # bytes of a size and a name
_SIZE_FOLLOWS = 1  # as the size of a box: eight bytes behind its name have it


def refuse_claimed_samples(path: str) -> None:
    r"""Refuse an MP4 or MOV file that claims more samples than it has bytes.

    Raises
    ------
    MediaError
        If it does.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "claimed.mp4"
    >>> _ = file.write_bytes(b"\0\0\0 moov" + bytes(4) + b"stsz" + bytes(8) + b"\xff" * 8)
    >>> refuse_claimed_samples(str(file))
    Traceback (most recent call last):
    ...
    barbule.errors.MediaError: ...claimed.mp4 claims 4,294,967,295 samples in 32 bytes. ...
    """
    state = os.stat(path)  # noqa: PTH116 - a Path would hide what is no path
    if (claimed := _claimed(path, state.st_mtime_ns, state.st_size)) > state.st_size:
        raise MediaError(
            f"{path} claims {claimed:,} samples in {state.st_size:,} bytes.",
            hint="It is damaged or malicious: export it again.",
        )


@functools.lru_cache(maxsize=4096)
def _claimed(path: str, _time: int, size: int) -> int:
    """Return the maximum number of samples that a table of a file claims."""
    most = parts = 0
    with open(path, "rb") as file:  # noqa: PTH123
        if file.read(_HEAD)[4:] not in _FIRST:
            return 0
        for content in _boxes(file, size):
            for match in _TABLES.finditer(content):
                count = _count(match[0], content, match.end())
                if match[0] == b"trun":
                    parts += count
                most = max(most, count)
    return max(most, parts)


def _boxes(file: IO[bytes], size: int) -> Iterator[bytes]:
    """Yield the outermost boxes that contain tables."""
    position = count = 0
    while position + _HEAD <= size:
        file.seek(position)
        head = file.read(2 * _HEAD)
        length = int.from_bytes(head[:4])
        if length == _SIZE_FOLLOWS:
            length = int.from_bytes(head[8:])
        end = min(size, position + length) if length else size
        if end - position < _HEAD:
            return
        if head[4:8] != _CONTENT:
            file.seek(position)
            yield file.read(end - position)
        position, count = end, count + 1
        if count > _MOST_BOXES:
            raise MediaError(
                f"{file.name} has more than {_MOST_BOXES:,} parts.", hint="Export it again."
            )


def _count(name: bytes, content: bytes, begin: int) -> int:
    offset = _COUNT.get(name)
    if offset is not None:
        return int.from_bytes(content[begin + offset : begin + offset + 4])
    pairs = int.from_bytes(content[begin + 4 : begin + _PAIRS])
    there = min(pairs, (len(content) - begin - _PAIRS) // 8)
    import numpy as np

    numbers = np.frombuffer(content, ">u4", 2 * max(0, there), begin + _PAIRS)
    return int(numbers[::2].sum(dtype=np.uint64))
