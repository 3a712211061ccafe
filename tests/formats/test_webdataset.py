from __future__ import annotations

import gc
import io
import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image

import barbule as bb
from barbule.errors import DataError, MediaError, SchemaError

from .conftest import contents


def png(shade=1, size=(4, 4)):
    buffer = io.BytesIO()
    Image.new("L", size, shade).save(buffer, "PNG")
    return buffer.getvalue()


def tar(path, members, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def samples(count, start=0):
    for n in range(start, start + count):
        yield f"{n:04d}.png", png(n)
        yield f"{n:04d}.cls", str(n % 3).encode()
        yield f"{n:04d}.txt", f"picture {n}".encode()
        yield f"{n:04d}.json", json.dumps({"n": n}).encode()


def test_shards_are_read_as_a_table(session, tmp_path):
    tar(tmp_path / "s-000.tar", samples(3))
    tar(tmp_path / "s-001.tar", samples(2, 3))
    rows = bb.read_webdataset(tmp_path / "s-{000..001}.tar")
    assert rows.columns == ("key", "png", "cls", "txt", "json")
    table = bb.create_table("t", rows)
    result = table.order_by("key").collect()
    assert result["key"] == ["0000", "0001", "0002", "0003", "0004"]
    assert result["cls"] == [0, 1, 2, 0, 1]
    assert result["txt"][4] == "picture 4"
    assert result["json"][4] == {"n": 4}
    assert [image.getpixel((0, 0)) for image in result["png"]] == [0, 1, 2, 3, 4]
    assert len(list(bb.read_webdataset(str(tmp_path / "s-*.tar")))) == 5
    assert table.insert(bb.read_webdataset(tmp_path / "s-000.tar")).rows == 3


def test_member_suffixes_name_columns_and_compressed_shards_are_read(session, tmp_path):
    tar(
        tmp_path / "a.tar.gz",
        [
            ("x/1.image.png", png()),
            ("x/1.sound.wav", b"RIFF"),
            ("x/1.weights.npy", b"\0\1"),
            ("x/1.score.json", b"0.5"),
            ("x/2.image.png", png(2)),
            ("x/2.score.json", b"2"),
            ("README", b"no sample"),
            ("x/.DS_Store", b"no sample"),
        ],
        "w:gz",
    )
    rows = bb.read_webdataset(tmp_path / "a.tar.gz")
    assert [type(kind).__name__ for kind in rows.schema.types] == [
        "String", "Image", "Audio", "Binary", "Float64",
    ]  # fmt: skip
    samples = list(rows)
    assert [row["key"] for row in samples] == ["x/1", "x/2"]
    assert samples[0]["weights"] == b"\0\1"
    assert samples[1].get("weights") is None


def test_webdataset_round_trips(album, tmp_path):
    (path,) = album.order_by("n").to_webdataset(tmp_path / "album.tar")
    again = bb.create_table("again", bb.read_webdataset(path))
    assert again.columns == ("key", "n", "title", "img", "score")
    assert contents(again) == contents(album)
    for name in ("n", "title", "score"):
        assert again.order_by("n").collect()[name] == album.order_by("n").collect()[name]
    assert again.schema()["img"].is_string()
    assert again.collect()["key"] == ["00000000", "00000001", "00000002"]


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # webdataset leaves the file open
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_package_reads_written_shards(session, tmp_path):
    webdataset = pytest.importorskip("webdataset")
    table = bb.create_table(
        "t", {"key": bb.String, "img": bb.Image, "cls": bb.Int, "data": bb.Json}
    )
    table.insert([{"key": f"k{n}", "img": png(n), "cls": n, "data": {"a": [n]}} for n in range(4)])
    table.order_by("key").to_webdataset(tmp_path / "t.tar")
    dataset = webdataset.WebDataset(str(tmp_path / "t.tar"), shardshuffle=False)
    samples = list(dataset)
    del dataset
    gc.collect()
    assert [sample["__key__"] for sample in samples] == ["k0", "k1", "k2", "k3"]
    assert samples[3]["img.png"] == png(3)
    assert (samples[3]["cls"], json.loads(samples[3]["data.json"])) == (b"3", {"a": [3]})


def test_shards_of_the_webdataset_package_are_read(session, tmp_path):
    webdataset = pytest.importorskip("webdataset")
    with webdataset.TarWriter(str(tmp_path / "w.tar")) as writer:
        for n in range(3):
            writer.write({"__key__": f"{n}", "png": Image.new("RGB", (4, 4)), "cls": n})
    rows = bb.create_table("t", bb.read_webdataset(tmp_path / "w.tar")).collect()
    assert rows["cls"] == [0, 1, 2]
    assert rows[0, "png"].size == (4, 4)


def test_large_tables_are_written_in_shards(session, tmp_path):
    table = bb.create_table("t", {"key": bb.String, "text": bb.String})
    table.insert([{"key": f"{n:03d}", "text": "x" * 3000} for n in range(10)])
    paths = table.order_by("key").to_webdataset(tmp_path / "s-%02d.tar", max_bytes=10_000)
    assert [Path(path).name for path in paths] == [f"s-{n:02d}.tar" for n in range(len(paths))]
    assert 2 < len(paths) < 10
    rows = list(bb.read_webdataset(tmp_path / "s-*.tar"))
    assert [row["key"] for row in rows] == [f"{n:03d}" for n in range(10)]


# -- Errors ----------------------------------------------------------------------------------------


def objects(session):
    return list(session._engine.library.store.objects())


@pytest.mark.parametrize("keep", [0.3, 0.7, 0.9])
def test_truncated_shard_is_named_and_nothing_is_stored(session, tmp_path, keep):
    archive = tar(tmp_path / "whole.tar", samples(40))
    data = archive.read_bytes()
    cut = tmp_path / "cut.tar"
    cut.write_bytes(data[: int(len(data) * keep) // 512 * 512 - 100])
    table = bb.create_table("t", bb.read_webdataset(archive).schema)
    with pytest.raises(DataError, match=r"cut\.tar' cannot be read: .*truncated"):
        table.insert(bb.read_webdataset(cut))
    assert table.count().to_pyarrow().as_py() == 0
    assert objects(session) == []


def test_bad_image_is_named_with_its_row_and_shard(session, tmp_path):
    tar(tmp_path / "a.tar", samples(3))
    tar(tmp_path / "b.tar", [*samples(2), ("0009.png", b"no picture"), ("0009.cls", b"1")])
    table = bb.create_table("t", bb.read_webdataset(tmp_path / "a.tar").schema)
    with pytest.raises(MediaError, match=r"table 't', column 'png', row 5: .*b\.tar', row 2\)"):
        table.insert(bb.read_webdataset(tmp_path / "[ab].tar"))
    assert objects(session) == []


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("../../0001.txt", b"x")], "points outside the archive"),
        ([("/etc/0001.txt", b"x")], "points outside the archive"),
        ([("README", b"x")], "holds no samples"),
        ([("1.txt", b"x"), ("1.txt", b"y")], r"'1\.txt' occurs twice"),
        (
            [("1.png", b"x"), ("1.png.txt", b"y")],
            "members with different suffixes map to the same column 'png'",
        ),
        ([("1.txt", b"\xff\xfe")], "has another type than those before it"),
        (
            [("1.cls", b"1"), ("2.cls", b"1")] * 60 + [("3.cls", b"cat")],
            "has another type than those before",
        ),
    ],
)
def test_harmful_and_invalid_archives_are_rejected(session, tmp_path, members, message):
    path = tar(tmp_path / "a.tar", members)
    with pytest.raises((DataError, MediaError), match=message):
        list(bb.read_webdataset(path))


