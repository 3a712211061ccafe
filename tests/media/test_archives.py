from __future__ import annotations

import zipfile

import pytest

import barbule as bb
from barbule.errors import MediaError
from barbule.media.archives import check_member, check_zip


def packed(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, size in members.items():
            archive.writestr(name, b"\0" * size)
    return path


def test_valid_zip_passes(tmp_path):
    check_zip(packed(tmp_path / "a.zip", {"a.txt": 10, "b/c..d.xml": 1 << 20}))


def test_zip_bomb_is_rejected_from_its_directory(tmp_path):
    bomb = packed(tmp_path / "bomb.zip", {"a.xml": 80 << 20})
    assert bomb.stat().st_size < 1 << 20
    with pytest.raises(MediaError, match=r"bomb\.zip would unpack to 83886080 bytes.*bomb"):
        check_zip(bomb)


def test_xlsx_bomb_is_rejected_as_rows(session, tmp_path):
    packed(tmp_path / "rows.xlsx", {"xl/worksheets/sheet1.xml": 80 << 20})
    table = bb.create_table("t", {"n": bb.Int})
    with pytest.raises(MediaError, match=r"rows\.xlsx' would unpack|rows\.xlsx would unpack"):
        table.insert(str(tmp_path / "rows.xlsx"))


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "\\x", "a\\..\\x", "C:/x", "a\0b"])
def test_member_paths_outside_the_archive_are_rejected(name):
    with pytest.raises(MediaError, match="points outside the archive"):
        check_member(name, "a.tar")


@pytest.mark.parametrize("suffix", ["docx", "pptx"])
def test_office_bomb_is_not_inserted(session, tmp_path, suffix):
    kind = {"docx": "wordprocessingml.document", "pptx": "presentationml.presentation"}[suffix]
    path = packed(tmp_path / f"bomb.{suffix}", {"word/document.xml": 80 << 20})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("[Content_Types].xml", f"application/vnd.{kind}.main+xml")
    documents = bb.create_table("docs", {"doc": bb.Document})
    with pytest.raises(MediaError, match=r"column 'doc', row 0: .*bomb.* would unpack"):
        documents.insert(doc=path)
    assert documents.count().to_pyarrow().as_py() == 0
