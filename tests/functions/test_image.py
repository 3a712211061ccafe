"""Image functions: results equal to PIL, as functions and methods, on columns and values."""

from __future__ import annotations

import base64
import doctest
import inspect
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageEnhance, ImageFilter, ImageOps

import barbule as bb
from barbule.errors import BarbuleError, ExpressionError, FunctionError
from barbule.functions import image as functions
from barbule.relations.methods.media_columns import ImageValue


def noise(size=(32, 24), mode="RGB", seed=7) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def same(one: Image.Image, other: Image.Image) -> bool:
    if one.mode != other.mode or one.size != other.size:
        return False
    if one.mode == "P":
        one, other = one.convert("RGB"), other.convert("RGB")
    return np.array_equal(np.asarray(one), np.asarray(other))


@pytest.fixture
def images(session):
    table = bb.create_table("pictures", {"id": bb.Int, "img": bb.Image, "other": bb.Image})
    table.insert([{"id": 1, "img": noise(), "other": noise(seed=8)}])
    return table


def computed(table, expression):
    return table.select(x=expression).collect()[0, "x"]


@pytest.mark.parametrize("name", functions.__all__)
def test_docstring_example_runs(name, session):
    function = getattr(functions, name)
    example = doctest.DocTestParser().get_doctest(function.__doc__, {}, name, None, 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    report: list[str] = []
    runner.run(example, out=report.append)
    assert not runner.failures, "".join(report)
    assert example.examples or name == "height"


@pytest.mark.parametrize("name", functions.__all__)
def test_every_function_is_a_method(name):
    method = getattr(ImageValue, name)
    assert method.__doc__ == inspect.unwrap(getattr(functions, name).body).__doc__
    assert next(iter(inspect.signature(method).parameters)) == "self"


CALLS = {
    "resize": (lambda i: i.resize((10, 5)), lambda p: p.resize((10, 5))),
    "resize-more": (
        lambda i: i.resize((10, 5), "BOX", box=(0, 0, 16, 16), reducing_gap=2.0),
        lambda p: p.resize((10, 5), Image.Resampling.BOX, (0, 0, 16, 16), 2.0),
    ),
    "resample-by-number": (
        lambda i: i.resize((9, 9), resample=Image.Resampling.LANCZOS),
        lambda p: p.resize((9, 9), Image.Resampling.LANCZOS),
    ),
    "crop": (lambda i: i.crop((2, 3, 12, 9)), lambda p: p.crop((2, 3, 12, 9))),
    "crop-nothing": (lambda i: i.crop(), lambda p: p.crop()),
    "rotate": (
        lambda i: i.rotate(30, "BILINEAR", expand=True, fillcolor=(1, 2, 3)),
        lambda p: p.rotate(30, Image.Resampling.BILINEAR, True, fillcolor=(1, 2, 3)),
    ),
    "rotate-about": (
        lambda i: i.rotate(30, center=(1, 2), translate=(3, 4)),
        lambda p: p.rotate(30, center=(1, 2), translate=(3, 4)),
    ),
    "convert": (lambda i: i.convert("L"), lambda p: p.convert("L")),
    "convert-CMYK": (lambda i: i.convert("CMYK"), lambda p: p.convert("CMYK")),
    "convert-F": (lambda i: i.convert("F"), lambda p: p.convert("F")),
    "convert-P": (
        lambda i: i.convert("P", palette="ADAPTIVE", colors=16),
        lambda p: p.convert("P", palette=Image.Palette.ADAPTIVE, colors=16),
    ),
    "convert-matrix": (
        lambda i: i.convert("L", matrix=(0.5, 0.3, 0.2, 0)),
        lambda p: p.convert("L", (0.5, 0.3, 0.2, 0)),
    ),
    "transpose": (
        lambda i: i.transpose(Image.Transpose.ROTATE_90),
        lambda p: p.transpose(Image.Transpose.ROTATE_90),
    ),
    "filter": (
        lambda i: i.filter(ImageFilter.GaussianBlur(2)),
        lambda p: p.filter(ImageFilter.GaussianBlur(2)),
    ),
    "filter-name": (lambda i: i.filter("CONTOUR"), lambda p: p.filter(ImageFilter.CONTOUR)),
    "filter-class": (
        lambda i: i.filter(ImageFilter.EMBOSS),
        lambda p: p.filter(ImageFilter.EMBOSS),
    ),
    "filter-median": (
        lambda i: i.filter(ImageFilter.MedianFilter(5)),
        lambda p: p.filter(ImageFilter.MedianFilter(5)),
    ),
    "filter-rank": (
        lambda i: i.filter(ImageFilter.RankFilter(3, 2)),
        lambda p: p.filter(ImageFilter.RankFilter(3, 2)),
    ),
    "filter-unsharp": (
        lambda i: i.filter(ImageFilter.UnsharpMask(1, 120, 2)),
        lambda p: p.filter(ImageFilter.UnsharpMask(1, 120, 2)),
    ),
    "filter-kernel": (
        lambda i: i.filter(ImageFilter.Kernel((3, 3), list(range(9)), scale=40, offset=3)),
        lambda p: p.filter(ImageFilter.Kernel((3, 3), list(range(9)), scale=40, offset=3)),
    ),
    "enhance": (
        lambda i: i.enhance("Contrast", 1.5),
        lambda p: ImageEnhance.Contrast(p).enhance(1.5),
    ),
    "point": (
        lambda i: i.convert("L").point(list(range(255, -1, -1))),
        lambda p: ImageOps.invert(p.convert("L")),
    ),
    "quantize": (
        lambda i: i.quantize(8, method="MAXCOVERAGE", dither="NONE"),
        lambda p: p.quantize(8, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE),
    ),
    "getchannel": (lambda i: i.getchannel("G"), lambda p: p.getchannel("G")),
    "reduce": (
        lambda i: i.reduce((2, 3), box=(2, 3, 20, 21)),
        lambda p: p.reduce((2, 3), (2, 3, 20, 21)),
    ),
    "remap_palette": (
        lambda i: i.quantize(4).remap_palette([3, 2, 1, 0]),
        lambda p: p.quantize(4).remap_palette([3, 2, 1, 0]),
    ),
    "alpha": (
        lambda i: i.convert("RGBA").alpha_composite(i.rotate(45).convert("RGBA")),
        lambda p: Image.alpha_composite(p.convert("RGBA"), p.rotate(45).convert("RGBA")),
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_result_equals_pil(images, name):
    ours, pils = CALLS[name]
    assert same(computed(images, ours(images.img)), pils(noise()))


@pytest.mark.parametrize("name", CALLS)
def test_stored_result_equals_pil(images, name):
    ours, pils = CALLS[name]
    images.add_computed_column(x=ours(images.img))
    images.insert(id=2, img=noise(seed=9), other=None)
    rows = images.order_by("id").collect()
    assert same(rows[0, "x"], pils(noise()))
    assert same(rows[1, "x"], pils(noise(seed=9)))


def test_thumbnail_keeps_proportions_and_does_not_enlarge(images):
    expected = noise()
    expected.thumbnail((16, 16))
    assert same(computed(images, images.img.thumbnail((16, 16))), expected)
    assert computed(images, images.img.thumbnail((99, 99))).size == (32, 24)
    assert computed(images, images.img.rotate(90).thumbnail((16, 16))).size == (16, 12)


def test_blend_and_composite_combine_two_images(images):
    one, other = noise(), noise(seed=8)
    assert same(
        computed(images, images.img.blend(images.other, 0.25)), Image.blend(one, other, 0.25)
    )
    mask = images.img.convert("L")
    expected = Image.composite(one, other, one.convert("L"))
    assert same(computed(images, images.img.composite(images.other, mask)), expected)
    assert same(computed(images, functions.composite(images.img, images.other, mask)), expected)


def test_histogram_and_entropy_equal_pil(images):
    pil = noise()
    assert computed(images, images.img.histogram()) == pil.histogram()
    assert computed(images, images.img.entropy()) == pytest.approx(pil.entropy())
    masked = images.img.histogram(mask=images.other.convert("L").point([0] * 128 + [255] * 128))
    mask = noise(seed=8).convert("L").point([0] * 128 + [255] * 128)
    assert computed(images, masked) == pil.histogram(mask)
    assert len(computed(images, images.img.convert("L").histogram())) == 256


READINGS = {
    "getbands": (lambda i: i.getbands(), lambda p: p.getbands()),
    "getbbox": (lambda i: i.getbbox(), lambda p: p.getbbox()),
    "getcolors": (lambda i: i.quantize(4).getcolors(), lambda p: p.quantize(4).getcolors()),
    "getcolors-too-many": (lambda i: i.getcolors(3), lambda p: p.getcolors(3)),
    "getextrema": (lambda i: i.getextrema(), lambda p: p.getextrema()),
    "getextrema-of-one": (
        lambda i: i.convert("L").getextrema(),
        lambda p: p.convert("L").getextrema(),
    ),
    "getpalette": (lambda i: i.quantize(4).getpalette(), lambda p: p.quantize(4).getpalette()),
    "getpalette-of-none": (lambda i: i.getpalette(), lambda p: p.getpalette()),
    "getpixel": (lambda i: i.getpixel((3, i.height() - 1)), lambda p: p.getpixel((3, 23))),
    "getpixel-of-one": (
        lambda i: i.convert("L").getpixel((0, 0)),
        lambda p: p.convert("L").getpixel((0, 0)),
    ),
    "getprojection": (lambda i: i.getprojection(), lambda p: p.getprojection()),
}


@pytest.mark.parametrize("name", READINGS)
def test_image_readings_equal_pil(images, name):
    ours, pils = READINGS[name]
    found, expected = computed(images, ours(images.img)), pils(noise())
    plain = found if isinstance(found, int | list | None) else list(found)
    assert json.dumps(plain) == json.dumps(expected)


def test_arguments_can_be_columns(session):
    table = bb.create_table("t", {"img": bb.Image, "angle": bb.Float, "side": bb.Int})
    table.insert([{"img": noise(), "angle": 90.0, "side": 5}, {"img": noise(), "side": 6}])
    table.add_computed_column(turned=table.img.rotate(table.angle, expand=True))
    rows = table.select(
        "turned", x=table.img.resize((table.side, 3)), y=table.img.crop((0, 0, table.angle, 4))
    ).collect()
    assert rows[0, "turned"].size == (24, 32)
    assert rows[1, "turned"] is None
    assert [each.size for each in rows["x"]] == [(5, 3), (6, 3)]
    assert rows[0, "y"].size == (90, 4)
    assert rows[1, "y"] is None


def test_deferred_columns_are_accepted(images):
    from ibis import _

    assert images.select(x=_.img.resize((4, _.id + 2))).collect()[0, "x"].size == (4, 3)


def test_function_of_a_pil_image_returns_the_result():
    assert functions.resize(noise(), (3, 2)).size == (3, 2)
    assert same(functions.filter(noise(), ImageFilter.BLUR), noise().filter(ImageFilter.BLUR))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda i: i.crop((10, 0, 5, 5)), "crop failed: ValueError"),
        (lambda i: i.transpose("SIDEWAYS"), "'SIDEWAYS' is not one of FLIP_LEFT_RIGHT"),
        (lambda i: i.filter("Nothing"), "'Nothing' is not a filter"),
        (lambda i: i.enhance("Beauty", 2), "'Beauty' is not one of Brightness"),
        (lambda i: i.convert("XYZ"), "convert failed: ValueError"),
        (lambda i: i.tile_iterator((4, 4), (4, 0)), "cannot overlap"),
    ],
)
def test_pil_error_names_the_row(images, call, message):
    with pytest.raises(FunctionError, match=message) as caught:
        images.select(x=call(images.img)).collect()
    assert caught.value.row == 0


