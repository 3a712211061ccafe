"""Damaged images of every format: an image or one clear error, without crash, hang or leak."""

from __future__ import annotations

import gc
import io
import os
import random
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import barbule as bb
from barbule.errors import BarbuleError, MediaError
from barbule.media.images.headers import image_metadata, read_header
from barbule.media.images.image_files import open_image, validate_image
from mutations import mutated

DATA = Path(os.environ.get("BARBULE_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")
# Read at import: tests run without the barbule variables.
MUTATIONS = int(os.environ.get("BARBULE_TEST_MUTATIONS", "100"))
FORMATS = ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "HEIF"]
SLOWEST = 300.0  # seconds per file, with room for a slow machine


def generated() -> list[Image.Image]:
    base = Image.effect_noise((12, 9), 90).resize((96, 72))
    return [
        Image.merge("RGB", [base, base.rotate(180), base.transpose(0)]).rotate(90 * turn)
        for turn in range(4)
    ]


def pictures() -> list[Image.Image]:
    """Return available photographs, scaled down to allow many tries."""
    paths = sorted((DATA / "images").glob("*.JPEG"))[:6]
    return [Image.open(path).convert("RGB").resize((96, 72)) for path in paths] or generated()


def files(name: str) -> list[bytes]:
    if name == "HEIF":
        pytest.importorskip(
            "pillow_heif", reason="pillow-heif is not installed"
        ).register_heif_opener()
    contents = []
    exif = Image.Exif()
    exif[0x0112], exif[0x0110] = 6, "Feather 1"
    for number, image in enumerate(pictures()):
        buffer = io.BytesIO()
        options = {} if name in {"BMP", "GIF"} else {"exif": exif.tobytes()}
        if name in {"GIF", "WEBP", "PNG"} and number % 2:
            options |= {"save_all": True, "append_images": [image.rotate(9)]}
        if name == "TIFF" and number % 2:
            options |= {"compression": "tiff_lzw"}
        if name == "JPEG" and number % 2:
            options |= {"progressive": True}
        image.save(buffer, format=name, **options)
        contents.append(buffer.getvalue())
    if name == "JPEG":
        contents += [path.read_bytes() for path in sorted((DATA / "images").glob("*.JPEG"))[:4]]
    return contents


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.filterwarnings("ignore")  # Pillow also warns about readable files
@pytest.mark.parametrize("name", FORMATS)
def test_damaged_image_is_read_or_rejected(name, tmp_path):
    contents = files(name)
    chance = random.Random(f"barbule {name}")
    path = tmp_path / "damaged"
    path.write_bytes(contents[0])
    open_image(path)
    handles, threads = open_files() if sys.platform == "linux" else 0, threading.active_count()
    refused = read = 0
    messages: list[str] = []
    for _ in range(MUTATIONS):
        path.write_bytes(mutated(chance.choice(contents), chance))
        started = time.monotonic()
        for use in (validate_image, open_image, lambda file: image_metadata(read_header(file))):
            try:
                use(path)
                read += 1
            except MediaError as error:
                refused += 1
                messages.append(str(error))
        assert time.monotonic() - started < SLOWEST
    assert all(text.startswith(str(path)) and text.endswith(".") for text in messages)
    assert refused > MUTATIONS / 10
    assert read > MUTATIONS / 10
    gc.collect()
    assert threading.active_count() <= threads
    if sys.platform == "linux":
        assert open_files() <= handles


@pytest.mark.filterwarnings("ignore")
def test_validated_image_can_be_opened(tmp_path):
    """A file that passes validation on insert is readable by functions."""
    path = tmp_path / "damaged"
    for name in ("PNG", "JPEG", "WEBP", "GIF", "BMP"):
        contents, chance = files(name), random.Random(name)
        for _ in range(60):
            path.write_bytes(mutated(chance.choice(contents), chance))
            try:
                validate_image(path)
            except MediaError:
                continue
            assert open_image(path).size


# Single cases: unusual but valid images, and invalid ones.


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def rgb(size=(6, 4), colour="red") -> Image.Image:
    return Image.new("RGB", size, colour)


ODD = {
    "animated-GIF": lambda f: saved(
        f / "a.gif", rgb(), save_all=True, append_images=[rgb(colour="blue")]
    ),
    "animated-WebP": lambda f: saved(
        f / "a.webp", rgb(), save_all=True, append_images=[rgb(colour="blue")], lossless=True
    ),
    "animated-PNG": lambda f: saved(
        f / "a.png", rgb(), save_all=True, append_images=[rgb(colour="blue")]
    ),
    "palette": lambda f: saved(f / "a.png", rgb().convert("P")),
    "transparent-palette": lambda f: saved(f / "a.gif", rgb().convert("P"), transparency=3),
    "one-bit": lambda f: saved(f / "a.png", Image.new("1", (6, 4), 1)),
    "CMYK-JPEG": lambda f: saved(f / "a.jpg", Image.new("CMYK", (6, 4), (0, 255, 255, 0))),
    "CMYK-TIFF": lambda f: saved(f / "a.tif", Image.new("CMYK", (6, 4), (0, 255, 255, 0))),
    "16-bit-PNG": lambda f: saved(
        f / "a.png", Image.fromarray(np.full((4, 6), 40000, dtype=np.uint16))
    ),
    "float-TIFF": lambda f: saved(f / "a.tif", Image.new("F", (6, 4), 0.25)),
    "grey-alpha": lambda f: saved(f / "a.png", Image.new("LA", (6, 4), (9, 100))),
    "wrong-extension": lambda f: saved(f / "a.gif", rgb(), format="JPEG"),
    "no-extension": lambda f: saved(f / "picture", rgb(), format="WEBP"),
    "upper-case": lambda f: saved(f / "A.PNG", rgb(), format="PNG"),
    "one-pixel": lambda f: saved(f / "a.png", rgb((6, 4)).resize((6, 4))),
    "AVIF": lambda f: saved(f / "a.avif", rgb()),
}


