"""Spreadsheets, CSV, JSON, XML and EPUB as documents, and features of single formats."""

from __future__ import annotations

import datetime
import json
import os
import zipfile
from pathlib import Path

import pytest

from barbule.errors import MediaError
from barbule.media.documents import ReadingOptions, read_document, validate_document
from barbule.media.documents.text.markdown import read_markdown
from media_files import make_epub, make_pdf

DATA = Path(os.environ.get("BARBULE_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")
real = pytest.mark.skipif(not DATA.is_dir(), reason="BARBULE_TEST_DATA is not there")


def texts(path: Path) -> list[str]:
    return [block.text for block in read_document(path).blocks]


# -- tables ----------------------------------------------------------------------------------


def test_spreadsheet_rows_include_their_column_names(tmp_path):
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Films"
    for row in (
        ("name", "revenue", "seen", "on"),
        ("Up", 735.1, True, datetime.date(2009, 5, 29)),
        (None, None, None, None),
        ("Brave", 540, None, None),
    ):
        sheet.append(row)
    book.create_sheet("Notes")["B2"] = "only one cell"
    path = tmp_path / "films.xlsx"
    book.save(path)
    assert validate_document(path) == "xlsx"
    document = read_document(path)
    assert document.pages == 2
    assert [(block.text, block.page, block.heading) for block in document.blocks] == [
        ("name | revenue | seen | on", 1, "Films"),
        ("name: Up | revenue: 735.1 | seen: True | on: 2009-05-29", 1, "Films"),
        ("name: Brave | revenue: 540", 1, "Films"),
        ("only one cell", 2, "Notes"),
    ]
    assert document.blocks[1].rows == (("Up", "735.1", "True", "2009-05-29"),)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_separated_values_are_read(tmp_path, delimiter):
    path = tmp_path / "birds.csv"
    rows = [["bird", "said"], ["jay", "a, b; c"], ["owl", "two\nlines"], ["tit", "short"]]
    path.write_text("\n".join(delimiter.join(f'"{cell}"' for cell in row) for row in rows))
    document = read_document(path)
    assert [(block.text, block.sourceline) for block in document.blocks] == [
        ("bird | said", 1),
        ("bird: jay | said: a, b; c", 2),
        ("bird: owl | said: two lines", 3),
        ("bird: tit | said: short", 5),
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("1,2\n3,4\n", ["1 | 2", "3 | 4"]),  # no column names
        ("a,a\n3,4\n", ["a | a", "3 | 4"]),
        ("a,b\n", ["a | b"]),
        ("a,b\n1,2,3\n4\n", ["a | b", "a: 1 | b: 2 | 3", "a: 4"]),
        ("one column\nof text\n", ["one column", "of text"]),
        ("\n\n", []),
    ],
)
def test_irregular_tables_are_read(tmp_path, content, expected):
    path = tmp_path / "odd.csv"
    path.write_text(content)
    assert texts(path) == expected


def test_unclosed_quote_leaves_plain_text(tmp_path):
    path = tmp_path / "open.csv"
    path.write_text('a,b\n"' + "never closed " * 20_000)
    assert texts(path)[0].startswith("a,b\n")


# -- JSON and XML ----------------------------------------------------------------------------


def test_json_records_are_blocks(tmp_path):
    path = tmp_path / "birds.json"
    path.write_text(json.dumps([{"bird": "größte"}, {"bird": 'a "b" \\u0041 羽'}], indent=1))
    assert [(block.text, block.sourceline) for block in read_document(path).blocks] == [
        ('{\n  "bird": "größte"\n }', 2),
        ('{\n  "bird": "a \\"b\\" \\\\u0041 羽"\n }', 5),
    ]