def test_invalid_arguments_raise_at_once(images):
    with pytest.raises(ExpressionError, match="resize"):
        images.img.resize()
    with pytest.raises(ExpressionError, match="cannot be an argument"):
        images.img.point(lambda value: value)


def test_tiles_are_rows_of_a_view(images):
    tiles = bb.create_view("tiles", images, iterator=images.img.tile_iterator((16, 16), (4, 0)))
    rows = tiles.order_by("pos").collect()

    assert (
        rows["tile_box"]
        == [[left, upper, left + 16, upper + 16] for upper in (0, 16) for left in (0, 12, 24)][
            : len(rows)
        ]
    )
    assert rows["tile_coord"] == [[c, r] for r in (0, 1) for c in (0, 1, 2)]
    for row in rows:
        assert same(row["tile"], noise().crop(row["tile_box"]))
    images.insert(id=2, img=noise((5, 5)), other=None)
    assert len(tiles.collect()) == 7


def test_computed_image_keeps_its_requested_format(images):
    clear = images.img.convert("RGBA").blend(images.img.convert("L").convert("RGBA"), 0.5)
    clear = clear.rotate(30)  # its corners are transparent
    images.add_computed_column(
        png=clear,
        webp=clear.encode("webp", quality=70),
        exact=clear.encode("webp", lossless=True),
        jpeg=clear.rotate(10).encode("JPEG"),
    )
    formats = {name: images[name].format() for name in ("png", "webp", "exact", "jpeg")}
    uris = {f"{name}_uri": images[name].uri() for name in formats}
    row = images.select(**formats, **uris).collect()[0]
    assert [row[name] for name in formats] == ["PNG", "WEBP", "WEBP", "JPEG"]
    assert [row[name].rsplit(".")[-1] for name in uris] == ["png", "webp", "webp", "jpg"]
    stored = images.collect()[0]
    assert stored["webp"].mode == "RGBA"
    blended = Image.blend(noise().convert("RGBA"), noise().convert("L").convert("RGBA"), 0.5)
    clear_pil = blended.rotate(30)
    assert same(stored["png"], clear_pil)
    assert stored["exact"].getchannel("A").tobytes() == clear_pil.getchannel("A").tobytes()
    assert stored["jpeg"].getpixel((0, 0)) >= (240, 240, 240)
    assert computed(images, clear.encode("webp").rotate(90, expand=True)).size == (24, 32)


