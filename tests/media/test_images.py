from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from barbule.errors import MediaError
from barbule.media.images import (
    encode_image,
    from_array,
    image_bytes_suffix,
    open_image,
    validate_image,
)

DATA = Path(os.environ.get("BARBULE_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")


@pytest.fixture
def photo() -> PIL.Image.Image:
    pixels = np.random.default_rng(7).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    return PIL.Image.fromarray(pixels)


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_formats_go_to_bytes_and_back(tmp_path, photo, name):
    path = tmp_path / "no-extension"
    path.write_bytes(encode_image(photo, name))
    assert validate_image(path) == name
    opened = open_image(path)
    assert opened.size == (60, 40)
    assert opened.getpixel((0, 0)) is not None
    path.unlink()  # closed, so it can go on any system
    assert encode_image(opened)[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("name", "suffix"), [("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp"), ("TIFF", "tif")]
)
def test_suffix_is_told_from_bytes(photo, name, suffix):
    assert image_bytes_suffix(encode_image(photo, name)) == suffix


def test_bytes_that_are_no_image():
    with pytest.raises(MediaError, match="5 bytes are not an image"):
        image_bytes_suffix(b"barbs")


def test_missing_empty_and_foreign_files(tmp_path):
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


def test_truncated_images(tmp_path, photo):
    png = tmp_path / "half.png"
    png.write_bytes(encode_image(photo)[:2000])
    with pytest.raises(MediaError, match=r"half\.png is a damaged or truncated"):
        validate_image(png)
    jpeg = tmp_path / "half.jpg"
    jpeg.write_bytes(encode_image(photo, "JPEG")[:900])
    with pytest.raises(MediaError, match=r"half\.jpg is a damaged or truncated"):
        open_image(jpeg)


@pytest.mark.parametrize("factor", [1.5, 3])
def test_too_many_pixels_are_an_error(tmp_path, photo, monkeypatch, factor):
    path = tmp_path / "bomb.png"
    path.write_bytes(encode_image(photo))
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", int(60 * 40 / factor))
    for use in (validate_image, open_image):
        with pytest.raises(MediaError, match="more pixels than are allowed"):
            use(path)


def test_orientation_is_left_alone(tmp_path, photo):
    exif = photo.getexif()
    exif[0x0112] = 6
    photo.save(tmp_path / "turned.jpg", exif=exif)
    opened = open_image(tmp_path / "turned.jpg")
    assert opened.size == (60, 40)
    assert opened.getexif()[0x0112] == 6


def test_transparency_is_laid_on_white_where_unknown():
    clear = PIL.Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    back = PIL.Image.open(io.BytesIO(encode_image(clear, "jpg")))
    assert back.getpixel((0, 0)) == (255, 255, 255)
    kept = PIL.Image.open(io.BytesIO(encode_image(clear, "WEBP")))
    assert kept.mode == "RGBA"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "F"])
@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP"])
def test_every_mode_can_be_encoded(mode, name):
    assert image_bytes_suffix(encode_image(PIL.Image.new(mode, (3, 2)), name))


def test_unknown_format(photo):
    with pytest.raises(MediaError, match="cannot be written as 'nope'"):
        encode_image(photo, "nope")


def test_arrays():
    assert from_array(np.zeros((2, 3), np.uint8)).mode == "L"
    assert from_array(np.zeros((2, 3, 1), np.uint8)).mode == "L"
    assert from_array(np.zeros((2, 3, 4), np.uint8)).mode == "RGBA"
    assert from_array(np.full((2, 3), 500, np.uint16)).getpixel((0, 0)) == 500
    assert from_array(np.ones((2, 3), bool)).getpixel((0, 0)) == 255
    assert from_array(np.full((2, 3, 3), 0.5)).getpixel((0, 0)) == (128, 128, 128)
    wide = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert np.array_equal(np.asarray(from_array(wide[:, ::2])), wide[:, ::2])


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros(3, np.uint8), r"shape \(3,\)"),
        (np.zeros((2, 2, 5), np.uint8), r"shape \(2, 2, 5\)"),
        (np.zeros((0, 2), np.uint8), r"shape \(0, 2\)"),
        (np.full((2, 2), 7.0), "floats is an image only from 0 to 1"),
        (np.full((2, 2), np.nan), "floats is an image only from 0 to 1"),
        (np.zeros((2, 2), np.int64), "array of int64"),
    ],
)
def test_arrays_that_are_no_image(array, reason):
    with pytest.raises(MediaError, match=reason):
        from_array(array)


@pytest.mark.skipif(not DATA.is_dir(), reason="BARBULE_TEST_DATA is not there")
def test_real_photographs():
    files = sorted((DATA / "images").glob("*.JPEG"))[:8]
    assert files
    for path in files:
        assert validate_image(path) == "JPEG"
        assert open_image(path).width > 0
