"""Detection of missing rows in a PNG.

Owns the count of its pixel bytes. Pillow accepts a file whose compressed pixels end too early, and
leaves the missing rows black.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["is_complete"]

_SIGNATURE_BYTES = 8
_HEADER_BYTES = 33  # bytes of it and the chunk that comes first
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the type of colours
# Start and step, across and down, of each pass of an interlaced image.
_PASSES = (
    (0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2)
)  # fmt: skip
_CHUNK_BYTES = 1 << 20  # bytes that are expanded at once


def is_complete(path: Path, max_bytes: int | None = None) -> bool:
    """Whether the compressed pixels of a PNG are as many as its header declares.

    Parameters
    ----------
    path
        A file that starts like a PNG.
    max_bytes
        Bytes of pixels above which it counts as complete without being expanded, which takes a
        millisecond per megabyte.
    """
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
        expected = _pixel_bytes(head)
        if max_bytes is not None and expected > max_bytes:
            return True
        return _holds_bytes(head + file.read(), expected)


def _holds_bytes(data: bytes, expected: int) -> bool:
    byte_count = 0
    inflate = zlib.decompressobj()
    try:
        for chunk in _pixels(data):
            remaining = chunk
            while remaining and not inflate.eof:
                byte_count += len(inflate.decompress(remaining, _CHUNK_BYTES))
                remaining = inflate.unconsumed_tail
            if byte_count >= expected or inflate.eof:
                break
        while (
            byte_count < expected
            and not inflate.eof
            and (expanded := inflate.decompress(b"", _CHUNK_BYTES))
        ):
            byte_count += len(expanded)
    except zlib.error:
        return False
    return byte_count >= expected


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    offset = _SIGNATURE_BYTES
    while offset + 8 <= len(data):
        length = int.from_bytes(data[offset : offset + 4])
        yield data[offset + 4 : offset + 8], data[offset + 8 : offset + 8 + length]
        offset += 12 + length


def _pixels(data: bytes) -> Iterator[bytes]:
    return (content for kind, content in _chunks(data) if kind == b"IDAT")


def _pixel_bytes(data: bytes) -> int:
    """Return the number of pixel bytes of the first frame, including the filter of each row."""
    header = data[_SIGNATURE_BYTES + 8 :]
    width, height = int.from_bytes(header[:4]), int.from_bytes(header[4:8])
    depth, colours, interlaced = header[8], header[9], header[12]
    bits = depth * _CHANNELS[colours]
    passes = _PASSES if interlaced else ((0, 1, 0, 1),)
    total = 0
    for first_column, column_step, first_row, row_step in passes:
        columns = max(0, -(-(width - first_column) // column_step))
        rows = max(0, -(-(height - first_row) // row_step))
        total += rows * (1 + (columns * bits + 7) // 8) if columns else 0
    return total
