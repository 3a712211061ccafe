"""Image modes in every output format: brightness, colours, orientation and frames."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image, ImageCms

import barbule as bb
from barbule.media.images.conversion import eight_bit, profile_of, rgb, shrink, srgb
from barbule.media.images.encoding import encode_for_store, encode_image
from barbule.media.images.image_files import open_image

RAMP = np.tile(np.linspace(0, 65535, 256), (32, 1))
STEPS = [0, 51, 102, 153, 204, 255]
DEEP = {
    "I;16": Image.fromarray(RAMP.astype("uint16")),
    "I;16B": Image.frombytes("I;16B", (256, 32), RAMP.astype(">u2").tobytes()),
    "I;16L": Image.frombytes("I;16L", (256, 32), RAMP.astype("<u2").tobytes()),
    "I": Image.fromarray(RAMP.astype("int32")),
    "I of bytes": Image.fromarray((RAMP // 257).astype("int32")),
    "I of 32 bits": Image.fromarray((RAMP * 30_000 - 9e8).astype("int32")),
    "F": Image.fromarray((RAMP / 65535).astype("float32")),
    "F of bytes": Image.fromarray((RAMP / 257).astype("float32")),
    "F of words": Image.fromarray(RAMP.astype("float32")),
    "F of high range": Image.fromarray((RAMP / 20_000).astype("float32")),
    "F below zero": Image.fromarray((RAMP / 65535 - 0.5).astype("float32")),
}
MODES = [
    "1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV",
    "I", "F", "I;16", "I;16B", "I;16L", "I;16N",
]  # fmt: skip
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def profile(space: bytes) -> bytes:
    """Return a profile that declares another colour space."""
    return SRGB[:16] + space + SRGB[20:]


def swapped() -> bytes:
    """Return a profile with red and green of sRGB swapped."""
    red, green = SRGB.index(b"rXYZ"), SRGB.index(b"gXYZ")
    tags = bytearray(SRGB)
    tags[red : red + 4], tags[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(tags)


def steps(image: Image.Image) -> list[int]:
    return np.asarray(image.convert("L"))[0, ::51].tolist()


def again(image: Image.Image, name: str, **options: object) -> Image.Image:
    return Image.open(io.BytesIO(encode_image(image, name, **options)))


@pytest.mark.parametrize("kind", DEEP)
@pytest.mark.parametrize("name", ["JPEG", "WEBP", "GIF", "BMP", "AVIF", "PNG", "TIFF", "JPEG2000"])
def test_deep_greys_keep_brightness_in_every_format(kind, name):
    scaled = eight_bit(again(DEEP[kind], name))
    assert steps(scaled) == pytest.approx(STEPS, abs=3)


@pytest.mark.parametrize("kind", DEEP)
def test_deep_greys_are_stored_losslessly(kind):
    data, _ = encode_for_store(DEEP[kind])
    pixels = np.asarray(Image.open(io.BytesIO(data))).astype("float64")
    assert np.array_equal(pixels, np.asarray(DEEP[kind]).astype("float64"))


def test_nan_and_infinite_pixels_become_black_and_white():
    odd = np.array([[np.nan, -np.inf, 0.5, np.inf]], dtype="float32")
    assert np.asarray(eight_bit(Image.fromarray(odd))).tolist()[0][::3] == [0, 255]
    nothing = Image.fromarray(np.full((2, 2), np.nan, dtype="float32"))
    assert eight_bit(nothing).getextrema() == (0, 0)


def test_dark_8_bit_image_stays_dark():
    dark = Image.new("L", (8, 8), 40)
    assert eight_bit(dark.convert("F")).getextrema() == (40, 40)
    assert eight_bit(dark.convert("I")).getextrema() == (40, 40)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000"])
def test_every_mode_is_encoded_in_every_format(mode, name):
    assert again(Image.new(mode, (6, 4)), name).size == (6, 4)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_converts_to_rgb(mode):
    image = Image.new(mode, (6, 4))
    assert rgb(image).mode == "RGB"
    assert srgb(image).mode in {"RGB", "RGBA"}


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_is_shrunk(mode):
    small = shrink(Image.new(mode, (60, 40)), (30, 30))
    assert (small.mode, small.size) == (mode, (30, 20))


@pytest.mark.parametrize("kind", DEEP)
def test_deep_greys_are_scaled_in_queries(session, kind):
    t = bb.create_table("pictures", {"img": bb.Image})
    t.insert(img=DEEP[kind])
    row = t.select(
        jpeg=t.img.encode("JPEG"),
        small=t.img.thumbnail((128, 128)),
        data=t.img.b64_encode("webp"),
    ).collect()[0]
    assert steps(row["jpeg"]) == pytest.approx(STEPS, abs=3)
    decoded = Image.open(io.BytesIO(base64.b64decode(row["data"])))
    assert steps(decoded) == pytest.approx(STEPS, abs=3)
    small = np.asarray(eight_bit(row["small"]))[0]
    assert np.all(np.diff(small.astype(int)) >= 0)
    assert small[0] < 10
    assert small[-1] > 245


@pytest.mark.parametrize("kind", ["I;16", "I", "F", "F of words"])
def test_deep_greys_are_scaled_in_notebooks(session, kind):
    t = bb.create_table("pictures", {"img": bb.Image})
    t.insert(img=DEEP[kind])
    page = t.collect()._repr_html_()
    data = page.split("base64,", 1)[1].split('"', 1)[0]
    drawn = Image.open(io.BytesIO(base64.b64decode(data)))
    assert steps(drawn) == pytest.approx(STEPS, abs=3)


def test_convert_scales_16_bit_images(session):
    t = bb.create_table("pictures", {"img": bb.Image})
    t.insert(img=DEEP["I;16"])
    row = t.select(
        grey=t.img.convert("L"), colour=t.img.convert("RGB"), deep=t.img.convert("F")
    ).collect()[0]
    assert steps(row["grey"]) == steps(row["colour"]) == STEPS
    assert row["deep"].getextrema() == (0.0, 65535.0)


@pytest.mark.parametrize("kind", sorted(DEEP))
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_convert_and_encode_scale_deep_greys_equally(session, kind, mode):
    t = bb.create_table("pictures", {"img": bb.Image})
    t.insert(img=DEEP[kind])
    row = t.select(made=t.img.convert(mode), file=t.img.encode("BMP")).collect()[0]
    assert row["made"].mode == mode
    assert steps(row["made"].convert("L")) == steps(row["file"].convert("L")) == STEPS


def test_convert_scales_a_wide_range(session):
    values = np.array([[0, 35000, 70000]], np.int32)
    t = bb.create_table("pictures", {"img": bb.Image})
    t.insert(img=Image.fromarray(values))
    assert list(t.select(x=t.img.convert("L")).collect()[0, "x"].tobytes()) == [0, 128, 255]


# -- transparency ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["WEBP", "TIFF", "AVIF", "PNG"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_transparent_colour_is_kept(tmp_path, mode, name):
    clear = Image.new(mode, (4, 4), 0)
    path = tmp_path / "clear.png"
    clear.save(path, transparency=(0, 0, 0) if mode == "RGB" else 0)
    reopened = again(open_image(path), name).convert("RGBA")
    assert reopened.getpixel((0, 0))[3] == 0


@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_transparent_colour_is_white_in_jpeg(tmp_path, mode):
    path = tmp_path / "clear.png"
    Image.new(mode, (4, 4), 0).save(path, transparency=(0, 0, 0) if mode == "RGB" else 0)
    assert again(open_image(path), "JPEG").convert("RGB").getpixel((0, 0)) == (255, 255, 255)


# -- profiles --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["JPEG", "WEBP", "PNG", "TIFF", "AVIF"])
def test_icc_profile_is_kept_with_its_mode(name):
    image = Image.new("RGB", (8, 8), (200, 40, 30))
    image.info["icc_profile"] = SRGB
    assert again(image, name).info["icc_profile"] == SRGB
    grey = image.convert("L")
    assert profile_of(grey) is None
    assert not again(grey, name).info.get("icc_profile")


def test_grey_profile_is_kept_for_grey_images_only():
    grey = Image.new("L", (8, 8), 90)
    grey.info["icc_profile"] = profile(b"GRAY")
    assert again(grey, "JPEG").info["icc_profile"] == profile(b"GRAY")
    assert not again(grey, "WEBP").info.get("icc_profile")


@pytest.mark.parametrize("name", ["WEBP", "PNG", "AVIF", "BMP", "GIF"])
def test_cmyk_without_a_usable_profile_is_converted(name):
    inks = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    inks.info["icc_profile"] = profile(b"CMYK")
    reopened = again(inks, name)
    assert not reopened.info.get("icc_profile")
    assert reopened.convert("RGB").getpixel((4, 4)) == pytest.approx((255, 0, 0), abs=3)
    jpeg = again(inks, "JPEG")
    assert (jpeg.mode, jpeg.info["icc_profile"]) == ("CMYK", profile(b"CMYK"))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_other_colour_space_is_converted_to_srgb(mode):
    other = Image.new("RGB", (4, 4), (200, 100, 50)).convert(mode)
    other.info["icc_profile"] = swapped()
    converted = srgb(other)
    assert converted.convert("RGB").getpixel((0, 0)) == pytest.approx((100, 200, 50), abs=4)
    assert "icc_profile" not in converted.info


def test_notebook_shows_profile_colours(session):
    other = Image.new("RGB", (40, 40), (200, 100, 50))
    other.info["icc_profile"] = swapped()
    t = bb.create_table("pictures", {"img": bb.Image})
    t.insert(img=other)
    data = t.collect()._repr_html_().split("base64,", 1)[1].split('"', 1)[0]
    drawn = Image.open(io.BytesIO(base64.b64decode(data)))
    assert drawn.getpixel((20, 20)) == pytest.approx((100, 200, 50), abs=8)
    assert t.collect()[0, "img"].info["icc_profile"] == swapped()


def test_computed_images_keep_matching_profiles(session, tmp_path):
    photo, inks = tmp_path / "p3.jpg", tmp_path / "cmyk.jpg"
    Image.new("RGB", (64, 48), (200, 40, 30)).save(photo, icc_profile=SRGB)
    Image.new("CMYK", (40, 30), (0, 200, 180, 20)).save(inks, icc_profile=profile(b"CMYK"))
    t = bb.create_table("pictures", {"n": bb.Int, "img": bb.Image})
    t.insert([{"n": 1, "img": photo}, {"n": 2, "img": inks}])

    def spaces(expression) -> list[tuple[str, bytes | None]]:
        images = t.order_by("n").select(x=expression).collect()["x"]
        return [
            (image.mode, (image.info.get("icc_profile") or b"")[16:20] or None) for image in images
        ]

    small = t.img.thumbnail((16, 16))
    assert spaces(small) == [("RGB", b"RGB "), ("CMYK", b"CMYK")]
    assert spaces(small.encode("JPEG")) == [("RGB", b"RGB "), ("CMYK", b"CMYK")]
    assert spaces(small.encode("WEBP")) == [("RGB", b"RGB "), ("RGB", None)]
    assert spaces(t.img.convert("RGB")) == [("RGB", b"RGB "), ("RGB", None)]
    assert spaces(t.img.convert("L")) == [("L", None), ("L", None)]
    assert spaces(t.img.getchannel(0)) == [("L", None), ("L", None)]


# -- orientation -----------------------------------------------------------------------------------

_XMP = (
    b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf="
    b"'http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description rdf:about='' "
    b"xmlns:tiff='http://ns.adobe.com/tiff/1.0/' tiff:Orientation=\"6\"/></rdf:RDF></x:xmpmeta>"
)


@pytest.mark.parametrize("name", ["JPEG", "WEBP", "AVIF"])
def test_xmp_orientation_is_kept(session, tmp_path, name):
    path = tmp_path / "turned"
    Image.new("RGB", (60, 40)).save(path, format=name, xmp=_XMP)
    t = bb.create_table("pictures", {"img": bb.Image})
    t.insert(img=path)
    small = t.img.thumbnail((30, 30))
    row = t.select(
        small=small.exif_transpose(),
        jpeg=small.encode("JPEG").exif_transpose(),
        webp=t.img.encode("WEBP").exif_transpose(),
        meta=t.img.get_metadata(),
    ).collect()[0]
    assert [row[name].size for name in ("small", "jpeg", "webp")] == [
        (20, 30),
        (20, 30),
        (40, 60),
    ]
    assert row["meta"]["exif"]["Orientation"] == 6
    t.add_computed_column(small=small)
    t.add_computed_column(upright=t.small.exif_transpose())
    assert t.collect()[0, "upright"].size == (20, 30)
    t.insert(img=open_image(path))
    assert [image.size for image in t.collect()["upright"]] == [(20, 30), (20, 30)]


def test_exif_orientation_overrides_xmp(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3
    path = tmp_path / "turned.jpg"
    Image.new("RGB", (60, 40)).save(path, exif=exif, xmp=_XMP)
    assert again(open_image(path), "PNG").getexif()[0x0112] == 3


@pytest.mark.parametrize("name", ["PNG", "WEBP", "JPEG"])
def test_png_with_trailing_exif_keeps_its_orientation(tmp_path, name):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.png"
    Image.new("RGB", (60, 40)).save(path, exif=exif)
    assert again(open_image(path), name).getexif()[0x0112] == 6


# -- frames ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_result_frames_are_readable(session, tmp_path, name):
    path = tmp_path / "frames"
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    frames[0].save(path, format=name, save_all=True, append_images=frames[1:])
    t = bb.create_table("pictures", {"img": bb.Image})
    t.insert(img=path)
    animation = t.collect()[0, "img"]
    path.unlink()
    assert animation.n_frames == 3
    colours = []
    for frame in (0, 1, 2, 0):
        animation.seek(frame)
        colours.append(animation.convert("RGB").getpixel((4, 4)))
    assert [max(range(3), key=colour.__getitem__) for colour in colours] == [0, 1, 2, 0]


def test_functions_read_frames_and_transforms_use_the_first(session, tmp_path):
    path = tmp_path / "frames.gif"
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime")]
    frames[0].save(path, save_all=True, append_images=frames[1:])

    @bb.udf
    def frames_of(image: bb.Image) -> int:
        return image.n_frames

    t = bb.create_table("pictures", {"img": bb.Image})
    t.insert(img=path)
    row = t.select(
        n=frames_of(t.img), avif=t.img.encode("AVIF"), small=t.img.resize((4, 4))
    ).collect()[0]
    assert row["n"] == 2
    for name in ("avif", "small"):
        red, green, _ = row[name].convert("RGB").getpixel((1, 1))
        assert red > 200
        assert green < 50