def test_configuration_sets_the_format_of_computed_images():
    Path("barbule.toml").write_text('[media]\nimage_format = "webp"\n')
    bb.connect(vectors="exact:")
    table = bb.create_table("t", {"img": bb.Image})
    table.add_computed_column(x=table.img.convert("RGBA").rotate(30))
    table.insert(img=noise())
    assert table.select(f=table.x.format(), m=table.x.mode()).collect() == [
        {"f": "WEBP", "m": "RGBA"}
    ]


def test_configuration_accepts_two_image_formats():
    Path("barbule.toml").write_text('[media]\nimage_format = "bmp"\n')
    with pytest.raises(BarbuleError, match='image_format must be "png" or "webp"'):
        bb.connect(vectors="exact:")


def test_base64_encodes_an_image_file(images):
    text = computed(images, images.img.b64_encode("webp"))
    assert Image.open(io.BytesIO(base64.b64decode(text))).format == "WEBP"


# Chains


def test_chain_stores_only_its_last_image(images, tmp_path):
    chain = images.img.resize((20, 20)).rotate(45).convert("L")
    plan = str(images.select(x=chain).explain())
    assert plan.count("Stage") == 1
    assert "convert(image=rotate(image=resize(image=img, size=[20, 20]" in plan

    images.add_computed_column(x=chain)
    images.add_computed_column(w=images.img.resize((21, 20)).rotate(45).width())

    # Two inserted images and the result of the chain.
    assert len(list((tmp_path / "home").rglob("*.png"))) == 3