def test_missing_and_unreadable_archives_are_rejected(session, tmp_path):
    (tmp_path / "a.tar").write_bytes(b"no archive" * 100)
    (tmp_path / "b.tar").write_bytes(b"")
    for name in "ab":
        with pytest.raises(DataError, match=rf"{name}\.tar' (cannot be read|holds no samples)"):
            bb.read_webdataset(tmp_path / f"{name}.tar")
    with pytest.raises(DataError, match=r"there is no file .*none\.tar"):
        bb.read_webdataset(tmp_path / "none.tar")


def test_oversized_member_is_not_read(tmp_path):
    Path("barbule.toml").write_text("[media]\nmax_bytes = 1000\n")
    bb.connect(vectors="exact:")
    path = tar(tmp_path / "a.tar.gz", [("1.bin", b"\0" * 10_000_000)], "w:gz")
    with pytest.raises(DataError, match=r"'1\.bin' in .* is larger than 1000 bytes"):
        bb.read_webdataset(path)


def test_invalid_keys_and_names_are_rejected(session, album, tmp_path):
    with pytest.raises(DataError, match=r"row 1: the key of a sample .*value: '1'"):
        album.mutate(k=key_literal("1")).to_webdataset(tmp_path / "a.tar", key="k")
    assert not (tmp_path / "a.tar").exists()
    with pytest.raises(MediaError, match="points outside"):
        album.mutate(k=key_literal("../x")).to_webdataset(tmp_path / "a.tar", key="k")
    with pytest.raises(SchemaError, match="column 'a b'"):
        album.select(**{"a b": album.n}).to_webdataset(tmp_path / "a.tar")
    with pytest.raises(DataError, match="must have exactly one place"):
        album.to_webdataset(tmp_path / "a-%s-%d.tar")


def key_literal(text):
    import ibis

    return ibis.literal(text)