def test_long_json_values_are_split_under_their_keys(tmp_path):
    path = tmp_path / "deep.json"
    value = {"title": "Birds", "a": 1, "b": {"c": [{"d": "x" * 600}, {"d": "y" * 600}], "e": 2}}
    path.write_text(json.dumps(value))
    document = read_document(path)
    assert document.title == "Birds"
    assert [(block.text[:14], block.heading) for block in document.blocks] == [
        ('"title": "Bird', None),
        ('{"d": "xxxxxxx', "b > c"),
        ('{"d": "yyyyyyy', "b > c"),
        ('"e": 2', "b"),
    ]


def test_json_lines_are_blocks(tmp_path):
    path = tmp_path / "birds.jsonl"
    path.write_text('{"bird": "jay"}\n\n{"bird": "owl"}\n')
    assert [(block.text, block.sourceline) for block in read_document(path).blocks] == [
        ('{"bird": "jay"}', 1),
        ('{"bird": "owl"}', 3),
    ]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.json", '{"a": 1,\n "b": ', r"line 2: Expecting value"),
        ("a.json", "[" * 200_000, "nested too deeply"),
        ("a.jsonl", '{"a": 1}\n{"a": \n', "line 2"),
        ("a.json", "[1" + "0" * 5000 + "]", "integer string"),
        ("a.xml", "<a>\n<b></a>", "line 2: mismatched tag"),
        ("a.xml", "<a>", "line 1: no element found"),
        ("a.xml", "<a>" * 20_000, "nested more than 10,000 elements deep"),
        ("a.xml", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "declares the entity 'b'"),
        ("a.xml", "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>", "entity 'b'"),
        ("a.xml", "<!DOCTYPE a [<!ENTITY % b 'c'> %b;]><a/>", "entity 'b'"),
    ],
)
def test_damaged_and_harmful_json_and_xml_are_rejected(tmp_path, name, content, reason):
    path = tmp_path / name
    path.write_text(content)
    for use in (validate_document, read_document):
        with pytest.raises(MediaError, match=rf"{name} is a damaged \w+ file \(.*{reason}"):
            use(path)


def test_xml_elements_are_blocks(tmp_path):
    path = tmp_path / "birds.xml"
    items = "\n".join(
        f"<item><name>{n}</name><says>{'kra ' * 120}</says></item>" for n in ("jay", "rook")
    )
    path.write_text(
        f"<?xml version='1.0'?>\n<birds>\n<title>All <i>birds</i></title>\n{items}\n</birds>"
    )
    document = read_document(path)
    assert document.title == "All birds"
    assert [(block.text[:12], block.heading, block.sourceline) for block in document.blocks] == [
        ("All birds", "birds", 3),
        ("jay\nkra kra ", "birds", 4),
        ("rook\nkra kra", "birds", 5),
    ]


@pytest.mark.parametrize(
    ("source", "text", "left_out"),
    [
        ("<a><b>one</b><b>two</b></a>", "one\ntwo", ()),
        ("<p>They have <b>feath</b>ers &amp; <i>hooks</i>.</p>", "They have feathers & hooks.", ()),
        ("<p><b>Rooks</b> are <i>black</i></p>", "Rooks are black", ()),
        ("<a><![CDATA[x < y]]></a>", "x < y", ()),
        ("<a>\n  one\n\n  two  words\n</a>", "one\ntwo words", ()),
        ("<a><b><c>1</c><c>2</c></b>\n<b><c>3</c></b></a>", "1\n2\n3", ()),
        ("<a>one<b/>two</a>", "onetwo", ()),
        ("<a><!-- no --><?no no?>yes</a>", "yes", ("comments",)),
        ("<a b='no'>yes</a>", "yes", ("attributes",)),
        ("<a xmlns='urn:a' xmlns:x='urn:x'><x:b xml:lang='en'>yes</x:b></a>", "yes", ()),
        ("<a/>", "", ()),
        ("<a>é</a>", "é", ()),
    ],
)
def test_xml_text_has_no_markup(tmp_path, source, text, left_out):
    path = tmp_path / "a.xml"
    path.write_text(source)
    document = read_document(path)
    assert "\n".join(block.text for block in document.blocks) == text
    assert document.left_out == left_out