def test_user_function_gets_an_intermediate_image(images):
    seen = []

    @bb.udf
    def look(img: bb.Image, scale: int) -> str:
        seen.append(img)
        return f"{img.mode} {img.width * scale}"

    assert computed(images, look(images.img.convert("F"), images.id + 1)) == "F 64"
    assert not hasattr(seen[0], "filename")  # not read from a file


def test_user_function_in_a_chain_can_return_any_image_form(images):
    @bb.udf
    def give(img: bb.Image, how: str) -> bb.Image:
        if how == "array":
            return np.asarray(img)
        if how == "bytes":
            buffer = io.BytesIO()
            img.save(buffer, "BMP")
            return buffer.getvalue()
        img.save("made.bmp")
        return "made.bmp"

    for how in ("array", "bytes", "path"):
        found = computed(images, give(images.img, how).rotate(180))
        assert same(found, noise().rotate(180))


def test_shared_subexpression_is_computed_once(images):
    calls = []

    @bb.udf
    def paint(img: bb.Image) -> bb.Image:
        calls.append(img.size)
        return img.rotate(90)

    once = paint(images.img)
    rows = images.select(a=once, b=once.resize((3, 3)), c=once.width()).collect()
    assert len(calls) == 1
    assert rows[0, "c"] == 32


