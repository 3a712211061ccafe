from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import barbule as bb
from barbule.errors import MediaError
from barbule.media.images.encoding import encode_image
from barbule.media.images.image_files import (
    image_bytes_suffix,
    image_from_array,
    open_image,
    validate_image,
)

DATA = Path(os.environ.get("BARBULE_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")


@pytest.fixture
def photo() -> PIL.Image.Image:
    pixels = np.random.default_rng(7).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    return PIL.Image.fromarray(pixels)


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_image_formats_round_trip(tmp_path, photo, name):
    path = tmp_path / "no-extension"
    path.write_bytes(encode_image(photo, name))
    assert validate_image(path) == name
    opened = open_image(path)
    assert opened.size == (60, 40)
    assert opened.getpixel((0, 0)) is not None
    path.unlink()  # closed, so that every system can delete it
    assert encode_image(opened)[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("name", "suffix"), [("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp"), ("TIFF", "tif")]
)
def test_suffix_is_detected_from_bytes(photo, name, suffix):
    assert image_bytes_suffix(encode_image(photo, name)) == suffix


def test_bytes_that_are_no_image_are_rejected():
    with pytest.raises(MediaError, match="5 bytes are not an image"):
        image_bytes_suffix(b"barbs")


def test_missing_empty_and_foreign_files_are_rejected(tmp_path):
    with pytest.raises(MediaError, match=r"gone\.png does not exist"):
        validate_image(tmp_path / "gone.png")
    with pytest.raises(MediaError, match="is a directory"):
        validate_image(tmp_path)
    (tmp_path / "empty.png").touch()
    with pytest.raises(MediaError, match=r"empty\.png is empty"):
        validate_image(tmp_path / "empty.png")
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(MediaError, match=r"text\.png is not an image"):
        open_image(tmp_path / "text.png")


def test_truncated_images_are_rejected(tmp_path, photo):
    png = tmp_path / "half.png"
    png.write_bytes(encode_image(photo)[:2000])
    with pytest.raises(MediaError, match=r"half\.png is a damaged or truncated"):
        validate_image(png)
    jpeg = tmp_path / "half.jpg"
    jpeg.write_bytes(encode_image(photo, "JPEG")[:900])
    with pytest.raises(MediaError, match=r"half\.jpg is a damaged or truncated"):
        open_image(jpeg)


def png_of(
    rows: int,
    *,
    height: int = 64,
    width: int = 64,
    interlace: bool = False,
    pixels: bytes | None = None,
) -> bytes:
    """Create a white PNG that ends after some rows, with valid checksums."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, interlace)
    if pixels is None:
        pixels = (b"\0" + b"\xff" * 3 * width) * rows
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(pixels)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*content) for content in chunks)


@pytest.mark.parametrize("rows", [0, 1, 32, 63])
def test_png_without_some_rows_is_rejected(tmp_path, rows):
    path = tmp_path / "half.png"
    path.write_bytes(png_of(rows))
    for use in (validate_image, open_image):
        with pytest.raises(MediaError, match=r"half\.png is a damaged or truncated"):
            use(path)
    path.write_bytes(png_of(64))
    assert validate_image(path) == "PNG"


def test_large_png_without_some_rows_is_rejected_when_opened(tmp_path):
    path = tmp_path / "half.png"
    path.write_bytes(png_of(700, height=1400, width=900))
    with pytest.raises(MediaError, match=r"half\.png is a damaged or truncated"):
        open_image(path)
    path.write_bytes(png_of(1400, height=1400, width=900))
    assert open_image(path).getpixel((899, 1399)) == (255, 255, 255)


def test_interlaced_png_without_some_pixels_is_rejected(tmp_path):
    path = tmp_path / "half.png"
    path.write_bytes(png_of(20, interlace=True))
    for use in (validate_image, open_image):
        with pytest.raises(MediaError, match=r"half\.png is a damaged or truncated"):
            use(path)


def test_complete_interlaced_png_is_accepted(tmp_path):
    # Columns and rows of the seven Adam7 passes of 64 x 64 pixels.
    passes = [(8, 8), (8, 8), (16, 8), (16, 16), (32, 16), (32, 32), (64, 32)]
    pixels = b"\0" * sum(rows * (1 + 3 * columns) for columns, rows in passes)
    path = tmp_path / "interlaced.png"
    path.write_bytes(png_of(64, interlace=True, pixels=pixels))
    assert validate_image(path) == "PNG"
    assert open_image(path).getextrema() == ((0, 0),) * 3
    path.write_bytes(png_of(64, interlace=True, pixels=pixels[:-1]))
    with pytest.raises(MediaError, match=r"interlaced\.png is a damaged or truncated"):
        open_image(path)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_truncated_jpeg_with_an_end_marker_is_rejected(tmp_path, photo, mode, share):
    jpeg = encode_image(photo.convert(mode).resize((600, 400)), "JPEG")
    path = tmp_path / "half.jpg"
    path.write_bytes(jpeg[: int(len(jpeg) * share)] + b"\xff\xd9")
    for use in (validate_image, open_image):
        with pytest.raises(MediaError, match=r"half\.jpg is a damaged or truncated"):
            use(path)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0, "quality": 95}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (64, 48), (601, 399)])
def test_uniform_grey_jpeg_is_accepted(tmp_path, mode, size, options):
    path = tmp_path / "grey.jpg"
    exif = PIL.Image.Exif()
    exif[0x0110] = "Feather 1"
    PIL.Image.new(mode, size, 128 if mode == "L" else (128,) * len(mode)).save(
        path, exif=exif, comment="grey", **options
    )
    assert validate_image(path) == "JPEG"
    assert open_image(path).size == size


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("size", [(1, 1), (5, 3), (64, 64), (1200, 900)])
def test_black_and_transparent_images_are_accepted(tmp_path, mode, size):
    path = tmp_path / "black.png"
    PIL.Image.new(mode, size).save(path)
    assert validate_image(path) == "PNG"
    assert open_image(path).size == size


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "JPEG2000", "DDS"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_damaged_image_bytes_are_a_cell_error(session, photo, name, share):
    buffer = io.BytesIO()
    photo.save(buffer, format=name)
    content = buffer.getvalue()
    cut = content[: int(len(content) * share)]
    t = bb.create_table("pictures", {"n": bb.Int, "img": bb.Image})
    rows = [{"n": 1, "img": content}, {"n": 2, "img": cut}, {"n": 3, "img": content}]
    done = t.insert(rows, on_error="null")
    assert (done.rows, done.errors) == (3, 1)
    cells = t.order_by("n").collect()["img"]
    assert [cell is None for cell in cells] == [False, True, False]
    with pytest.raises(MediaError, match=r"column 'img', row 1"):
        t.insert(rows)
    assert t.count().execute() == 3


@pytest.mark.parametrize("factor", [1.5, 3])
def test_too_many_pixels_are_rejected(tmp_path, photo, monkeypatch, factor):
    path = tmp_path / "bomb.png"
    path.write_bytes(encode_image(photo))
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", int(60 * 40 / factor))
    for use in (validate_image, open_image):
        with pytest.raises(MediaError, match="more pixels than the limit"):
            use(path)


def test_orientation_is_not_applied_on_open(tmp_path, photo):
    exif = photo.getexif()
    exif[0x0112] = 6
    photo.save(tmp_path / "turned.jpg", exif=exif)
    opened = open_image(tmp_path / "turned.jpg")
    assert opened.size == (60, 40)
    assert opened.getexif()[0x0112] == 6


def test_transparency_becomes_white_in_formats_without_alpha():
    clear = PIL.Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    back = PIL.Image.open(io.BytesIO(encode_image(clear, "jpg")))
    assert back.getpixel((0, 0)) == (255, 255, 255)
    reopened = PIL.Image.open(io.BytesIO(encode_image(clear, "WEBP")))
    assert reopened.mode == "RGBA"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "F"])
@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP"])
def test_every_mode_can_be_encoded(mode, name):
    assert image_bytes_suffix(encode_image(PIL.Image.new(mode, (3, 2)), name))


def test_unknown_format_is_rejected(photo):
    with pytest.raises(MediaError, match="cannot be written in the format 'nope'"):
        encode_image(photo, "nope")


def test_arrays_become_images():
    assert image_from_array(np.zeros((2, 3), np.uint8)).mode == "L"
    assert image_from_array(np.zeros((2, 3, 1), np.uint8)).mode == "L"
    assert image_from_array(np.zeros((2, 3, 4), np.uint8)).mode == "RGBA"
    assert image_from_array(np.full((2, 3), 500, np.uint16)).getpixel((0, 0)) == 500
    assert image_from_array(np.ones((2, 3), bool)).getpixel((0, 0)) == 255
    assert image_from_array(np.full((2, 3, 3), 0.5)).getpixel((0, 0)) == (128, 128, 128)
    wide = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert np.array_equal(np.asarray(image_from_array(wide[:, ::2])), wide[:, ::2])


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros(3, np.uint8), r"shape \(3,\)"),
        (np.zeros((2, 2, 5), np.uint8), r"shape \(2, 2, 5\)"),
        (np.zeros((0, 2), np.uint8), r"shape \(0, 2\)"),
        (np.full((2, 2), 7.0), "floats is an image only if its values are from 0 to 1"),
        (np.full((2, 2), np.nan), "floats is an image only if its values are from 0 to 1"),
        (np.zeros((2, 2), np.int64), "array of int64"),
    ],
)
def test_arrays_that_are_no_image_are_rejected(array, reason):
    with pytest.raises(MediaError, match=reason):
        image_from_array(array)


@pytest.mark.skipif(not DATA.is_dir(), reason="BARBULE_TEST_DATA is not there")
def test_photographs_are_read():
    files = sorted((DATA / "images").glob("*.JPEG"))[:8]
    assert files
    for path in files:
        assert validate_image(path) == "JPEG"
        assert open_image(path).width > 0