def test_long_xml_elements_keep_all_text(tmp_path):
    path = tmp_path / "a.xml"
    words = [f"w{n}" for n in range(900)]
    parts = [f"<p>{' '.join(words[n : n + 30])}</p>" for n in range(0, 900, 30)]
    path.write_text(f"<a>before<b>{''.join(parts)}</b>after</a>")
    blocks = read_document(path).blocks
    assert len(blocks) > 3
    text = "".join(block.text.replace(" ", "") for block in blocks)
    assert text == f"before{''.join(words)}after"


# -- EPUB ------------------------------------------------------------------------------------


def test_epub_is_read_in_spine_order(tmp_path):
    path = make_epub(
        tmp_path / "book.epub",
        {
            "two.xhtml": "<title>Second</title><body><p>Last words.</p></body>",
            "one.xhtml": "<body><h1>First</h1><p>A barbule<br/>hooks.</p></body>",
        },
        order=["one.xhtml", "two.xhtml"],
        title="On feathers",
        author="A. Bird",
    )
    assert validate_document(path) == "epub"
    document = read_document(path)
    assert document.title == "On feathers"
    assert document.metadata == {"author": "A. Bird", "language": "en"}
    assert [(block.text, block.heading) for block in document.blocks] == [
        ("First", "First"),
        ("A barbule hooks.", "First"),
        ("Last words.", "Second"),
    ]


def test_protected_epub_is_rejected(tmp_path):
    path = make_epub(tmp_path / "book.epub", {"a.xhtml": "<p>x</p>"}, hidden="OEBPS/a.xhtml")
    with pytest.raises(MediaError, match=r"book\.epub is a protected EPUB"):
        read_document(path)
    fonts = make_epub(tmp_path / "fonts.epub", {"a.xhtml": "<p>x</p>"}, hidden="a.otf")
    assert texts(fonts) == ["x"]


def test_epub_without_a_package_is_damaged(tmp_path):
    path = tmp_path / "book.epub"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("META-INF/container.xml", "<container/>")
    with pytest.raises(MediaError, match=r"book\.epub is a damaged EPUB file \(its container"):
        read_document(path)


# -- archives --------------------------------------------------------------------------------


def test_unreadable_archive_part_is_found_on_validation(tmp_path):
    path = make_epub(tmp_path / "book.epub", {"a.xhtml": "<p>some words to change</p>"}, pack=False)
    path.write_bytes(path.read_bytes().replace(b"words to", b"w\0rds to"))
    with pytest.raises(
        MediaError, match=r"damaged or truncated EPUB file: its part OEBPS/a\.xhtml"
    ):
        validate_document(path)


def test_encrypted_office_file_is_rejected(tmp_path):
    path = tmp_path / "locked.docx"
    path.write_bytes(b"\xd0\xcf\x11\xe0" + bytes(900) + "EncryptedPackage".encode("utf-16-le"))
    with pytest.raises(MediaError, match=r"locked\.docx is a password-protected Office file"):
        validate_document(path)


# -- features of single formats --------------------------------------------------------------


def test_pdf_outline_gives_headings_and_lines_have_boxes(tmp_path):
    path = make_pdf(
        tmp_path / "feathers.pdf",
        ["1 Feathers", "Barbs branch from the shaft of each feather, on both sides of it."],
        ["Barbules hook into each other.", "1.1 Down", "Down has no hooks."],
        outline=[("Feathers", 0, 1), ("Down", 1, 2)],
    )
    document = read_document(path)
    assert [(block.text[:12], block.page, block.heading) for block in document.blocks] == [
        ("1 Feathers", 1, "Feathers"),
        ("Barbs branch", 1, "Feathers"),
        ("Barbules hoo", 2, "Feathers"),
        ("1.1 Down", 2, "Feathers > Down"),
        ("Down has no ", 2, "Feathers > Down"),
    ]
    ((offset, (left, low, _, high)),) = document.blocks[0].boxes
    assert offset == 0
    assert left == pytest.approx(40, abs=2)
    assert 745 < low < high < 765


