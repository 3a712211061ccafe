"""Document functions on columns and plain values."""

from __future__ import annotations

import sys
from pathlib import Path

import PIL.Image
import pytest

import barbule as bb
from barbule.errors import BarbuleError, ConfigurationError, UnsupportedError
from barbule.functions import DocumentSplitter, StringSplitter
from media_files import make_pdf

PAGE = """<html lang="en"><head><title>Plumage</title></head><body><h1>Down</h1><p>Warm.</p>
<table><tr><th>bird<th>hooks<tr><td>jay<td>many</table></body></html>"""


@pytest.fixture
def docs(session):
    return bb.create_table("docs", {"doc": bb.Document})


@pytest.fixture
def paper(tmp_path) -> Path:
    return make_pdf(
        tmp_path / "paper.pdf",
        ["Feathers", "Barbs branch."],
        ["Barbules hook."],
        title="On feathers",
        outline=[("Feathers", 0, 1)],
    )


def test_document_properties_are_read(docs, paper):
    Path("page.html").write_text(PAGE)
    docs.insert([{"doc": "page.html"}, {"doc": paper}, {"doc": None}])
    found = docs.select(
        text=docs.doc.text(),
        title=docs.doc.title(),
        pages=docs.doc.pages(),
        count=docs.doc.page_count(),
        headings=docs.doc.headings(),
        tables=bb.functions.document.tables(docs.doc),
        metadata=docs.doc.metadata(),
    ).collect()
    assert found["text"] == [
        "Down\n\nWarm.\n\nbird | hooks\njay | many",
        "Feathers\n\nBarbs branch.\n\nBarbules hook.",
        None,
    ]
    assert found["title"] == ["Plumage", "On feathers", None]
    assert found["pages"][1] == ["Feathers\n\nBarbs branch.", "Barbules hook."]
    assert len(found["pages"][0]) == 1
    assert found["count"] == [None, 2, None]
    assert found["headings"] == [["Down"], ["Feathers"], None]
    table = {"page": None, "heading": "Down", "rows": [["bird", "hooks"], ["jay", "many"]]}
    assert found["tables"] == [[table], [], None]
    assert found["metadata"][0] == {
        "format": "html",
        "title": "Plumage",
        "pages": None,
        "scanned_pages": [],
        "language": "en",
    }
    assert found["metadata"][1]["pages"] == 2


def test_source_returns_the_text_of_a_file(docs, paper):
    sources = {
        "page.html": PAGE,
        "a.xml": "<a><b>one</b></a>",
        "a.md": "a <!-- b --> c",
        "a.json": '{"a": 1}',
        "a.csv": "a,b\n1,2",
        "a.py": "def f(): ...",
    }
    for name, source in sources.items():
        Path(name).write_text(source)
    Path("latin.xml").write_bytes("<a>é</a>".encode("cp1252"))
    docs.insert([*({"doc": name} for name in sources), {"doc": None}])
    assert docs.select(s=docs.doc.source()).collect()["s"] == [*sources.values(), None]
    assert bb.functions.document.source("latin.xml", encoding="cp1252") == "<a>é</a>"
    with pytest.raises(UnsupportedError, match="is a PDF file, which is not a plain text file"):
        bb.functions.document.source(str(paper))
    with pytest.raises(ConfigurationError, match="'latin-x'"):
        docs.doc.source(encoding="latin-x")


def test_tables_and_text_of_markdown_and_xml(docs):
    Path("a.md").write_text("# Birds\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n<!-- no -->\n")
    Path("a.xml").write_text("<birds><bird>jay</bird><bird>rook</bird></birds>")
    docs.insert([{"doc": "a.md"}, {"doc": "a.xml"}])
    found = docs.select(
        tables=docs.doc.tables(), text=docs.doc.text(), meta=docs.doc.metadata()
    ).collect()
    table = {"page": None, "heading": "Birds", "rows": [["a", "b"], ["1", "2"]]}
    assert found["tables"] == [[table], []]
    assert found["text"] == ["Birds\n\n| a | b |\n|---|---|\n| 1 | 2 |", "jay\nrook"]
    assert found[0, "meta"]["left_out"] == ["comments"]


def test_functions_accept_plain_values(paper):
    document = bb.functions.document
    assert document.text(str(paper)).startswith("Feathers")
    assert document.page_image(str(paper), page=2, dpi=72).size == (612, 792)
    assert document.page_image(str(paper), page=3) is None


def test_pdf_pages_are_rendered_as_images(docs, paper):
    docs.insert(doc=paper)
    image = docs.select(i=docs.doc.page_image(dpi=36.0)).collect()[0, "i"]
    assert image.size == (306, 396)
    Path("note.md").write_text("# no page")
    docs.insert(doc="note.md")
    with pytest.raises(
        BarbuleError, match=r"note\.md is a MARKDOWN file, and only the pages of PDF files"
    ):
        docs.select(i=docs.doc.page_image()).collect()


def test_csv_file_is_one_table(docs):
    Path("birds.csv").write_text("bird,hooks\njay,many\nowl,few")
    docs.insert(doc="birds.csv")
    found = docs.select(t=docs.doc.tables()).collect()[0, "t"]
    assert [table["rows"] for table in found] == [
        [["bird", "hooks"], ["jay", "many"], ["owl", "few"]]
    ]


# -- scans -----------------------------------------------------------------------------------


@pytest.fixture
def scan(tmp_path) -> Path:
    path = tmp_path / "scan.pdf"
    PIL.Image.new("RGB", (300, 200), "white").save(path)
    return path


