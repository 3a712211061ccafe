"""Media columns: accepted values, methods, and rejected inserts."""

from __future__ import annotations

import base64
import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import barbule as bb
from barbule.errors import BarbuleError, DataError, MediaError
from fakes.web import Answer, serving


def picture(size=(6, 4), colour=(200, 10, 20)) -> Image.Image:
    return Image.new("RGB", size, colour)


def png(image: Image.Image | None = None) -> bytes:
    buffer = io.BytesIO()
    (image or picture()).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture
def images(session):
    return bb.create_table("pictures", {"name": bb.String, "img": bb.Image})


@pytest.fixture
def web():
    """Serve a PNG at /pic.png; everything else is missing."""

    def answer(path: str) -> Answer:
        return (200, "image/png", png()) if path == "/pic.png" else (404, "text/plain", b"no")

    with serving(answer) as url:
        yield url


@pytest.mark.parametrize(
    "make_value",
    [
        lambda _: picture(),
        lambda _: png(),
        lambda _: np.asarray(picture()),
        lambda folder: str(folder / "a.png"),
        lambda folder: folder / "a.png",
        lambda _: "data:image/png;base64," + base64.b64encode(png()).decode(),
        lambda folder: (folder / "a.png").as_uri(),
    ],
    ids=["PIL", "bytes", "NumPy", "path", "Path", "data-URI", "file-URI"],
)
def test_image_can_be_given_in_many_forms(images, tmp_path, make_value):
    (tmp_path / "a.png").write_bytes(png())

    images.insert(name="a", img=make_value(tmp_path))

    image = images.collect()[0, "img"]
    assert image.size == (6, 4)
    assert image.convert("RGB").getpixel((0, 0)) == (200, 10, 20)


def test_relative_path_is_stored_as_absolute(images, tmp_path, monkeypatch):
    Path("a.png").write_bytes(png())
    images.insert(name="a", img="a.png")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    assert images.collect()[0, "img"].size == (6, 4)


def test_url_is_fetched_with_allow_private(web):
    Path("barbule.toml").write_text("[media]\nallow_private = true\n")
    bb.connect(vectors="exact:")
    images = bb.create_table("pictures", {"img": bb.Image})

    images.insert(img=f"{web}/pic.png")

    assert images.collect()[0, "img"].size == (6, 4)
    assert images.select(u=images.img.uri()).collect()["u"] == [f"{web}/pic.png"]


def test_private_url_is_rejected_by_default(images, web):
    with pytest.raises(MediaError, match=r"column 'img', row 1: .*127\.0\.0\.1") as caught:
        images.insert([{"img": picture()}, {"img": f"{web}/pic.png"}])

    assert "allow_private" in str(caught.value)
    assert len(images.collect()) == 0


def test_missing_url_reports_the_server_status(web):
    Path("barbule.toml").write_text("[media]\nallow_private = true\n")
    bb.connect(vectors="exact:")
    images = bb.create_table("pictures", {"img": bb.Image})

    with pytest.raises(MediaError, match=r"row 0: .*none\.png.*404"):
        images.insert(img=f"{web}/none.png")


def test_size_and_mode_work_in_queries(images):
    images.insert([{"name": "a", "img": picture()}, {"name": "b", "img": picture((2, 9))}])

    rows = images.order_by("name").select(
        w=images.img.width(), h=images.img.height(), m=images.img.mode()
    )

    assert rows.collect() == [{"w": 6, "h": 4, "m": "RGB"}, {"w": 2, "h": 9, "m": "RGB"}]
    assert images.filter(images.img.height() > 5).collect()["name"] == ["b"]


def test_resize_rotate_and_convert_chain(images):
    images.insert(name="a", img=picture())

    small = images.select(x=images.img.resize((30, 20)).rotate(90).convert("L")).collect()[0, "x"]

    assert small.size == (30, 20)
    assert small.mode == "L"
    turned = images.select(x=images.img.resize((3, 2)).width()).collect()
    assert turned["x"] == [3]


def test_stored_images_survive_reopen(images):
    images.insert(name="a", img=picture())
    images.add_computed_column(thumb=images.img.resize((3, 2)), grey=images.img.convert("L"))
    images.insert(name="b", img=picture((8, 8)))
    bb.connect(vectors="exact:")

    rows = bb.get_table("pictures").order_by("name").collect()

    assert [thumb.size for thumb in rows["thumb"]] == [(3, 2), (3, 2)]
    assert [grey.mode for grey in rows["grey"]] == ["L", "L"]
    assert rows[1, "grey"].size == (8, 8)


def test_computed_image_feeds_further_columns(images):
    images.add_computed_column(thumb=images.img.resize((3, 2)))
    images.add_computed_column(w=images.thumb.width())

    images.insert(name="a", img=picture())

    assert images.collect()["w"] == [3]


def test_uri_hash_and_base64_follow_the_content(images, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png())
    images.insert([{"name": "a", "img": path}, {"name": "b", "img": png()}])

    rows = images.order_by("name").select(
        u=images.img.uri(), h=images.img.sha256(), b=bb.functions.image.b64_encode(images.img)
    )
    rows = rows.collect()

    assert rows[0, "u"] == str(path)
    assert rows[1, "u"].startswith("media:")
    assert rows["h"] == [hashlib.sha256(png()).hexdigest()] * 2
    assert Image.open(io.BytesIO(base64.b64decode(rows[1, "b"]))).size == (6, 4)


