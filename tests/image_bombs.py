"""Images of at most one megabyte that contain or declare a huge number of frames or pixels."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING

import PIL.Image

from pdf_bombs import squeezed

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["apng", "avif", "ico", "pages", "png_data", "ring", "webp_frames"]

MEGABYTE = 1_000_000


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check


def png_data(width: int, height: int, channels: int = 1, more: bytes = b"") -> bytes:
    """Create a PNG of one colour; `more` chunks precede its pixels."""
    colours = bytes((8, 6 if channels == 4 else 0, 0, 0, 0))
    head = struct.pack(">II", width, height) + colours
    rows = squeezed(b"\0", (channels * width + 1) * height + (1 << 20))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + more + _chunk(b"IDAT", rows)


def apng(path: Path, size: int = 9400, channels: int = 1) -> Path:
    """Write a large image and as many one-pixel frames as fit."""
    area = struct.pack(">IIIIHHBB", 1, 1, 0, 0, 1, 10, 0, 1)
    pixel = zlib.compress(bytes(1 + channels))

    def frame(number: int) -> bytes:
        told = _chunk(b"fcTL", struct.pack(">I", 2 * number) + area)
        return told + _chunk(b"fdAT", struct.pack(">I", 2 * number + 1) + pixel)

    first = png_data(size, size, channels)
    count = (MEGABYTE - len(first) - 40) // len(frame(1))
    animated = _chunk(b"acTL", struct.pack(">II", count, 0))
    data = png_data(size, size, channels, animated)
    frames = b"".join(map(frame, range(count)))
    path.write_bytes(data + frames + _chunk(b"IEND", b""))
    return path


def webp_frames(path: Path, width: int = 16_000, height: int = 3_300) -> Path:
    """Write as many one-pixel frames on a large canvas as fit."""
    buffer = io.BytesIO()
    PIL.Image.new("RGBA", (1, 1)).save(buffer, "WEBP", lossless=True)
    pixel = buffer.getvalue()[12:]

    def chunk(kind: bytes, data: bytes) -> bytes:
        return kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)

    frame = chunk(b"ANMF", bytes(12) + b"\x0a\0\0\x02" + pixel)
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    head = chunk(b"VP8X", b"\x12\0\0\0" + canvas) + chunk(b"ANIM", bytes(6))
    body = b"WEBP" + head + frame * ((MEGABYTE - 60) // len(frame))
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


def _directory(following: int, at: int, width: int = 1, height: int = 1) -> bytes:
    """Create a TIFF page of one strip of pixels at the start of the file."""
    fields = (
        (256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, at), (277, 1),
        (278, height), (279, 1),
    )  # fmt: skip
    made = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields)
    return struct.pack("<H", len(fields)) + made + struct.pack("<I", following)


def pages(path: Path, *, fields: int = 9) -> Path:
    """Write a TIFF of as many pages as fit."""
    size = len(_directory(0, 8))
    count = (MEGABYTE - 16) // size
    places = [16 + size * number for number in range(count)] + [0]
    body = b"".join(_directory(places[number + 1], 8) for number in range(count))
    path.write_bytes(b"II*\0" + struct.pack("<I", 16) + bytes(8) + body)
    return path


def short_pages(path: Path) -> Path:
    """Write a TIFF whose pages after the first have one field each."""
    first = _directory(16 + len(_directory(0, 8)), 8)
    begin = 16 + len(first)
    size = 2 + 12 + 4
    count = (MEGABYTE - begin) // size
    body = b"".join(
        struct.pack("<HHHIII", 1, 256, 4, 1, 1, begin + size * (n + 1) if n + 1 < count else 0)
        for n in range(count)
    )
    path.write_bytes(b"II*\0" + struct.pack("<I", 16) + bytes(8) + first + body)
    return path


def ring(path: Path) -> Path:
    """Write a TIFF whose last page links to the first."""
    size = len(_directory(0, 8))
    path.write_bytes(
        b"II*\0" + struct.pack("<I", 16) + bytes(8) + _directory(16 + size, 8) + _directory(16, 8)
    )
    return path


def ico(path: Path, width: int = 9400, height: int = 9500) -> Path:
    """Write an icon whose entries all refer to one large image."""
    picture = png_data(width, height, 4) + _chunk(b"IEND", b"")
    count = (MEGABYTE - len(picture)) // 16 - 1
    entry = struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, len(picture), 6 + 16 * count)
    path.write_bytes(struct.pack("<HHH", 0, 1, count) + entry * count + picture)
    return path


def avif(path: Path, width: int = 9400, height: int = 9400) -> Path:
    """Write an animation of two frames, then overwrite its canvas size."""
    frames = [PIL.Image.new("RGB", (2, 2), shade) for shade in ("red", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    data = bytearray(path.read_bytes())
    begin = 0
    size = struct.pack(">II", width, height)
    while (begin := data.find(b"ispe", begin)) >= 0:
        data[begin + 8 : begin + 16] = size
        begin += 8
    begin = data.find(b"av01", data.find(b"stsd"))
    if begin >= 0:
        data[begin + 28 : begin + 32] = struct.pack(">HH", width, height)
    path.write_bytes(data)
    return path
