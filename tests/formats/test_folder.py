from __future__ import annotations

import datetime
import json
import os
from pathlib import Path

import pytest
from PIL import Image

import barbule as bb
from barbule.errors import BarbuleError, DataError, MediaError, SchemaError

DATA = Path(os.environ.get("BARBULE_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")
DATA = DATA / "images"


def test_folder_is_read_as_a_table(session, photos):
    rows = bb.read_folder(photos)
    assert rows.columns == ("image", "path", "name", "size", "modified", "media_type")
    assert "image: image" in repr(rows)
    table = bb.create_table("photos", rows)
    result = table.order_by("name").collect()
    assert result["name"] == ["a.jpg", "b.png", "c.jpg"]
    assert result["media_type"] == ["image/jpeg", "image/png", "image/jpeg"]
    assert result["size"] == [Path(path).stat().st_size for path in result["path"]]
    assert all(
        abs(modified - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(hours=1)
        for modified in result["modified"]
    )
    assert [image.size for image in result["image"]] == [(6, 4), (5, 5), (3, 2)]
    assert result["path"][0] == str(photos / "a.jpg")


def test_folder_pattern_single_file_and_column_name(session, photos):
    assert [row["name"] for row in bb.read_folder(f"{photos}/**/*.jpg")] == ["a.jpg", "c.jpg"]
    assert [row["name"] for row in bb.read_folder(photos / "b.png", column="img")] == ["b.png"]
    table = bb.create_table("t", {"picture": bb.Image, "name": bb.String})
    rows = bb.read_folder(f"{photos}/*.png", column="picture")
    with pytest.raises(DataError, match=r"table 't', column 'path'.*: the table has no such"):
        table.insert(rows)
    table.insert({"picture": row["picture"], "name": row["name"]} for row in rows)
    assert table.collect()["name"] == ["b.png"]


@pytest.mark.parametrize(
    ("name", "kind", "column"),
    [
        ("a.mp3", bb.Audio, "audio"),
        ("a.mp4", bb.Video, "video"),
        ("a.pdf", bb.Document, "document"),
    ],
)
def test_column_type_follows_the_files(session, tmp_path, name, kind, column):
    (tmp_path / name).write_bytes(b"x")
    rows = bb.read_folder(tmp_path / name)
    assert isinstance(rows.schema[column], kind)


def test_remote_folder_is_read(session, photos):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/album/x/a.png", (photos / "b.png").read_bytes())
    table = bb.create_table("t", bb.read_folder("memory://album/**/*.png"))
    assert table.collect()[0, "image"].size == (5, 5)
    assert table.collect()[0, "path"].startswith("memory://")
    memory.rm("/album", recursive=True)


def test_unreadable_folders_are_rejected(session, photos, tmp_path):
    with pytest.raises(DataError, match=r"no file matches .*\*\.gif"):
        bb.read_folder(f"{photos}/*.gif")
    with pytest.raises(DataError, match="there is no folder or file 'nowhere'"):
        bb.read_folder("nowhere")
    (photos / "notes.txt").write_text("x")
    with pytest.raises(DataError, match=r"several types: .*Image, .*1 of type Document.*kind="):
        bb.read_folder(photos)
    with pytest.raises(SchemaError, match="files must be images"):
        bb.read_folder(photos, kind=bb.String)
    with pytest.raises(SchemaError, match="column 'name'"):
        bb.read_folder(f"{photos}/*.jpg", column="name")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("zero.jpg", b"", r"zero\.jpg is empty"),
        ("wrong.jpg", b"%PDF-1.4", r"wrong\.jpg is not an image"),
        ("cut.png", None, r"cut\.png is a damaged or truncated image"),
    ],
)
def test_bad_file_is_named_and_nothing_is_inserted(session, photos, name, content, message):
    data = (photos / "b.png").read_bytes()[:60] if content is None else content
    (photos / name).write_bytes(data)
    table = bb.create_table("t", {"image": bb.Image, "n": bb.Int})
    rows = [{"image": row["image"], "n": 1} for row in bb.read_folder(photos)]
    position = [Path(row["image"]).name for row in rows].index(name)
    with pytest.raises(
        MediaError, match=rf"table 't', column 'image', row {position}: .*{message}"
    ):
        table.insert(rows)
    assert table.count().to_pyarrow().as_py() == 0