def test_html_blocks_have_source_lines(tmp_path):
    html = "<html>\n<body title='hooks'>\n<p>A &amp; b</p><p>hooks</p>\n\n<ul><li>x</ul>"
    path = tmp_path / "a.html"
    path.write_text(html)
    assert [(b.text, b.sourceline) for b in read_document(path).blocks] == [
        ("A & b", 3),
        ("hooks", 3),
        ("x", 5),
    ]


def test_html_line_breaks_separate_words(tmp_path):
    html = (
        "<p>barb<br>ule and</br>hook</p><p>feath<brand>er</brand></p><pre>if x:<BR>  y</pre>"
        "<textarea>1<BR>2</textarea><table><tr><td>up<br>down<td>x</table>"
    )
    path = tmp_path / "a.html"
    path.write_text(html)
    assert [block.text for block in read_document(path).blocks] == [
        "barb ule and hook",
        "feather",
        "if x:\n  y",
        "1<BR>2",
        "up down | x",
    ]


def test_skip_tags_omits_elements(tmp_path):
    path = tmp_path / "a.html"
    path.write_text("<p>text</p><footer>imprint</footer>")
    assert texts(path) == ["text", "imprint"]
    read = read_document(path, ReadingOptions(skip_tags=("footer",)))
    assert [block.text for block in read.blocks] == ["text"]


def test_html_layout_tables_are_not_tables(tmp_path):
    path = tmp_path / "a.html"
    path.write_text(
        "<table><tr><td><h1>Birds</h1>They fly.</td><td><table><tr><td>a<td>b</table></table>"
    )
    blocks = read_document(path).blocks
    assert [(block.text, block.heading) for block in blocks] == [
        ("Birds", "Birds"),
        ("They fly.", "Birds"),
        ("a | b", "Birds"),
    ]


def test_html_and_markdown_metadata_are_read(tmp_path):
    path = tmp_path / "a.html"
    path.write_text('<html lang="en"><head><meta name="author" content="A. Bird"></head>x')
    assert read_document(path).metadata == {"author": "A. Bird", "language": "en"}
    front = b"---\ntitle: T\nauthor: A. Bird\ndate: 2020-02-03\n---\ntext"
    assert read_markdown(front).metadata == {"author": "A. Bird", "created": "2020-02-03"}


def test_docx_text_boxes_and_tracked_changes_are_read(tmp_path):
    import docx
    from docx.oxml import parse_xml

    space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    document = docx.Document()
    document.add_paragraph("before")
    document.element.body.insert(
        1,
        parse_xml(
            f'<w:p xmlns:w="{space}"><w:r><w:t>an</w:t><w:tab/><w:t>chor</w:t></w:r>'
            "<w:ins><w:r><w:t> new</w:t></w:r></w:ins>"
            "<w:del><w:r><w:delText> old</w:delText></w:r></w:del>"
            "<w:r><w:pict><w:txbxContent><w:p><w:r><w:t>boxed</w:t></w:r></w:p>"
            "</w:txbxContent></w:pict></w:r></w:p>"
        ),
    )
    path = tmp_path / "a.docx"
    document.save(str(path))
    assert texts(path) == ["before", "an\tchor new", "boxed"]


@real
def test_sample_spreadsheets_are_read():
    document = read_document(DATA / "datasets" / "SaleData.xlsx")
    assert document.blocks[1].text.startswith("OrderDate: ")
    netflix = read_document(DATA / "datasets" / "netflix_titles.csv")
    assert len(netflix.blocks) > 8000
    assert "title: " in netflix.blocks[5].text


@real
def test_sample_paper_has_headings_and_boxes():
    document = read_document(DATA / "documents" / "1706.03762.pdf")
    headings = {block.heading for block in document.blocks}
    assert "Model Architecture > Attention > Scaled Dot-Product Attention" in headings
    assert all(block.boxes for block in document.blocks)
