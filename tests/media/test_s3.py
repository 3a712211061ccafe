"""Media store and media references in S3: a server on loopback and the real client."""

from __future__ import annotations

import datetime
import io
import uuid

import pytest
from PIL import Image

import barbule as bb
from barbule.errors import MediaError
from barbule.media.storage.media_store import MediaStore
from servers import s3

pytest.importorskip("s3fs")
pytest.importorskip("moto")


def png(shade: int = 7) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (4, 4), shade).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def server():
    with s3.serving() as url:
        yield url


@pytest.fixture
def bucket(server):
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    name = f"b{uuid.uuid4().hex[:20]}"
    files = s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)
    files.mkdir(name)
    return name, files


@pytest.fixture
def connected(bucket, tmp_path):
    return bb.connect(vectors="exact:", media=f"s3://{bucket[0]}/media")


def test_media_store_in_s3(bucket, tmp_path):
    store = MediaStore(f"s3://{bucket[0]}/media", cache_dir=tmp_path / "cache", user="duckdb:///a")
    reference = store.put(b"barbs", "txt")
    assert store.open(reference) == b"barbs"
    assert store.local_path(reference).read_bytes() == b"barbs"
    assert store.exists(reference)
    assert [stored_object.name for stored_object in store.objects()] == [
        reference.removeprefix("media:")
    ]
    assert store.users() == ["duckdb:///a"]
    assert store.delete(reference)
    assert not store.exists(reference)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert not store.delete(reference)
    with pytest.raises(MediaError, match="is not in the media store s3://"):
        store.open(reference)


def test_tables_over_a_media_store_in_s3(connected, bucket):
    table = bb.create_table("t", {"n": bb.Int, "img": bb.Image})
    table.add_computed_column(small=table.img.resize((2, 2)))
    table.insert([{"n": n, "img": png(n)} for n in range(4)])
    assert [image.getpixel((0, 0)) for image in table.order_by("n").collect()["small"]] == [
        0,
        1,
        2,
        3,
    ]
    with pytest.raises(MediaError, match="row 1"):
        table.insert([{"n": 9, "img": png(9)}, {"n": 8, "img": b"no picture"}])
    assert len(bucket[1].find(f"{bucket[0]}/media")) == 8 + 1  # and the record of its user

    table.delete(where=table.n > 1)
    table.compact()
    assert bb.collect_media().files == 0
    assert bb.collect_media(grace=datetime.timedelta(0)).files == 4
    assert [image.size for image in table.collect()["img"]] == [(4, 4)] * 2


def test_media_references_to_s3(connected, bucket):
    name, files = bucket
    files.pipe_file(f"{name}/photos/a.png", png(3))
    table = bb.create_table("t", {"img": bb.Image})
    table.insert(img=f"s3://{name}/photos/a.png")
    assert table.collect()[0, "img"].getpixel((0, 0)) == 3
    assert table.select(u=table.img.uri()).collect()["u"] == [f"s3://{name}/photos/a.png"]
    with pytest.raises(MediaError, match=r"column 'img', row 0: s3://.*/none\.png does not exist"):
        table.insert(img=f"s3://{name}/photos/none.png")
