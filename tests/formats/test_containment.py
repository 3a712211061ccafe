"""Containment: a third-party data set can read its own files only, and no other local file."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import barbule as bb
from barbule.errors import BarbuleError, DataError
from barbule.io.export_rows import FileNames

CONTENT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
REFUSED = r"refers to a file outside its own folder: .*root="


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "private" / "secret.txt"
    path.parent.mkdir()
    path.write_text("SECRET")
    return path


@pytest.fixture
def data(tmp_path, secret):
    """Make a folder of a data set, with files that it may name and links that it may not."""
    folder = tmp_path / "data"
    (folder / "in").mkdir(parents=True)
    (folder / "in" / "own.txt").write_text("own")
    (folder / ".env").write_text("SECRET")
    (folder / "link.txt").symlink_to(secret)
    (folder / "links").symlink_to(secret.parent)
    return folder


def parquet(path, *names, kind=CONTENT):
    cells = [name and {"bytes": None, "path": name} for name in names]
    values = cells if kind is CONTENT else [cells]
    pq.write_table(pa.table({"doc": pa.array(values, kind)}), path)
    return path


def texts(table):
    return table.select(text=bb.functions.document.text(table.doc)).collect()["text"]


OUTSIDE_NAMES = [
    "{secret}",
    "file://{secret}",
    "FILE:{secret}",
    "../private/secret.txt",
    "link.txt",
]
OUTSIDE_NAMES += ["links/secret.txt", "in/../../private/secret.txt", ".env", "in/../.env"]
OUTSIDE_NAMES += [
    "frame:1.5:{secret}",
    "a\0b",
    "{data}/in/own.txt",
    "~/secret.txt/../../../etc/passwd",
]


@pytest.mark.parametrize("name", OUTSIDE_NAMES)
@pytest.mark.parametrize("kind", [CONTENT, pa.list_(CONTENT)], ids=["cell", "list"])
def test_parquet_cannot_name_outside_files(session, data, secret, name, kind):
    file = parquet(data / "a.parquet", name.format(secret=secret, data=data), kind=kind)
    column = bb.Document if kind is CONTENT else list[bb.Document]
    table = bb.create_table("t", {"doc": column})
    for source in (bb.read_parquet(file), str(file)):
        with pytest.raises(DataError, match=REFUSED):
            table.insert(source)
    with pytest.raises(DataError, match=REFUSED):
        list(bb.read_parquet(file))
    assert table.count().execute() == 0


def test_parquet_can_name_files_of_its_folder_or_root(session, data, secret, monkeypatch, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    own = parquet(data / "a.parquet", "in/own.txt", None)
    table = bb.create_table("t", {"doc": bb.Document})
    table.insert(bb.read_parquet(own))
    table.insert(str(own))
    assert sorted(texts(table), key=str) == [None, None, "own", "own"]
    table.delete()
    strange = parquet(data / "b.parquet", str(secret), "../private/secret.txt", "link.txt")
    table.insert(bb.read_parquet(strange, root=data.parent))
    assert texts(table) == ["SECRET"] * 3
    with pytest.raises(DataError, match=REFUSED):
        table.insert(bb.read_parquet(strange, root=data))


def test_arrow_file_cannot_name_outside_files(session, data, secret):
    rows = pa.table({"doc": pa.array([{"bytes": None, "path": str(secret)}], CONTENT)})
    with pa.OSFile(str(data / "a.arrow"), "wb") as file, pa.ipc.new_file(file, rows.schema) as out:
        out.write_table(rows)
    table = bb.create_table("t", {"doc": bb.Document})
    with pytest.raises(DataError, match=REFUSED):
        table.insert(str(data / "a.arrow"))


def test_inserted_rows_can_name_any_file(session, secret):
    table = bb.create_table("t", {"doc": bb.Document})
    table.insert([{"doc": {"bytes": None, "path": str(secret)}}, {"doc": secret}])
    assert texts(table) == ["SECRET"] * 2


def test_tar_cannot_name_local_files(session, data, secret):
    with tarfile.open(data / "a.tar", "w") as archive:
        for number, cell in enumerate(({"bytes": None, "path": str(secret)}, [1])):
            content = json.dumps(cell).encode()
            member = tarfile.TarInfo(f"{number}.doc.json")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    with pytest.raises(DataError, match=r"a\.tar' refers to a file .*Add it to the archive"):
        list(bb.read_webdataset(data / "a.tar"))


def test_links_out_of_a_folder_are_not_followed(session, data, secret):
    for source in (data, f"{data}/*.txt", f"{data}/**/secret.txt", f"{data}/*/secret.txt"):
        with pytest.raises(DataError, match=rf"a link to '{secret}'.*root="):
            list(bb.read_folder(source, kind=bb.Document))
    allowed = bb.read_folder(data, kind=bb.Document, root=data.parent)
    assert {row["name"] for row in allowed} == {"own.txt", "link.txt"}
    named = bb.read_folder(data / "link.txt", kind=bb.Document)  # the user names the link
    assert [row["name"] for row in named] == ["link.txt"]
    (data / "link.txt").unlink()
    (data / "inner.txt").symlink_to(data / "in" / "own.txt")
    (data.parent / "alias").symlink_to(data)
    names = {row["name"] for row in bb.read_folder(data.parent / "alias", kind=bb.Document)}
    assert names == {"own.txt", "inner.txt"}


def test_folder_metadata_cannot_name_outside_files(session, data, secret):
    (data / "link.txt").unlink()
    metadata = data / "metadata.jsonl"
    metadata.write_text(json.dumps({"file_name": "../private/secret.txt", "n": 1}))
    with pytest.raises(DataError, match=REFUSED):
        bb.read_folder(data, kind=bb.Document)
    metadata.unlink()
    (secret.parent / "other.jsonl").write_text('{"password": "SECRET"}')
    metadata.symlink_to(secret.parent / "other.jsonl")
    with pytest.raises(DataError, match=REFUSED):
        bb.read_folder(data, kind=bb.Document)


@pytest.mark.parametrize("name", ["link.png", "links/a.png"])
def test_coco_cannot_name_outside_files(session, data, secret, name):
    Image.new("RGB", (2, 2)).save(secret.parent / "a.png")
    (data / "link.png").symlink_to(secret.parent / "a.png")
    file = data / "annotations.json"
    file.write_text(json.dumps({"images": [{"id": 1, "file_name": name}]}))
    with pytest.raises(DataError, match=REFUSED):
        list(bb.read_coco(file))
    assert len(list(bb.read_coco(file, root=data.parent))) == 1


@pytest.mark.parametrize(
    "name", ["metadata.jsonl", "METADATA.jsonl", "./metadata.jsonl", "in/metadata.jsonl"]
)
def test_written_folder_keeps_its_metadata_file(session, tmp_path, name):
    (tmp_path / "a.txt").write_text("content")
    table = bb.create_table("t", {"doc": bb.Document, "n": bb.String})
    table.insert([{"doc": str(tmp_path / "a.txt"), "n": name}])
    table.to_folder(tmp_path / "out", name="n")
    lines = (tmp_path / "out" / "metadata.jsonl").read_text().splitlines()
    (record,) = map(json.loads, lines)
    assert (tmp_path / "out" / record["file_name"]).read_text() == "content"
    again = list(bb.read_folder(tmp_path / "out", kind=bb.Document))
    assert [row["n"] for row in again] == [name]


@pytest.mark.parametrize(
    "names", [["a.d", "a.d/b.txt"], ["a.d/b.txt", "a.d"], ["x" * 300], ["."], ["\ud800"], ["a\0b"]]
)
def test_invalid_file_names_are_rejected(session, tmp_path, names):
    file_names = FileNames("out")
    for number, name in enumerate(names[:-1]):
        file_names.of(name, "/a.txt", Path("/a.txt"), number)
    with pytest.raises(BarbuleError, match=r"name"):
        file_names.of(names[-1], "/a.txt", Path("/a.txt"), len(names))