def test_inner_error_names_the_inner_function(images):
    @bb.udf(on_error="null")
    def outer(img: bb.Image) -> int:
        return img.width

    with pytest.raises(FunctionError, match=r"image\.crop failed: ValueError"):
        images.select(x=outer(images.img.crop((9, 9, 1, 1)))).collect()


def test_error_in_a_chain_shows_the_image(images):
    with pytest.raises(FunctionError) as raised:
        images.select(x=images.img.rotate(9).resize((1, -1))).collect()
    assert isinstance(raised.value.value, str)  # the reference
    assert "$call" not in str(raised.value)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tiff", "jpeg", "bmp"])
@pytest.mark.parametrize("animated", [False, True])
def test_thumbnail_works_for_every_file_format(session, tmp_path, suffix, animated):
    path = tmp_path / f"a.{suffix}"
    more = {"save_all": True, "append_images": [Image.new("RGB", (40, 40), "blue")]}
    options = more if animated and suffix not in {"jpeg", "bmp"} else {}
    Image.new("RGB", (40, 40), "red").save(path, **options)
    t = bb.create_table("files", {"img": bb.Image})
    t.insert(img=path)
    for size in (16, 60):
        small = t.img.thumbnail((size, size))
        row = t.select(a=small, b=small.encode("JPEG"), c=small.encode("GIF")).collect()[0]
        assert {each.size for each in row.values()} == {(min(size, 40),) * 2}
        for each in row.values():
            red, green, blue = each.convert("RGB").getpixel((3, 3))
            assert red > 200
            assert max(green, blue) < 60
        alone = t.select(x=small.encode("JPEG")).collect()[0, "x"]
        assert alone.format == "JPEG"


def test_inner_error_under_on_error_null_leaves_a_null_cell(images):
    @bb.udf(on_error="null")
    def inner(img: bb.Image) -> bb.Image:
        raise ValueError("no")

    assert computed(images, inner(images.img).resize((3, 3))) is None
    assert computed(images, inner(images.img).width()) is None
    images.add_computed_column(w=inner(images.img).resize((3, 3)).width())
    row = images.select("w", error=images.w.error).collect()[0]
    assert row == {"w": None, "error": {"type": "ValueError", "message": "no"}}


def test_null_image_in_a_chain_stays_null(images):
    images.insert(id=2, img=None, other=noise())
    rows = images.order_by("id").select(
        w=images.img.rotate(90).width(), x=images.other.blend(images.img.rotate(0), 0.5)
    )
    assert rows.collect()["w"] == [32, None]
    assert [each is None for each in rows.collect()["x"]] == [False, True]


