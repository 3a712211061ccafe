"""Document limits: small files that expand too far fail early with a hint to the setting."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import subprocess
import sys
import tarfile
import textwrap
import zipfile
import zlib
from pathlib import Path

import pytest

import barbule as bb
from barbule.config import MediaSettings
from barbule.errors import BarbuleError, DataError, MediaError
from barbule.media.documents import read_document, validate_document
from barbule.media.read_limits import apply_limits
from media_files import make_epub

RELATIONSHIPS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
SHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"


def packed(path, parts):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def workbook(path, rows, *, strings="", sheet="worksheets/sheet1.xml"):
    """Write a spreadsheet with rows given as XML."""

    def related(kind, target):
        return f'<Relationship Id="{kind}" Type="{RELATIONSHIPS}/{kind}" Target="{target}"/>'

    def relationships(*targets):
        inner = "".join(related(*target) for target in targets)
        return f'<Relationships xmlns="{PACKAGE}">{inner}</Relationships>'

    return packed(
        path,
        {
            "[Content_Types].xml": f'<Types><Override ContentType="{SHEET}"/></Types>',
            "_rels/.rels": relationships(("officeDocument", "xl/workbook.xml")),
            "xl/_rels/workbook.xml.rels": relationships(
                ("worksheet", sheet), ("sharedStrings", "sharedStrings.xml")
            ),
            "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{RELATIONSHIPS}"><sheets>'
            '<sheet name="S" sheetId="1" r:id="worksheet"/></sheets></workbook>',
            "xl/sharedStrings.xml": f'<sst xmlns="{MAIN}">{strings}</sst>',
            f"xl/{sheet}": f'<worksheet xmlns="{MAIN}"><sheetData>{rows}</sheetData></worksheet>',
        },
    )


FAR = '<row r="1"><c r="A1"><v>1</v></c></row><row r="{0}"><c r="{1}{0}"><v>2</v></c></row>'


def document(path, body):
    """Write a Word document with XML before the body of an empty one."""
    import docx

    buffer = io.BytesIO()
    docx.Document().save(buffer)
    with zipfile.ZipFile(buffer) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    main = parts["word/document.xml"]
    parts["word/document.xml"] = main.replace(b"<w:body>", b"<w:body>" + body)
    return packed(path, parts)


def presentation(path, paragraphs):
    import pptx

    document = pptx.Presentation()
    document.slides.add_slide(document.slide_layouts[0]).shapes.title.text = "T"
    buffer = io.BytesIO()
    document.save(buffer)
    with zipfile.ZipFile(buffer) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    slide = parts["ppt/slides/slide1.xml"]
    parts["ppt/slides/slide1.xml"] = slide.replace(b"</a:p>", b"</a:p>" + paragraphs, 1)
    return packed(path, parts)


def pages(path, count):
    """Write a PDF of many pages that share one object."""
    content = zlib.compress(b"BT /F1 9 Tf (words) Tj ET\n" * 1000)
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count %d/Kids[%s]>>" % (count, b"3 0 R " * count),
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 90 90]/Contents 4 0 R>>",
        b"<</Length %d/Filter/FlateDecode>>stream\n%s\nendstream" % (len(content), content),
    ]
    file_content = b"%PDF-1.7\n" + b"".join(
        b"%d 0 obj\n%s\nendobj\n" % numbered for numbered in enumerate(objects, start=1)
    )
    path.write_bytes(file_content + b"trailer<</Root 1 0 R>>\n%%EOF\n")
    return path


def text(path, content):
    path.write_text(content)
    return path


BOMBS = {
    "two far cells": (
        lambda f: workbook(f / "a.xlsx", FAR.format(1_048_576, "XFD")),
        "max_cells",
    ),
    "far cells in a part of any name": (
        lambda f: workbook(f / "a.xlsx", FAR.format(1_048_576, "XFD"), sheet="media/a.png"),
        "max_cells",
    ),
    "cells without places": (
        lambda f: workbook(
            f / "a.xlsx", "<row/>" * 9000 + "<row>" + "<c><v>1</v></c>" * 9000 + "</row>"
        ),
        "max_cells",
    ),
    "formulas in far columns": (
        lambda f: workbook(
            f / "a.xlsx",
            '<row r="1"><c r="A1"><v>1</v></c></row>'
            + "".join(f'<row><c r="XFD{row}"><f>1</f></c></row>' for row in range(2, 9000)),
        ),
        "max_cells",
    ),
    "many cells": (
        lambda f: workbook(f / "a.xlsx", f"<row>{'<c/>' * 5_000_001}</row>"),
        "max_cells",
    ),
    "many sheets' worth of a shared text": (
        lambda f: workbook(
            f / "a.xlsx",
            "<row>" + '<c t="s"><v>0</v></c>' * 10_000 + "</row>",
            strings=f"<si><t>{'a' * 100_000}</t></si>",
        ),
        "max_text",
    ),
    "paragraphs of DOCX": (
        lambda f: document(f / "a.docx", b"<w:p/>" * 3_000_000),
        "max_elements",
    ),
    "paragraphs of PPTX": (
        lambda f: presentation(f / "a.pptx", b"<a:p/>" * 3_000_000),
        "max_elements",
    ),
    "paragraphs of EPUB": (
        lambda f: make_epub(f / "a.epub", {"a.xhtml": "<p>a</p>" * 2_000_000}),
        "max_elements",
    ),
    "names of columns in each row": (
        lambda f: text(f / "a.csv", "a" * 100_000 + ",b\n" + "1,1\n" * 200_000),
        "max_text",
    ),
    "a wide table of rows of one sign": (
        lambda f: text(f / "a.md", f"{'|a' * 4000}|\n{'|-' * 4000}|\n" + "|\n" * 400_000),
        "max_cells",
    ),
    "keys above each value": (
        lambda f: text(f / "a.json", f'{{"{"a" * 400_000}": [{"1, " * 1000}1]}}'),
        "max_text",
    ),
    "names above each element": (
        lambda f: text(f / "a.xml", f"<{'a' * 300_000}>{'<b>c</b>' * 9000}</{'a' * 300_000}>"),
        "max_text",
    ),
    "the same page": (lambda f: pages(f / "a.pdf", 100_000), "max_pages"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bomb_is_rejected_by_a_named_limit(name, tmp_path):
    make, setting = BOMBS[name]
    path = make(tmp_path)
    assert path.stat().st_size < 1_000_000
    with pytest.raises(MediaError, match=r"has more than [0-9,]+ ") as caught:
        read_document(path)
    assert setting in caught.value.hint
    assert str(path) in caught.value.message


def test_rejected_bombs_take_less_than_a_gigabyte(tmp_path):
    paths = []
    for number, (make, _) in enumerate(BOMBS.values()):
        folder = tmp_path / str(number)
        folder.mkdir()
        paths.append(make(folder))
    code = textwrap.dedent("""
        import pathlib, resource, sys
        import docx, pptx, pypdfium2, python_calamine, selectolax.lexbor
        from barbule.errors import MediaError
        from barbule.media.documents import read_document
        pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + 1_000_000_000
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        for path in sys.argv[1:]:
            try:
                read_document(pathlib.Path(path))
            except MediaError:
                print("refused")
    """)
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, paths)], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["refused"] * len(paths), done.stderr


@pytest.mark.parametrize(
    ("setting", "make"),
    [
        ("max_cells", lambda f: workbook(f / "a.xlsx", FAR.format(5, "E"))),
        ("max_elements", lambda f: document(f / "a.docx", b"<w:p/>" * 20)),
        ("max_pages", lambda f: pages(f / "a.pdf", 21)),
        ("max_text", lambda f: text(f / "a.csv", "name,other\nvalue,value\n")),
    ],
)
def test_limits_follow_the_configuration(setting, make, tmp_path):
    path = make(tmp_path)
    assert read_document(path) is not None
    with (
        apply_limits(MediaSettings(**{setting: 20})),
        pytest.raises(MediaError, match="has more than 20 "),
    ):
        read_document(path)


def test_document_within_limits_is_read(tmp_path):
    path = workbook(tmp_path / "a.xlsx", FAR.format(3, "C"))
    assert [block.text for block in read_document(path).blocks] == ["1", " |  | 2"]
    # Only the range from the first to the last cell is kept.
    far = workbook(tmp_path / "far.xlsx", '<row r="1048576"><c r="XFD1048576"><v>2</v></c></row>')
    assert [block.text for block in read_document(far).blocks] == ["2"]


def test_bomb_fails_only_its_cell(session, tmp_path):
    table = bb.create_table("docs", {"doc": bb.Document})
    unchecked = bb.create_table("unchecked", {"doc": bb.Document}, media_validation="on_read")
    good = workbook(tmp_path / "good.xlsx", FAR.format(3, "C"))
    bad = workbook(tmp_path / "bad.xlsx", FAR.format(1_048_576, "XFD"))
    with pytest.raises(MediaError, match=r"bad\.xlsx has more than 5,000,000 cells") as caught:
        table.insert([{"doc": good}, {"doc": bad}])
    assert (caught.value.table, caught.value.column, caught.value.row) == ("docs", "doc", 1)
    unchecked.insert([{"doc": good}, {"doc": bad}])
    unchecked.add_computed_column(text=unchecked.doc.text(), on_error="null")
    rows = unchecked.select("text", error=unchecked.text.error).collect()
    assert sum(text is None for text in rows["text"]) == 1
    assert sum("has more than 5,000,000 cells" in str(error) for error in rows["error"]) == 1


def test_configured_limits_apply_to_function_calls(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("barbule.toml").write_text("[media]\nmax_text = 12\n")
    with bb.connect(home=tmp_path / "home"):
        table = bb.create_table("docs", {"doc": bb.Document})
        table.insert(doc=text(tmp_path / "long.csv", "name,other\nvalue,value\n"))
        with pytest.raises(BarbuleError, match="has more than 12 characters"):
            table.select(text=table.doc.text()).collect()


@pytest.mark.parametrize(("name", "end", "kind"), [("a.txt", "x", "text"), ("a", "<html>", "html")])
def test_format_detection_skips_leading_comments_quickly(name, end, kind, tmp_path):
    assert validate_document(text(tmp_path / name, "<!---->" * 1000 + end)) == kind


def test_element_with_too_many_attributes_is_rejected(tmp_path):
    many = " ".join(f"a{number}='>'" for number in range(100_000))
    with pytest.raises(MediaError, match="more than 2,000 attributes"):
        read_document(text(tmp_path / "a.html", f"<body><p {many}>words"))
    some = " ".join(f"a{number}='>'" for number in range(1_000))
    assert read_document(text(tmp_path / "b.html", f"<body><p {some}>words")).blocks


@pytest.mark.parametrize(
    "content", ["```\n" * 250_000, "a\n" + "<x>\n" * 250_000, "# a" + " \t" * 400_000 + "x"]
)
def test_markdown_parsing_takes_linear_time(content, tmp_path):
    assert read_document(text(tmp_path / "a.md", content)).blocks


def test_tar_headers_that_claim_too_much_are_rejected(session, tmp_path):
    member = tarfile.TarInfo("0.txt")
    member.size = 3
    name = tarfile.TarInfo("././@LongLink")
    name.type, name.size = tarfile.GNUTYPE_LONGNAME, 64 << 20
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.addfile(name, io.BytesIO(b"a" * name.size))
        archive.addfile(member, io.BytesIO(b"abc"))
    with pytest.raises(DataError, match="a header in it claims 67108864 bytes"):
        bb.create_table("samples", bb.read_webdataset(str(tmp_path / "a.tar.gz")))


def members(path, names, size=0):
    """Write a tar file of empty or zero-filled members."""
    if path.suffix == ".bz2":  # it compresses slowly: equal members in ten streams
        tenth = tarfile.TarInfo(names[0]).tobuf() * (len(names) // 10)
        assert (size, set(names)) == (0, {names[0]})
        path.write_bytes(bz2.compress(tenth) * 10 + bz2.compress(bytes(1024)))
        return path
    with {".gz": gzip, ".xz": lzma}[path.suffix].open(path, "wb") as stream:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = size
            stream.write(member.tobuf())
            for _ in range(size >> 20):
                stream.write(bytes(1 << 20))
        stream.write(bytes(1024))
    return path


@pytest.mark.parametrize(
    ("name", "names", "size"),
    [
        ("a.tar.gz", [f"{number}.txt" for number in range(30_000)], 0),
        ("a.tar.gz", ["folder/"] * 30_000, 0),
        ("a.tar.bz2", ["folder/"] * 300_000, 0),
        ("a.tar.xz", ["folder/"] * 30_000, 0),
        ("a.tar.gz", ["0.bin", "1.bin", "2.bin"], 50 << 20),
    ],
    ids=["samples", "others", "bz2", "xz", "zeros"],
)
def test_tar_files_that_unpack_too_far_are_rejected(session, name, names, size, tmp_path):
    path = members(tmp_path / name, names, size)
    assert path.stat().st_size < 1_000_000
    with pytest.raises(DataError, match=r"a\.tar\.\w+' unpacks to more than \d+ bytes in"):
        bb.create_table("samples", bb.read_webdataset(str(path)))
    assert bb.list_tables() == []


def test_tar_file_with_a_large_first_member_is_read(session, tmp_path):
    large = random.Random(1).randbytes(1 << 20) * 70
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz", compresslevel=1) as archive:
        for name, content in (("0.bin", large), ("1.bin", b"abc")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    lengths = [len(row["bin"]) for row in bb.read_webdataset(str(tmp_path / "a.tar.gz"))]
    assert lengths == [70 << 20, 3]


def test_tar_file_of_many_small_samples_is_read(session, tmp_path):
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for number in range(21_000):
            member = tarfile.TarInfo(f"{number:06}.txt")
            member.size, member.mtime = 8, 1_700_000_000 + number
            archive.addfile(member, io.BytesIO(f"{number * 7919 % 10**8:08}".encode()))
    assert sum(1 for _ in bb.read_webdataset(str(path))) == 21_000
