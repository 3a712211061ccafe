from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import barbule as bb
from barbule.errors import DataError, MediaError

from .conftest import contents


def test_embedded_media_round_trip(album, tmp_path):
    album.order_by("n").to_parquet(tmp_path / "a.parquet", embed_media=True)
    rows = bb.read_parquet(tmp_path / "a.parquet")
    assert rows.columns == ("n", "title", "img", "score")
    again = bb.create_table("again", rows)
    assert contents(again) == contents(album)
    assert again.order_by("n").collect()["title"] == ["red, ☃", None, ""]
    assert again.order_by("n").collect()["score"] == [0.5, None, -1.0]


def test_media_are_written_as_references_by_default(album, tmp_path):
    album.to_parquet(tmp_path / "a.parquet")
    assert pa.types.is_string(pq.read_schema(tmp_path / "a.parquet").field("img").type)


def test_insert_accepts_a_parquet_path(album, tmp_path):
    album.to_parquet(tmp_path / "a.parquet", embed_media=True)
    other = bb.create_table("other", album.schema())
    other.insert(str(tmp_path / "a.parquet"))
    assert contents(other) == contents(album)


def test_hugging_face_reads_and_writes_embedded_media(album, tmp_path):
    datasets = pytest.importorskip("datasets")
    album.to_parquet(tmp_path / "a.parquet", embed_media=True)
    dataset = datasets.Dataset.from_parquet(str(tmp_path / "a.parquet"), cache_dir=str(tmp_path))
    assert isinstance(dataset.features["img"], datasets.Image)
    assert dataset[0]["img"].size == (6, 4)
    dataset.to_parquet(str(tmp_path / "b.parquet"))
    again = bb.create_table("again", bb.read_parquet(tmp_path / "b.parquet"))
    assert contents(again)[0] == contents(album)[0]


def test_content_structs_without_metadata_are_images(session, album, tmp_path):
    album.to_parquet(tmp_path / "a.parquet", embed_media=True)
    bare = pq.read_table(tmp_path / "a.parquet").replace_schema_metadata(None)
    pq.write_table(bare, tmp_path / "b.parquet")
    assert isinstance(bb.read_parquet(tmp_path / "b.parquet").schema["img"], bb.Image)


def test_unreadable_parquet_files_are_rejected(session, tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no parquet PAR1")
    with pytest.raises(DataError, match=r"a\.parquet' cannot be read"):
        bb.read_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"there is no file .*none\.parquet"):
        bb.read_parquet(tmp_path / "none.parquet")
    content = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    bad = pa.array([{"bytes": b"no picture", "path": "x.png"}], content)
    pq.write_table(pa.table({"img": bad}), tmp_path / "bad.parquet")
    rows = bb.read_parquet(tmp_path / "bad.parquet")
    with pytest.raises(MediaError, match=r"column 'img', row 0: .*bad\.parquet"):
        bb.create_table("t", rows)
    assert bb.list_tables() == []
    empty = pa.array([{"bytes": None, "path": None}], content)
    pq.write_table(pa.table({"img": empty}), tmp_path / "empty.parquet")
    with pytest.raises(MediaError, match="mapping with the content as 'bytes'"):
        bb.create_table("t", bb.read_parquet(tmp_path / "empty.parquet"))