def test_media_are_written_as_files_with_metadata(album, tmp_path):
    target = tmp_path / "out"
    assert album.order_by("n").to_folder(target) == 2
    assert (target / "a.jpg").read_bytes() == (tmp_path / "photos" / "a.jpg").read_bytes()
    assert Image.open(target / "00000001.png").getpixel((0, 0)) == 7
    lines = [json.loads(line) for line in (target / "metadata.jsonl").read_text().splitlines()]
    assert lines == [
        {"file_name": "a.jpg", "n": 1, "title": "red, ☃", "score": 0.5},
        {"file_name": "00000001.png", "n": 2, "title": None, "score": None},
        {"n": 3, "title": "", "score": -1.0},
    ]
    again = bb.create_table("again", bb.read_folder(target))
    rows = again.order_by("n").select("n", "title", "score", "name").collect()
    assert [tuple(row.values()) for row in rows] == [
        (1, "red, ☃", 0.5, "a.jpg"),
        (2, None, None, "00000001.png"),
        (3, "", -1.0, None),
    ]
    assert [image is None for image in again.order_by("n").collect()["image"]] == [
        False,
        False,
        True,
    ]


def test_metadata_file_describes_files_of_its_folder(session, photos):
    (photos / "more" / "metadata.jsonl").write_text('{"file_name": "c.jpg", "label": 3}\n\n')
    (photos / ".deep").mkdir()
    (photos / ".deep" / "metadata.jsonl").write_text("not valid JSON")
    rows = bb.read_folder(photos)
    assert {Path(row["path"]).name: row.get("label") for row in rows}["c.jpg"] == 3
    table = bb.create_table("t", rows)
    assert table.label.max().to_pyarrow().as_py() == 3
    assert "label" not in bb.read_folder(f"{photos}/**/*.jpg").columns


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "line 2 of '.*metadata.jsonl' is not valid JSON"),
        (b"[1]", "line 2 of .* is not a JSON object"),
        (b'{"file_name": "none.jpg"}', "line 2 of .* describes 'none.jpg', which does not exist"),
        (b'{"x": "\xff"}', "line 2 of .* is not UTF-8"),
        (b'{"x": 1, "image": 2}', "column 'image': metadata.jsonl has a column with this name"),
    ],
    ids=["json", "object", "file", "text", "column"],
)
def test_invalid_metadata_is_reported(session, photos, line, message):
    (photos / "metadata.jsonl").write_bytes(b'{"x": 1}\n' + line)
    with pytest.raises(BarbuleError, match=message):
        bb.read_folder(photos)


def test_hugging_face_reads_a_written_folder(album, tmp_path):
    datasets = pytest.importorskip("datasets")
    album.filter(album.n < 3).to_folder(tmp_path / "out")
    dataset = datasets.load_dataset(
        "imagefolder", data_dir=str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "c")
    )
    assert sorted(dataset["n"]) == [1, 2]


def test_written_file_names_are_unique(session, album, tmp_path):
    named = album.filter(album.n < 3).mutate(name=name_literal("same"))
    assert named.to_folder(tmp_path / "out", name="name") == 2
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == ["metadata.jsonl", "same.jpg", "same.png"]
    one = album.filter(album.n == 1)
    assert (
        one.union(one).mutate(name=name_literal("same")).to_folder(tmp_path / "d", name="name") == 2
    )
    assert (tmp_path / "d" / "same-1.jpg").exists()
    with pytest.raises(MediaError, match="points outside the archive"):
        album.filter(album.n < 3).mutate(name=name_literal("../../evil")).to_folder(
            tmp_path / "b", name="name"
        )
    assert not (tmp_path / "evil.jpg").exists()
    with pytest.raises(DataError, match="not an empty folder"):
        album.to_folder(tmp_path / "out")
    with pytest.raises(SchemaError, match=r"column 'title': it does not hold media files.*'img'"):
        album.to_folder(tmp_path / "c", column="title")
    with pytest.raises(SchemaError, match="several columns hold media"):
        album.select("n").to_folder(tmp_path / "c")


def name_literal(text):
    import ibis

    return ibis.literal(text)


@pytest.mark.skipif(not DATA.is_dir(), reason="there is no folder of real photographs")
def test_photographs_round_trip(session, tmp_path):
    table = bb.create_table("t", bb.read_folder(f"{DATA}/*.JPEG"))
    count = table.count().to_pyarrow().as_py()
    assert count == len(list(DATA.glob("*.JPEG"))) > 50
    assert table.to_folder(tmp_path / "out") == count
    for photo in DATA.glob("*.JPEG"):
        assert (tmp_path / "out" / photo.name).read_bytes() == photo.read_bytes()
