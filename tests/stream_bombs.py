"""Sounds and videos of at most a megabyte that claim, or hold, far more than such files do."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

import av
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["claimed_samples", "large_pictures", "opus", "opus_of_weeks", "pages", "tiny_pages"]

MEGABYTE = 1_000_000
_RATE = 48_000


def _table():
    table = []
    for number in range(256):
        rest = number << 24
        for _ in range(8):
            rest = (rest << 1 ^ (0x04C11DB7 if rest >> 31 else 0)) & 0xFFFFFFFF
        table.append(rest)
    return table


_TABLE = _table()


def page(number, packets, granule, flags=0):
    """Make a page of Ogg."""
    lengths = b"".join(
        b"\xff" * (len(packet) // 255) + bytes((len(packet) % 255,)) for packet in packets
    )
    form = struct.Struct("<4sBBqIIIB")

    def head(check):
        told = form.pack(b"OggS", 0, flags, granule, 1, number, check, len(lengths))
        return told + lengths

    body = b"".join(packets)
    check = 0
    for byte in head(0) + body:
        check = (check << 8 & 0xFFFFFFFF) ^ _TABLE[(check >> 24) ^ byte]
    return head(check) + body


def pages(packets, granules, *heads):
    """Make an Ogg file of a beginning, and of pages with packets."""
    made = [page(0, heads[:1], 0, 2), page(1, heads[1:], 0)]
    made += [
        page(2 + n, each, at) for n, (each, at) in enumerate(zip(packets, granules, strict=True))
    ]
    return b"".join(made)


_OPUS = (
    b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 0, _RATE, 0, 0),
    b"OpusTags" + struct.pack("<II", 0, 0),
)
# Of an eighth of a second, in which there are 48 frames without anything.
_SILENT = b"\xe3\x30"
_LONG = 5760  # samples


def opus(path: Path) -> Path:
    """Write hours of silence, of which each eighth of a second takes two bytes."""
    count = 255
    pages_ = MEGABYTE // (27 + 3 * count) - 1
    one = [_SILENT] * count
    path.write_bytes(
        pages([one] * pages_, [(n + 1) * count * _LONG for n in range(pages_)], *_OPUS)
    )
    return path


def opus_of_weeks(path: Path) -> Path:
    """Write a moment of sound, whose last page says that it ends in weeks."""
    path.write_bytes(pages([[_SILENT], [_SILENT]], [_LONG, 1 << 40], *_OPUS))
    return path


def tiny_pages(path: Path) -> Path:
    """Write a page for each packet, be it empty."""
    count = (MEGABYTE - 200) // 30
    path.write_bytes(pages([[_SILENT]] * count, [(n + 1) * _LONG for n in range(count)], *_OPUS))
    return path


def _made(form, codec, size=(64, 64), frames=3, **options):
    """Make a small file of pictures, or of sound."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=form) as out:
        if codec in {"aac", "libmp3lame", "pcm_s16le"}:
            stream = out.add_stream(codec, rate=_RATE, layout="mono")
            for _ in range(frames * 20):
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), "int16"), "s16", "mono")
                frame.sample_rate = _RATE
                out.mux(stream.encode(frame))
        else:
            stream = out.add_stream(codec, rate=10)
            stream.width, stream.height = size
            stream.pix_fmt = options.get("pixels", "yuv420p")
            for _ in range(frames):
                out.mux(stream.encode(av.VideoFrame(*size, stream.pix_fmt)))
        out.mux(stream.encode(None))
    return bytearray(buffer.getvalue())


def box(data, *names):
    """Return where the content of a box of MP4 begins, by the names on the way to it."""
    begin = 0
    for name in names:
        begin = data.index(name, begin) + 4
    return begin


def claimed_samples(path: Path, count: int = 170_000_000, codec: str = "aac") -> Path:
    """Write a file whose index says that it has so many samples of one byte."""
    data = _made("mp4", codec)
    sizes, times, chunks = (box(data, each) for each in (b"stsz", b"stts", b"stsc"))
    struct.pack_into(">II", data, sizes + 4, 1, count)
    struct.pack_into(">III", data, times + 4, 1, count, 1)
    struct.pack_into(">IIII", data, chunks + 4, 1, 1, count, 1)
    path.write_bytes(data)
    return path


def claimed_length(path: Path) -> Path:
    """Write a file whose headers say that it lasts for months."""
    data = _made("mp4", "aac")
    for name, place in ((b"mvhd", 16), (b"tkhd", 20), (b"mdhd", 16)):
        struct.pack_into(">I", data, box(data, name) + place, 0xFFFFFFF0)
    begin = box(data, b"stts")
    for entry in range(int.from_bytes(data[begin + 4 : begin + 8])):
        struct.pack_into(">I", data, begin + 8 + 8 * entry + 4, 0x7FFFFFFF)
    path.write_bytes(data)
    return path


def claimed_frames(path: Path) -> Path:
    """Write an MP3 file whose first frame says that billions follow."""
    data = _made("mp3", "libmp3lame")
    begin = data.index(b"Xing") if b"Xing" in data else data.index(b"Info")
    struct.pack_into(">III", data, begin + 4, 3, 0xFFFFFFFF, len(data))
    path.write_bytes(data)
    return path


def large_pictures(path: Path, width: int = 60_000, height: int = 60_000) -> Path:
    """Write a video whose headers say how large its pictures are."""
    data = _made("avi", "mjpeg", pixels="yuvj420p")
    for name in (b"strf",):
        struct.pack_into("<II", data, box(data, name) + 8, width, height)
    start = 0
    while (start := data.find(b"\xff\xc0\x00\x11\x08", start)) >= 0:
        struct.pack_into(">HH", data, start + 5, height, width)
        start += 5
    path.write_bytes(data)
    return path
