from __future__ import annotations

import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import PIL.Image
import pytest

from barbule.errors import MediaError
from barbule.media.documents import Block, read_document, validate_document
from barbule.media.documents.text.plain_text import decode
from media_files import make_pdf

DATA = Path(os.environ.get("BARBULE_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")


# -- PDF -------------------------------------------------------------------------------------


def test_pdf_pages_title_and_paragraphs_are_read(tmp_path):
    path = make_pdf(
        tmp_path / "feathers.pdf",
        [
            "Feathers",
            "A feather has a shaft from which the barbs branch on both sides, and the bar-",
            "bules of each hook into those of the next, which makes the vane a whole.",
            "The second paragraph starts here, and it goes on for the full width of a line",
            "to end here.",
        ],
        ["Down has no hooks."],
        title="On feathers",
    )
    assert validate_document(path) == "pdf"
    document = read_document(path)
    assert document.title == "On feathers"
    assert [block.page for block in document.blocks][-1] == 2
    text = "\n".join(block.text for block in document.blocks)
    assert document.blocks[0].text == "Feathers"
    assert "and the barbules of each hook into those of the next" in text
    assert document.blocks[-1].text == "Down has no hooks."


def test_pdf_word_hyphens_are_kept(tmp_path):
    path = make_pdf(
        tmp_path / "hyphens.pdf",
        [
            "A well-known fact is that the hooks hold, and so it is with each feather of a well-",
            "known bird.",
        ],
    )
    assert "a well-known bird." in read_document(path).blocks[-1].text


def test_pdf_of_an_image_has_no_text(tmp_path):
    path = tmp_path / "scan.pdf"
    PIL.Image.new("RGB", (40, 40), "white").save(path)
    assert validate_document(path) == "pdf"
    assert read_document(path).blocks == ()
    assert read_document(path).scanned == (1,)


def test_damaged_pdf_is_rejected(tmp_path):
    content = make_pdf(tmp_path / "whole.pdf", ["Some text."]).read_bytes()
    cut = tmp_path / "cut.pdf"
    cut.write_bytes(content[:60])
    for use in (validate_document, read_document):
        with pytest.raises(MediaError, match=r"cut\.pdf is a damaged or truncated PDF"):
            use(cut)


def test_protected_pdf_is_rejected(tmp_path):
    path = make_pdf(tmp_path / "locked.pdf", ["Secret."])
    # Standard security handler, revision 2, with keys that do not match an empty password.
    lock = f"<< /Filter /Standard /V 1 /R 2 /P -4 /O <{'41' * 32}> /U <{'42' * 32}> >>"
    text = path.read_text("latin-1")
    path.write_text(
        text.replace("/Info 4 0 R", f"/Info 4 0 R /ID [<00><00>] /Encrypt {lock}"), "latin-1"
    )
    for use in (validate_document, read_document):
        with pytest.raises(MediaError, match=r"locked\.pdf is a password-protected PDF"):
            use(path)


def test_pdfs_are_read_from_many_threads(tmp_path):
    paths = [make_pdf(tmp_path / f"{n}.pdf", [f"Page of document {n}."]) for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        documents = list(pool.map(read_document, paths * 5))
    assert [d.blocks[0].text for d in documents[:8]] == [f"Page of document {n}." for n in range(8)]


# -- Office ----------------------------------------------------------------------------------


def make_docx(path: Path) -> Path:
    import docx

    document = docx.Document()
    document.add_heading("Birds", 0)
    document.add_heading("Feathers", 1)
    document.add_paragraph("They are many.")
    document.add_heading("Down", 2)
    table = document.add_table(rows=2, cols=3)
    for row, words in zip(table.rows, (("a", "b", "c"), ("d", "e", "f")), strict=True):
        for cell, word in zip(row.cells, words, strict=True):
            cell.text = word
    table.cell(1, 0).merge(table.cell(1, 1))
    document.add_heading("Wings", 1)
    document.add_paragraph("Two.")
    document.save(str(path))
    return path


def test_docx_is_read(tmp_path):
    path = make_docx(tmp_path / "birds.bin")
    assert validate_document(path) == "docx"
    document = read_document(path)
    assert document.title == "Birds"
    assert [(block.text, block.heading) for block in document.blocks] == [
        ("Birds", None),
        ("Feathers", "Feathers"),
        ("They are many.", "Feathers"),
        ("Down", "Feathers > Down"),
        ("a | b | c\nd e | f", "Feathers > Down"),
        ("Wings", "Wings"),
        ("Two.", "Wings"),
    ]


def test_pptx_is_read(tmp_path):
    import pptx

    presentation = pptx.Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[1])
    slide.shapes.title.text = "Feathers"
    slide.placeholders[1].text = "Barbs\nBarbules"
    slide.notes_slide.notes_text_frame.text = "Say it slowly."
    plain = presentation.slides.add_slide(presentation.slide_layouts[6])
    table = plain.shapes.add_table(1, 2, 0, 0, 100, 100).table
    table.cell(0, 0).text, table.cell(0, 1).text = "left", "right"
    path = tmp_path / "talk.pptx"
    presentation.save(str(path))
    assert validate_document(path) == "pptx"
    document = read_document(path)
    assert document.title in {"Feathers", "PowerPoint Presentation"}
    assert document.pages == 2
    assert list(document.blocks) == [
        Block("Feathers", 1, "Feathers"),
        Block("Barbs\nBarbules", 1, "Feathers"),
        Block("Say it slowly.", 1, "Feathers"),
        Block("left | right", 2, None, rows=(("left", "right"),)),
    ]


def test_damaged_office_files_are_rejected(tmp_path):
    path = make_docx(tmp_path / "whole.docx")
    cut = tmp_path / "cut.docx"
    cut.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(MediaError, match=r"cut\.docx is a damaged or truncated"):
        validate_document(cut)
    hollow = tmp_path / "hollow.docx"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(hollow, "w") as target:
        for name in source.namelist():
            broken = name == "word/document.xml"
            target.writestr(name, b"<w:document" if broken else source.read(name))
    with pytest.raises(MediaError, match=r"hollow\.docx is a damaged DOCX"):
        read_document(hollow)


def test_zip_that_is_no_document_is_rejected(tmp_path):
    path = tmp_path / "bundle.docx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "a")
    with pytest.raises(MediaError, match=r"bundle\.docx is a zip archive but not a DOCX"):
        validate_document(path)
    old = tmp_path / "old.doc"
    old.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
    with pytest.raises(MediaError, match="Office file in an old format"):
        validate_document(old)


# -- HTML and Markdown -----------------------------------------------------------------------

PAGE = """<!DOCTYPE html><html><head><title>Feathers &amp; hooks</title><style>p {}</style></head>
<body><nav><a href="/">Home</a></nav><h1>Feathers</h1><p>A <b>bar</b>bule
hooks.<br>So it holds.</p><script>alert(1)</script>
<h2>Kinds</h2><ul><li>Down</li><li>Contour <i>feathers</i><ul><li>Tail</li></ul></li></ul>
<table><tr><th>kind</th><th>hooks</th></tr><tr><td>down</td><td><p>none</p></td></tr></table>
<pre>a
  b</pre>tail text<h2>End</h2></body></html>"""


def test_html_is_read(tmp_path):
    path = tmp_path / "page"
    path.write_text(PAGE, "utf-8")
    assert validate_document(path) == "html"
    document = read_document(path)
    assert document.title == "Feathers & hooks"
    kinds = "Feathers > Kinds"
    assert [(block.text, block.heading) for block in document.blocks] == [
        ("Feathers", "Feathers"),
        ("A barbule hooks. So it holds.", "Feathers"),
        ("Kinds", kinds),
        ("Down", kinds),
        ("Contour feathers", kinds),
        ("Tail", kinds),
        ("kind | hooks\ndown | none", kinds),
        ("a\n  b", kinds),
        ("tail text", kinds),
        ("End", "Feathers > End"),
    ]


def test_deeply_nested_html_is_read(tmp_path):
    path = tmp_path / "deep.html"
    path.write_text("<div>" * 5000 + "text" + "</div>" * 5000)
    assert [block.text for block in read_document(path).blocks] == ["text"]


def test_markdown_is_read(tmp_path):
    path = tmp_path / "notes.md"
    path.write_text(
        '---\ntitle: "Notes"\n---\n\n# On *feathers*\n\nA barbule\nhooks.[^1]\n\n[a]: http://b\n\n'
        "Kinds\n-----\n\n- down\n- contour\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```py\n# no\n```\n"
    )
    assert validate_document(path) == "markdown"
    document = read_document(path)
    assert document.title == "Notes"
    feathers, kinds = "On feathers", "On feathers > Kinds"
    assert [(b.text, b.heading, b.sourceline) for b in document.blocks] == [
        ('---\ntitle: "Notes"\n---', None, 1),
        ("On feathers", feathers, 5),
        ("A barbule\nhooks.[^1]", feathers, 7),
        ("[a]: http://b", feathers, 10),
        ("Kinds", kinds, 12),
        ("- down\n- contour", kinds, 15),
        ("| a | b |\n|---|---|\n| 1 | 2 |", kinds, 18),
        ("```py\n# no\n```", kinds, 22),
    ]


def test_markdown_keeps_every_word(tmp_path):
    words = "para one\n\n> quote\n\n<div>raw</div>\n\n1. x\n   y\n\n***\n\n    code\n\n[l]: u 't'\n"
    path = tmp_path / "words.markdown"
    path.write_text(words)
    read = "".join(block.text for block in read_document(path).blocks)
    assert "".join(read.split()) == "".join(words.split())


# -- text ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", "x,y\n1,2\n", "csv"),
        ("a.json", '{"a": 1}', "json"),
        ("a.xml", "<?xml version='1.0'?><a>b</a>", "xml"),
        ("a.txt", "<?xml version='1.0'?><a>b</a>", "xml"),
        ("a.xml", "<?xml version='1.0'?><html><p>b</p></html>", "html"),
        ("a.md", "<html>in Markdown</html>", "markdown"),
        ("a.txt", "text", "text"),
        ("a.rst", "text", "text"),
        ("a", "text", "text"),
    ],
)
def test_text_format_follows_name_and_content(tmp_path, name, content, expected):
    path = tmp_path / name
    path.write_text(content)
    assert validate_document(path) == expected
    assert read_document(path).blocks