def test_hash_of_null_and_computed_images(images):
    images.insert([{"name": "a", "img": png()}, {"name": "none", "img": None}])

    small = images.img.resize((2, 2))
    rows = images.order_by("name").select(h=images.img.sha256(), s=small.sha256(), u=small.uri())
    rows = rows.collect()

    assert rows[1] == {"h": None, "s": None, "u": None}
    assert rows[0, "h"] == hashlib.sha256(png()).hexdigest()
    assert rows[0, "u"].startswith(f"media:{rows[0, 's']}")


def test_null_image_gives_null_computed_cells(images):
    images.add_computed_column(w=images.img.width(), thumb=images.img.resize((2, 2)))
    images.insert(name="none", img=None)

    assert images.collect()[0] == {"name": "none", "img": None, "w": None, "thumb": None}


def test_equal_bytes_are_stored_once(images):
    images.insert([{"name": "a", "img": png()}, {"name": "b", "img": png()}])
    assert len(set(images.select(u=images.img.uri()).collect()["u"])) == 1


def test_update_replaces_an_image(images):
    images.add_computed_column(w=images.img.width())
    images.insert(name="a", img=picture())

    images.update({"img": picture((11, 2))}, where=images.name == "a")

    assert images.collect()["w"] == [11]
    assert images.collect()[0, "img"].size == (11, 2)


def truncated(folder: Path) -> Path:
    path = folder / "cut.png"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype="uint8")
    path.write_bytes(png(Image.fromarray(noise))[:2000])
    return path


def text_file(folder: Path) -> Path:
    path = folder / "notes.png"
    path.write_text("this is no picture")
    return path


def empty(folder: Path) -> Path:
    path = folder / "empty.png"
    path.touch()
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "none.png", r"none\.png does not exist"),
        (truncated, r"cut\.png is a damaged or truncated image"),
        (text_file, r"notes\.png"),
        (empty, r"empty\.png is empty"),
        (lambda folder: folder, "directory"),
    ],
    ids=["missing", "truncated", "text", "empty", "folder"],
)
def test_bad_image_aborts_the_insert_and_is_named(images, tmp_path, make, message):
    images.add_computed_column(w=images.img.width())
    bad = make(tmp_path)
    where = r"^table 'pictures', column 'img', row 1: "

    with pytest.raises(MediaError, match=where + ".*" + message):
        images.insert([{"name": "fine", "img": picture()}, {"name": "bad", "img": bad}])

    assert len(images.collect()) == 0
    assert images.insert(name="fine", img=picture()).rows == 1


@pytest.mark.parametrize(
    ("value", "message"),
    [(3.5, "float"), ({"path": "x"}, "dict"), (b"no picture at all", "image"), ("", "")],
)
def test_value_that_is_no_image_is_rejected(images, value, message):
    with pytest.raises((MediaError, DataError), match=rf"column 'img', row 0: .*{message}"):
        images.insert(name="bad", img=value)
    assert len(images.collect()) == 0


def test_update_to_a_bad_image_changes_nothing(images, tmp_path):
    images.insert(name="a", img=picture())

    with pytest.raises(MediaError, match="does not exist"):
        images.update({"img": tmp_path / "none.png"})

    assert images.collect()[0, "img"].size == (6, 4)


def test_missing_image_is_named_on_access(images, tmp_path):
    path = tmp_path / "gone.png"
    path.write_bytes(png())
    images.insert([{"name": "a", "img": path}])
    path.unlink()

    rows = images.collect()

    assert rows["name"] == ["a"]
    with pytest.raises(MediaError, match=r"gone\.png does not exist"):
        rows["img"]


@pytest.fixture
def docs(session):
    return bb.create_table("docs", {"doc": bb.Document})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.pdf", None, r"none\.pdf does not exist"),
        ("cut.pdf", b"%PDF-1.7\n1 0 obj\n<< /Type", r"cut\.pdf is a damaged or truncated PDF"),
        ("empty.pdf", b"", r"empty\.pdf is empty"),
        ("cut.docx", b"PK\x03\x04 and then nothing", r"cut\.docx"),
        ("data.pdf", b"\x00\x01\x02\x03" * 50, r"data\.pdf"),
    ],
    ids=["missing", "corrupt-PDF", "empty", "corrupt-DOCX", "binary"],
)
def test_bad_document_aborts_the_insert_and_is_named(docs, tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    (tmp_path / "good.md").write_text("# Fine")

    with pytest.raises(BarbuleError, match=r"^table 'docs', column 'doc', row 1: .*" + message):
        docs.insert([{"doc": tmp_path / "good.md"}, {"doc": tmp_path / name}])

    assert len(docs.collect()) == 0


def test_document_is_a_local_path(docs, tmp_path):
    @bb.udf
    def size(doc: bb.Document) -> int:
        return Path(doc).stat().st_size

    (tmp_path / "a.md").write_text("# Fine")
    docs.insert(doc=tmp_path / "a.md")

    assert docs.collect()["doc"] == [str(tmp_path / "a.md")]
    assert docs.select(n=size(docs.doc)).collect()["n"] == [6]


def test_document_bytes_keep_their_format(docs):
    docs.insert(doc=b"# Feathers\n\nThey hook.")
    from barbule.functions import DocumentSplitter

    chunks = bb.create_view("chunks", docs, iterator=DocumentSplitter.create(document=docs.doc))

    assert "They hook." in " ".join(chunks.collect()["text"])
