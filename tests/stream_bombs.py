"""Audio and video files of at most one megabyte that contain or declare far more than usual."""

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
    """Create an Ogg page."""
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
    """Create an Ogg file from header packets and pages of packets."""
    made = [page(0, heads[:1], 0, 2), page(1, heads[1:], 0)]
    made += [
        page(2 + n, each, at) for n, (each, at) in enumerate(zip(packets, granules, strict=True))
    ]
    return b"".join(made)


_OPUS = (
    b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 0, _RATE, 0, 0),
    b"OpusTags" + struct.pack("<II", 0, 0),
)
# An eighth of a second with 48 empty frames.
_SILENT = b"\xe3\x30"
_LONG = 5760  # samples


def opus(path: Path) -> Path:
    """Write hours of silence with two bytes per eighth of a second."""
    count = 255
    pages_ = MEGABYTE // (27 + 3 * count) - 1
    one = [_SILENT] * count
    path.write_bytes(
        pages([one] * pages_, [(n + 1) * count * _LONG for n in range(pages_)], *_OPUS)
    )
    return path


def opus_of_weeks(path: Path) -> Path:
    """Write a short sound whose last page declares an end after weeks."""
    path.write_bytes(pages([[_SILENT], [_SILENT]], [_LONG, 1 << 40], *_OPUS))
    return path


def tiny_pages(path: Path) -> Path:
    """Write a page for each packet, even an empty one."""
    count = (MEGABYTE - 200) // 30
    path.write_bytes(pages([[_SILENT]] * count, [(n + 1) * _LONG for n in range(count)], *_OPUS))
    return path


def _made(form, codec, size=(64, 64), frames=3, **options):
    """Create a small video or audio file."""
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
    """Return the offset of the content of an MP4 box, given by its path of names."""
    begin = 0
    for name in names:
        begin = data.index(name, begin) + 4
    return begin


def claimed_samples(path: Path, count: int = 170_000_000, codec: str = "aac") -> Path:
    """Write a file whose index declares a huge number of one-byte samples."""
    data = _made("mp4", codec)
    sizes, times, chunks = (box(data, each) for each in (b"stsz", b"stts", b"stsc"))
    struct.pack_into(">II", data, sizes + 4, 1, count)
    struct.pack_into(">III", data, times + 4, 1, count, 1)
    struct.pack_into(">IIII", data, chunks + 4, 1, 1, count, 1)
    path.write_bytes(data)
    return path


def claimed_length(path: Path) -> Path:
    """Write a file whose headers declare a duration of months."""
    data = _made("mp4", "aac")
    for name, place in ((b"mvhd", 16), (b"tkhd", 20), (b"mdhd", 16)):
        struct.pack_into(">I", data, box(data, name) + place, 0xFFFFFFF0)
    begin = box(data, b"stts")
    for entry in range(int.from_bytes(data[begin + 4 : begin + 8])):
        struct.pack_into(">I", data, begin + 8 + 8 * entry + 4, 0x7FFFFFFF)
    path.write_bytes(data)
    return path


def claimed_frames(path: Path) -> Path:
    """Write an MP3 file whose first frame declares billions of frames."""
    data = _made("mp3", "libmp3lame")
    begin = data.index(b"Xing") if b"Xing" in data else data.index(b"Info")
    struct.pack_into(">III", data, begin + 4, 3, 0xFFFFFFFF, len(data))
    path.write_bytes(data)
    return path


def large_pictures(path: Path, width: int = 60_000, height: int = 60_000) -> Path:
    """Write a video whose headers declare a huge frame size."""
    data = _made("avi", "mjpeg", pixels="yuvj420p")
    for name in (b"strf",):
        struct.pack_into("<II", data, box(data, name) + 8, width, height)
    start = 0
    while (start := data.find(b"\xff\xc0\x00\x11\x08", start)) >= 0:
        struct.pack_into(">HH", data, start + 5, height, width)
        start += 5
    path.write_bytes(data)
    return path