def test_scanned_pdf_without_ocr_is_an_error(docs, scan, paper):
    docs.insert([{"doc": paper}, {"doc": scan}])
    hint = r"row 1: .*scan\.pdf is a scan: .*ocr=True.*ocr=False"
    with pytest.raises(BarbuleError, match=hint):
        docs.select(text=docs.doc.text()).collect()
    with pytest.raises(BarbuleError, match=hint):
        bb.create_view("chunks", docs, iterator=DocumentSplitter.create(docs.doc, "page"))
    assert docs.select(text=docs.doc.text(ocr=False)).collect()["text"][1] == ""
    found = docs.select(m=docs.doc.metadata()).collect()["m"]
    assert [each["scanned_pages"] for each in found] == [[], [1]]


def test_scanned_pdf_does_not_affect_other_documents(docs, scan, paper):
    docs.insert([{"doc": paper}, {"doc": scan}])
    pages = bb.create_view(
        "pages", docs, iterator=DocumentSplitter.create(docs.doc, "page"), on_error="null"
    )
    assert len(pages.where(pages.text.notnull()).collect()) == 2
    silent = bb.create_view(
        "silent", docs, iterator=DocumentSplitter.create(docs.doc, "page", ocr=False)
    )
    assert len(silent.collect()) == 2


def test_missing_ocr_package_names_the_install_command(docs, monkeypatch):
    monkeypatch.setitem(sys.modules, "rapidocr_onnxruntime", None)
    with pytest.raises(UnsupportedError, match=r"pip install 'barbule\[ocr\]'"):
        DocumentSplitter.create(docs.doc, "page", ocr=True)


# -- chunks ----------------------------------------------------------------------------------


def test_chunks_have_bounding_boxes(docs, paper):
    docs.insert(doc=paper)
    chunks = bb.create_view(
        "chunks",
        docs,
        iterator=DocumentSplitter.create(
            document=docs.doc,
            separators="heading,sentence,token_limit",
            limit=300,
            metadata="title,heading,page,bounding_box",
        ),
    )
    rows = chunks.order_by("pos").collect()
    assert rows["text"] == ["Feathers", "Barbs branch.", "Barbules hook."]
    assert rows["page"] == [1, 1, 2]
    assert set(rows["title"]) == {"On feathers"}
    box = rows[1, "bounding_box"]
    assert 0 < box["x1"] < box["x2"] < 612
    assert box["y2"] < rows[0, "bounding_box"]["y1"] + 3
    top = chunks.where(chunks.bounding_box.y1 > 740).collect()["text"]
    assert sorted(top) == ["Barbules hook.", "Feathers"]


def test_splitter_accepts_pixeltable_separator_names(docs):
    Path("a.txt").write_text("One two. Three four.\n\nFive.")
    docs.insert(doc="a.txt")
    expected = {
        "paragraph": ["One two. Three four.", "Five."],
        "page": ["One two. Three four.\n\nFive."],
        "sentence": ["One two.", "Three four.", "Five."],
        "": ["One two. Three four.\n\nFive."],
    }
    for names, texts in expected.items():
        view = bb.create_view(
            "v", docs, iterator=DocumentSplitter.create(docs.doc, names), if_exists="replace"
        )
        assert view.order_by("pos").collect()["text"] == texts
    for names, limit, texts in (
        ("char_limit", 8, ["One two.", "Three", "four.", "Five."]),
        ("paragraph,token_limit", 3, ["One two.", "Three four.", "Five."]),
    ):
        view = bb.create_view(
            "v",
            docs,
            iterator=DocumentSplitter.create(docs.doc, names, limit=limit, overlap=None),
            if_exists="replace",
        )
        assert view.order_by("pos").collect()["text"] == texts


def test_html_elements_are_skipped(docs):
    Path("page.html").write_text("<p>text</p><footer>imprint</footer>")
    docs.insert(doc="page.html")
    split = DocumentSplitter.create(docs.doc, "paragraph", skip_tags=["footer"])
    assert bb.create_view("v", docs, iterator=split).collect()["text"] == ["text"]


# -- text columns ----------------------------------------------------------------------------


def test_string_columns_are_split(session):
    notes = bb.create_table("notes", {"id": bb.Int, "note": bb.String})
    notes.insert(
        [{"id": 1, "note": "A one. A two!"}, {"id": 2, "note": None}, {"id": 3, "note": ""}]
    )
    parts = bb.create_view(
        "parts", notes, iterator=StringSplitter.create(text=notes.note, separators="sentence")
    )
    rows = parts.order_by("pos").select("id", "pos", "text").collect()
    assert list(rows) == [
        {"id": 1, "pos": 0, "text": "A one."},
        {"id": 1, "pos": 1, "text": "A two!"},
    ]
    notes.insert(id=4, note="Later.")
    assert parts.where(parts.id == 4).collect()["text"] == ["Later."]
    notes.update({"note": "Changed. Twice."}, where=notes.id == 4)
    assert sorted(parts.where(parts.id == 4).collect()["text"]) == ["Changed.", "Twice."]
    notes.delete(where=notes.id == 4)
    assert parts.where(parts.id == 4).collect()["text"] == []


def test_invalid_splitter_options_fail_before_any_write(session):
    notes = bb.create_table("notes", {"note": bb.String})
    with pytest.raises(ConfigurationError, match="chunk_size"):
        StringSplitter.create(notes.note, ["."], chunk_size=0)
    with pytest.raises(ConfigurationError, match="'chapter' are not supported"):
        StringSplitter.create(notes.note, "chapter")
