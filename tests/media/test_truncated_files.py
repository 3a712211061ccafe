"""Truncated files are detected on insert, whatever their size."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

import barbule as bb
from barbule.errors import MediaError
from barbule.media.streams.declared_lengths import declared_length
from fakes.films import film, tone

IMAGES = {"png": "PNG", "jpg": "JPEG", "gif": "GIF", "webp": "WEBP", "tif": "TIFF", "bmp": "BMP"}
SMALL = {"frames": 24, "size": (64, 64), "gop": 4}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def _picture(form, size):
    noise = Image.effect_noise((size, size), 90).convert("RGB")
    noise.save(buffer := io.BytesIO(), form)
    return buffer.getvalue()


@pytest.mark.parametrize("part", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("size", [24, 600])
@pytest.mark.parametrize("ending", IMAGES)
def test_truncated_images_are_rejected(ending, size, part):
    data = _picture(IMAGES[ending], size)
    cut = data[: int(len(data) * part)]
    table = bb.create_table("t", {"img": bb.Image})
    Path(f"a.{ending}").write_bytes(cut)
    for name in (f"a.{ending}", cut):
        with pytest.raises(MediaError, match=r"row 0: .*(damaged|not an image|cannot be read)"):
            table.insert(img=name)
    table.insert(img=data)
    assert table.count().to_pyarrow().as_py() == 1


def _short_of_rows(size):
    """Create a complete PNG file with the pixels of half its rows."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(
            ">I", zlib.crc32(kind + content)
        )  # fmt: skip

    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + bytes([200]) * 3 * size) * (size // 2))
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_large_png_without_all_rows_is_rejected_when_opened():
    table = bb.create_table("t", {"img": bb.Image})
    with pytest.raises(MediaError, match="damaged or truncated"):
        table.insert(img=_short_of_rows(64))
    table.insert(img=_short_of_rows(640))
    with pytest.raises(MediaError, match="damaged or truncated"):
        table.collect()[0, "img"]


FILMS = {
    "mp4": lambda name: film(name, **SMALL),
    "mov": lambda name: film(name, **SMALL),
    "mkv": lambda name: film(name, **SMALL),
    "avi": lambda name: film(name, codec="mpeg4", **SMALL),
}


@pytest.mark.parametrize("ending", FILMS)
def test_truncated_videos_are_rejected(ending):
    name = f"film.{ending}"
    FILMS[ending](name)
    data = Path(name).read_bytes()
    assert declared_length(Path(name)) in {len(data), len(data) + 1}
    table = bb.create_table("t", {"film": bb.Video})
    table.insert(film=data)
    for part in (0.6, 0.95):
        with pytest.raises(MediaError, match=r"row 0: .*(truncated|cannot be read)"):
            table.insert(film=data[: int(len(data) * part)])


def test_declared_length_is_read_with_a_leading_index():
    boxes = [(b"ftyp", b"isom0000"), (b"moov", b"x" * 40), (b"mdat", b"y" * 400)]
    data = b"".join(struct.pack(">I", 8 + len(text)) + name + text for name, text in boxes)
    file = Path("a.mp4")
    file.write_bytes(data)
    assert declared_length(file) == len(data)
    file.write_bytes(data[:300])
    assert declared_length(file) == len(data)
    large = struct.pack(">I4sQ", 1, b"mdat", 1 << 40)
    file.write_bytes(data[:64] + large)
    assert declared_length(file) == 64 + (1 << 40)


@pytest.mark.parametrize("ending", ["wav", "aiff"])
def test_truncated_sounds_are_rejected(ending):
    codec = {"wav": "pcm_s16le", "aiff": "pcm_s16be"}[ending]
    tone(f"tone.{ending}", codec=codec)
    data = Path(f"tone.{ending}").read_bytes()
    table = bb.create_table("t", {"sound": bb.Audio})
    table.insert(sound=data)
    with pytest.raises(MediaError, match=r"row 0: .*is truncated: it should have"):
        table.insert(sound=data[: len(data) // 2])
    if ending == "wav":  # a file written to a pipe declares no length
        table.insert(sound=data[:4] + b"\xff" * 4 + data[8 : len(data) // 2])


@pytest.mark.parametrize(
    "content",
    [
        b"", b"RIFF", b"\x1aE\xdf\xa3", b"\x1aE\xdf\xa3\x01", b"\x1aE\xdf\xa3\x00\x00", b"fLaC" * 9,
        b"\0\0\0\x08ftyp" + b"\xff" * 40, b"\0\0\0\x10ftypisom0000" + b"\0" * 40,
        b"\x1aE\xdf\xa3\x84abcd\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff",
    ],
)  # fmt: skip
def test_files_without_a_declared_length_pass(content):
    file = Path("a.bin")
    file.write_bytes(content)
    declared = declared_length(file)
    assert declared is None or declared <= len(content)
