"""Written files: invalid targets, and writes that complete or change nothing."""

from __future__ import annotations

import os
import pathlib

import pytest
from PIL import Image

import barbule as bb
from barbule.errors import BarbuleError, DataError

WRITERS = {
    "csv": lambda q, path: q.to_csv(path),
    "json": lambda q, path: q.to_json(path),
    "parquet": lambda q, path: q.to_parquet(path),
    "embedded": lambda q, path: q.to_parquet(path, embed_media=True),
    "xlsx": lambda q, path: q.to_xlsx(path),
    "webdataset": lambda q, path: q.to_webdataset(path),
}
FOLDERS = {"folder": lambda q, path: q.to_folder(path)}


@pytest.fixture
def here(tmp_path, monkeypatch):
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def t(session, here):
    table = session.create_table("t", {"n": bb.Int, "s": bb.String, "img": bb.Image})
    table.insert([{"n": 1, "s": "1", "img": Image.new("RGB", (2, 2))}, {"n": 2, "s": "x"}])
    return table


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_missing_target_folder_is_named(t, here, write):
    for path in ("nope/deep/x.out", str(here / "nope" / "x.out"), pathlib.Path("nope/x.out")):
        folder = str(pathlib.Path(path).parent)
        with pytest.raises(DataError, match=rf"there is no folder '{folder}'.*mkdir\(parents=True"):
            write(t.drop("img"), path)
    (here / "is").mkdir()
    with pytest.raises(DataError, match=r"'is' is a folder\. Pass the name of a file in it: 'is/r"):
        write(t.drop("img"), "is")
    (here / "file").touch()
    with pytest.raises(DataError, match=r"'file' is a file, so 'x\.out' cannot be written into it"):
        write(t.drop("img"), "file/x.out")
    assert sorted(os.listdir(here)) == ["file", "is"]  # noqa: PTH208 - names


@pytest.mark.parametrize("wrong", [None, 3, ""])
@pytest.mark.parametrize("verb", ["to_csv", "to_json", "to_parquet", "to_xlsx"])
def test_invalid_file_path_is_refused(t, verb, wrong):
    with pytest.raises(DataError, match=r"not a path of a file"):
        getattr(t, verb)(wrong)
    assert not list(pathlib.Path().iterdir())


def test_to_folder_creates_missing_folders(t, here):
    (here / "file").touch()
    with pytest.raises(DataError, match=r"'file' is a file, so 'file/deep/out' cannot be a folder"):
        t.to_folder("file/deep/out")
    assert t.to_folder("new/deep/out") == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("write", {**WRITERS, **FOLDERS}.values(), ids={**WRITERS, **FOLDERS})
def test_unwritable_folder_is_named(t, here, write):
    (here / "theirs").mkdir(mode=0o555)
    with pytest.raises(DataError, match=r"the current user may not write 'theirs'"):
        write(t, "theirs/x.out")


@pytest.mark.parametrize("name", ["csv", "json", "parquet", "xlsx"])
def test_failed_export_keeps_existing_file(t, name):
    path = pathlib.Path(f"rows.{name}")
    write = WRITERS[name]
    write(t.select("n", "s"), path)
    before = path.read_bytes()
    with pytest.raises(BarbuleError):
        write(t.select(x=t.s.cast("int64")), path)
    with pytest.raises(BarbuleError):
        write(t.select(x=t.s.cast("int64")), f"new.{name}")
    assert [entry.name for entry in pathlib.Path().iterdir()] == [path.name]
    assert path.read_bytes() == before
    write(t.select("n"), path)
    assert path.read_bytes() != before


def test_export_keeps_compression_links_and_special_files(t):
    t.select("n").order_by("n").to_csv("rows.csv.gz")
    assert pathlib.Path("rows.csv.gz").read_bytes()[:2] == b"\x1f\x8b"
    pathlib.Path("link.csv").symlink_to("real.csv")
    t.select("n").order_by("n").to_csv("link.csv")
    assert pathlib.Path("link.csv").is_symlink()
    assert pathlib.Path("real.csv").read_text() == "n\n1\n2\n"
    t.select("n").to_csv("/dev/null")
    bb.calls().to_csv("calls.csv")
    assert pathlib.Path("calls.csv").exists()