def test_batch_function_over_computed_images(images):
    images.insert([{"id": 2, "img": None}, {"id": 3, "img": noise((8, 8))}])

    @bb.udf(batch_size=8)
    def widths(images: list[bb.Image]) -> list[int]:
        return [each.width for each in images]

    rows = images.order_by("id").select(w=widths(images.img.resize((5, images.id))))
    assert rows.collect()["w"] == [5, None, 5]


# Headers and orientation


def test_properties_are_read_without_decoding_pixels(session, tmp_path):
    path = tmp_path / "cut.jpg"
    noise((64, 48)).save(path)
    table = bb.create_table("t", {"img": bb.Image})
    table.insert(img=path)
    path.write_bytes(path.read_bytes()[:700])  # a complete header and truncated pixels
    with pytest.raises(BarbuleError, match="damaged or truncated"):
        table.select(x=table.img.rotate(1)).collect()
    row = table.select(
        w=table.img.width(),
        h=table.img.height(),
        m=table.img.mode(),
        f=table.img.format(),
        meta=table.img.get_metadata(),
    ).collect()[0]
    assert (row["w"], row["h"], row["m"], row["f"]) == (64, 48, "RGB", "JPEG")
    assert row["meta"]["width"] == 64


def test_changed_file_is_read_again(session, tmp_path):
    path = tmp_path / "a.png"
    noise((6, 4)).save(path)
    table = bb.create_table("t", {"img": bb.Image})
    table.insert(img=path)
    assert table.select(w=table.img.width()).collect()["w"] == [6]
    noise((66, 44)).save(path)
    assert table.select(w=table.img.width()).collect()["w"] == [66]


def with_exif(path: Path, orientation: int = 6) -> Path:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Model] = "Feather 1"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FNumber] = 2.8
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (52.0, 31.0, 12.5)
    noise((32, 24)).save(path, exif=exif)
    return path


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif"])
def test_metadata_include_exif(session, tmp_path, suffix):
    table = bb.create_table("t", {"img": bb.Image})
    table.insert(img=with_exif(tmp_path / f"a.{suffix}", 1))
    meta = computed(table, table.img.get_metadata())
    assert meta["exif"]["Model"] == "Feather 1"
    if suffix != "tif":  # PIL writes no further tags into TIFF
        assert meta["exif"]["FNumber"] == pytest.approx(2.8)
        assert meta["exif"]["GPSInfo"]["GPSLatitude"] == [52.0, 31.0, 12.5]
    assert (meta["width"], meta["height"], meta["mode"]) == (32, 24, "RGB")


def test_metadata_without_exif_and_with_damaged_exif(session, tmp_path):
    table = bb.create_table("t", {"img": bb.Image})
    noise().save(tmp_path / "a.png", dpi=(72, 72))
    noise().save(tmp_path / "b.png", exif=b"Exif\0\0not a header at all")
    table.insert([{"img": tmp_path / "a.png"}, {"img": tmp_path / "b.png"}])
    found = table.select(m=table.img.get_metadata()).collect()["m"]
    assert found[0]["exif"] == {}
    assert found[0]["dpi"] == pytest.approx([72, 72], abs=0.1)
    assert found[1]["exif"] is None


def test_orientation_is_kept_until_transposed(session, tmp_path):
    path = with_exif(tmp_path / "turned.jpg")
    table = bb.create_table("t", {"img": bb.Image})
    table.add_computed_column(small=table.img.resize((16, 12)))
    table.insert(img=path)
    row = table.select(
        w=table.img.width(),
        plain=table.img.resize((16, 12)),
        upright=table.img.exif_transpose(),
        later=table.img.resize((16, 12)).exif_transpose(),
        stored=table.small.exif_transpose(),
        meta=table.small.get_metadata(),
    ).collect()[0]
    assert row["w"] == 32
    assert row["plain"].size == (16, 12)
    assert same(row["upright"], ImageOps.exif_transpose(Image.open(path)))
    assert row["later"].size == row["stored"].size == (12, 16)
    # Computed images keep only the orientation: no GPS position and no preview.
    assert row["meta"]["exif"] == {"Orientation": 6}