@pytest.mark.parametrize("name", ODD)
def test_unusual_valid_image_is_stored_read_and_computed(name, session, tmp_path):
    path = ODD[name](tmp_path)
    pictures = bb.create_table("pictures", {"img": bb.Image})
    pictures.add_computed_column(turned=pictures.img.transpose("ROTATE_90"))
    pictures.insert(img=path)
    with Image.open(path) as pil:
        pil.load()
        rows = pictures.select("img", "turned", w=pictures.img.width(), m=pictures.img.mode())
        row = rows.collect()[0]
        assert (row["w"], row["m"]) == (6, pil.mode)
        assert row["img"].tobytes() == pil.tobytes()
        assert row["turned"].mode == pil.mode
        assert row["turned"].tobytes() == pil.transpose(Image.Transpose.ROTATE_90).tobytes()


BAD = {
    "empty": (b"", "is empty"),
    "text": (b"no picture at all", "is not an image"),
    "html": (b"<html><body>404</body></html>", "is not an image"),
    "signature-only": (b"\x89PNG\r\n\x1a\n", "is not an image|damaged or truncated"),
    "zeros": (bytes(5000), "is not an image"),
}


@pytest.mark.parametrize("name", BAD)
def test_invalid_image_aborts_the_insert_and_is_named(name, session, tmp_path):
    data, message = BAD[name]
    (tmp_path / "bad.png").write_bytes(data)
    pictures = bb.create_table("pictures", {"img": bb.Image})
    good = saved(tmp_path / "good.png", rgb())
    with pytest.raises(MediaError, match=rf"bad\.png ({message})") as caught:
        pictures.insert([{"img": good}] * 5 + [{"img": tmp_path / "bad.png"}] + [{"img": good}])
    error = caught.value
    assert (error.table, error.column, error.row) == ("pictures", "img", 5)
    assert len(pictures.collect()) == 0


def test_first_bad_row_is_named(session, tmp_path):
    """Files are checked in several threads; the first row is reported."""
    (tmp_path / "bad.png").write_bytes(b"bad")
    good = saved(tmp_path / "good.png", rgb((400, 400)))
    rows = [{"img": good}] * 3 + [{"img": tmp_path / "bad.png"}] * 30
    pictures = bb.create_table("pictures", {"img": bb.Image})
    for _ in range(5):
        with pytest.raises(MediaError, match=r"bad\.png") as caught:
            pictures.insert(rows)
        assert caught.value.row == 3


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"])
def test_truncated_image_is_rejected_on_insert(name, session, tmp_path):
    path = saved(tmp_path / "cut", generated()[0].resize((300, 200)), format=name)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    pictures = bb.create_table("pictures", {"img": bb.Image})
    with pytest.raises(MediaError, match=r"cut is (a damaged or truncated|not an) image"):
        pictures.insert(img=path)


def test_huge_dimensions_are_rejected_before_decoding(session, tmp_path, monkeypatch):
    path = saved(tmp_path / "huge.png", Image.new("1", (20_000, 10_000)))
    pictures = bb.create_table("pictures", {"img": bb.Image})
    with pytest.raises(MediaError, match=r"huge\.png has more pixels than the limit \(89478485\)"):
        pictures.insert(img=path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    pictures.insert(img=path)
    assert pictures.select(w=pictures.img.width()).collect()["w"] == [20_000]


def test_damaged_bytes_are_rejected(session):
    buffer = io.BytesIO()
    generated()[0].save(buffer, format="JPEG")
    pictures = bb.create_table("pictures", {"img": bb.Image})
    with pytest.raises(BarbuleError, match=r"column 'img', row 0: .*damaged or truncated"):
        pictures.insert(img=buffer.getvalue()[:900])
    with pytest.raises(BarbuleError, match="bytes are not an image"):
        pictures.insert(img=b"no picture")


def test_heic_is_read_with_its_package(session, tmp_path):
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    heif.register_heif_opener()
    path = saved(tmp_path / "a.heic", rgb((64, 48)))
    pictures = bb.create_table("pictures", {"img": bb.Image})
    pictures.insert(img=path)
    pictures.insert(img=path.read_bytes())
    rows = pictures.select(w=pictures.img.width(), f=pictures.img.format()).collect()
    assert rows["w"] == [64, 64]
    assert rows["f"] == ["HEIF", "HEIF"]


def test_missing_heic_package_names_the_install_command(session, tmp_path, monkeypatch):
    head = b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf" + bytes(100)
    (tmp_path / "a.heic").write_bytes(head)
    Image.init()
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    without = {name: opener for name, opener in Image.OPEN.items() if name not in {"HEIF", "AVIF"}}
    monkeypatch.setattr(Image, "OPEN", without)
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name in without])
    pictures = bb.create_table("pictures", {"img": bb.Image})
    with pytest.raises(MediaError, match=r"a\.heic: HEIC images need the package pillow-heif"):
        pictures.insert(img=tmp_path / "a.heic")
    with pytest.raises(MediaError, match=r"pip install 'barbule\[heic\]'"):
        pictures.insert(img=head)