def test_blank_lines_separate_text_blocks(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\n one\r\ntwo \r\n \r\n\r\nthree\r\n\r\n")
    assert read_document(path).blocks == (
        Block("one\ntwo", sourceline=2),
        Block("three", sourceline=6),
    )


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252", "latin-1"]
)
def test_encodings_are_detected(tmp_path, encoding):
    path = tmp_path / "a.txt"
    path.write_bytes("naïve Federn, größer".encode(encoding))
    assert validate_document(path) == "text"
    assert read_document(path).blocks[0].text == "naïve Federn, größer"


def test_declared_encoding_is_used():
    page = '<html><meta charset="shift_jis">羽毛</html>'
    assert decode(page.encode("shift_jis")) == page
    assert decode(b'<meta charset="nonsense">\xe9') == '<meta charset="nonsense">é'
    assert decode(b"\x81\xe9") == "\x81é"


def test_missing_empty_and_foreign_files_are_rejected(tmp_path):
    for use in (validate_document, read_document):
        with pytest.raises(MediaError, match=r"gone\.pdf does not exist"):
            use(tmp_path / "gone.pdf")
        with pytest.raises(MediaError, match="is a directory"):
            use(tmp_path)
        (tmp_path / "empty.pdf").touch()
        with pytest.raises(MediaError, match=r"empty\.pdf is empty"):
            use(tmp_path / "empty.pdf")
        (tmp_path / "text.pdf").write_text("no PDF")
        with pytest.raises(MediaError, match=r"text\.pdf is damaged: its content is not PDF"):
            use(tmp_path / "text.pdf")
        PIL.Image.new("L", (9, 9)).save(tmp_path / "image.png")
        with pytest.raises(MediaError, match=r"image\.png is not in a supported document format"):
            use(tmp_path / "image.png")


# -- real files ------------------------------------------------------------------------------

real = pytest.mark.skipif(not DATA.is_dir(), reason="BARBULE_TEST_DATA is not there")


@real
def test_sample_paper_is_read():
    document = read_document(DATA / "documents" / "1706.03762.pdf")
    text = "\n".join(block.text for block in document.blocks)
    assert {block.page for block in document.blocks} == set(range(1, 16))
    assert "WMT 2014 English-to-German translation task, improving over" in text
    assert "position-wise fully connected feed-forward network" in text
    assert "\ufffe" not in text


@real
@pytest.mark.parametrize(
    ("name", "expected", "words"),
    [
        ("Vector_database.pdf", "pdf", "fixed-length lists of numbers"),
        ("layout-parser-paper.md", "markdown", "LayoutParser"),
        ("etf_screener.txt", "text", "Fidelity"),
        ("sample.xml", "xml", "value"),
        ("test_document.docx", "docx", ""),
        ("test_presentation.pptx", "pptx", ""),
        ("test_spreadsheet.xlsx", "xlsx", ""),
    ],
)
def test_sample_documents_are_read(name, expected, words):
    path = DATA / "documents" / name
    assert validate_document(path) == expected
    assert words in "\n".join(block.text for block in read_document(path).blocks)
