"""Invalid documents as users insert them: error messages and stored rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import PIL.Image
import pytest

import barbule as bb
from barbule.errors import BarbuleError, MediaError
from barbule.functions import DocumentSplitter
from barbule.media.documents import read_document
from media_files import make_epub, make_pdf

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def docs(session):
    return bb.create_table("docs", {"doc": bb.Document})


def picture(path: Path) -> Path:
    PIL.Image.new("L", (9, 9)).save(path, format="PNG")
    return path


def cut(path: Path) -> Path:
    content = make_epub(path, {"a.xhtml": "<p>words</p>" * 400}).read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def written(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


BAD = {
    "empty": (lambda f: written(f / "bad.pdf", ""), r"bad\.pdf is empty"),
    "image-as-pdf": (lambda f: picture(f / "bad.pdf"), r"bad\.pdf is damaged: .* not PDF"),
    "image-as-text": (lambda f: picture(f / "bad.txt"), r"bad\.txt is not in a supported document"),
    "text-as-docx": (lambda f: written(f / "bad.docx", "text"), r"bad\.docx is damaged: .* DOCX"),
    "truncated-epub": (lambda f: cut(f / "bad.epub"), r"bad\.epub is a damaged or truncated"),
    "truncated-json": (
        lambda f: written(f / "bad.json", '{"a": [1,'),
        r"bad\.json is a damaged JSON file \(line 1",
    ),
    "entities": (
        lambda f: written(f / "bad.xml", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"),
        r"bad\.xml is a damaged XML file \(it declares the entity 'b'",
    ),
    "missing": (lambda f: f / "bad.md", r"bad\.md does not exist"),
}


@pytest.mark.parametrize("name", BAD)
def test_invalid_document_aborts_the_insert_and_is_named(name, docs, tmp_path):
    make, message = BAD[name]
    good = written(tmp_path / "good.md", "# good")
    bad = make(tmp_path)
    with pytest.raises(MediaError, match=message) as caught:
        docs.insert([{"doc": good}, {"doc": good}, {"doc": bad}, {"doc": good}])
    error = caught.value
    assert (error.table, error.column, error.row) == ("docs", "doc", 2)
    assert len(docs.collect()) == 0


def test_document_damaged_later_is_an_error_of_its_row(docs, tmp_path):
    good = written(tmp_path / "good.json", '{"a": "b"}')
    bad = written(tmp_path / "bad.json", '{"a": "c"}')
    docs.insert([{"doc": good}, {"doc": bad}])
    bad.write_text('{"a": ')
    with pytest.raises(BarbuleError, match=r"row 1: .*bad\.json is a damaged JSON file"):
        bb.create_view("chunks", docs, iterator=DocumentSplitter.create(docs.doc, "page"))
    view = bb.create_view(
        "chunks", docs, iterator=DocumentSplitter.create(docs.doc, "page"), on_error="null"
    )
    assert [text for text in view.collect()["text"] if text] == ['{"a": "b"}']


def test_pdf_without_fonts_is_read(docs, tmp_path):
    content = make_pdf(tmp_path / "whole.pdf", ["Barbs branch."]).read_bytes()
    bare = tmp_path / "bare.pdf"
    bare.write_bytes(content.replace(b"/Helvetica", b"/Missing12").replace(b"/Type1", b"/TrueT"))
    docs.insert(doc=bare)
    assert docs.select(t=docs.doc.text()).collect()["t"] == ["Barbs branch."]
    assert bb.functions.document.page_image(str(bare)).width > 100


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("deep.html", "<div>" * 10_000 + "words", "words"),
        ("inline.html", "<b>" * 5000 + "words", "words"),
        ("tables.html", "<table><tr><td>" * 500 + "words", "words"),
        ("lists.html", "<ul><li>" * 5000 + "words", "words"),
        ("quotes.md", ">" * 5000 + " words", "words"),
        ("fences.md", "```\n" * 5001 + "words", "words"),
        ("deep.json", "[" * 900 + '"words"' + "]" * 900, "words"),
        ("deep.xml", "<a>" * 5000 + "words" + "</a>" * 5000, "words"),
    ],
)
def test_deeply_nested_documents_are_read(tmp_path, name, content, words):
    path = written(tmp_path / name, content)
    text = "\n".join(block.text for block in read_document(path).blocks)
    assert words in text


@pytest.mark.parametrize("element", ["div", "b", "ul><li", "table><tr><td", "section"])
def test_excessive_nesting_is_rejected_quickly(tmp_path, element):
    names = [part.strip("<") for part in element.split(">")]
    ends = "".join(f"</{name}>" for name in reversed(names))
    path = written(tmp_path / "deep.html", f"<{element}>" * 100_000 + "words" + ends * 100_000)
    with pytest.raises(MediaError, match="nested more than 10,000 elements deep"):
        read_document(path)


def test_long_page_of_unclosed_elements_is_read(tmp_path):
    path = written(tmp_path / "long.html", "<p>one<br>more<img src=x>" * 50_000 + "<p>words")
    assert read_document(path).blocks[-1].text == "words"


def test_huge_tables_are_read(tmp_path):
    rows = 20_000
    page = written(
        tmp_path / "huge.html",
        f"<table>{''.join(f'<tr><td>{n}<td>x' for n in range(rows))}</table>",
    )
    (block,) = read_document(page).blocks
    assert len(block.rows) == rows
    values = written(tmp_path / "wide.csv", ",".join(f"c{n}" for n in range(rows)) + "\n1,2\n")
    assert read_document(values).blocks[1].text == "c0: 1 | c1: 2"
    records = written(tmp_path / "many.json", json.dumps([{"n": n} for n in range(rows)]))
    assert len(read_document(records).blocks) == rows
