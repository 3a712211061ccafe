"""Views over documents: files become chunks, one row each."""

from __future__ import annotations

from pathlib import Path

import pytest

import barbule as bb
from barbule.errors import ConfigurationError, MediaError
from barbule.functions import DocumentSplitter

MARKDOWN = """# Feathers

Barbs branch from the shaft. Barbules hook into each other!

## Vane

The hooks zip the strands into one vane.
"""
HTML = """<html><head><title>Plumage</title></head>
<body><h1>Down</h1><p>Down has no hooks.</p><p>It keeps birds warm.</p></body></html>"""


def word_file(path: Path, *paragraphs: str) -> Path:
    import docx

    document = docx.Document()
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    document.save(str(path))
    return path


@pytest.fixture
def docs(session):
    return bb.create_table("my_docs.docs", {"doc": bb.Document, "shelf": bb.Int})


def chunked(docs, **options):
    defaults = {"separators": [".", "!", "\n\n"], "chunk_size": 40}
    return bb.create_view(
        "chunks",
        docs,
        iterator=DocumentSplitter.create(document=docs.doc, **(defaults | options)),
    )


def test_files_of_several_formats_become_chunks_in_reading_order(docs, tmp_path):
    Path("a.md").write_text(MARKDOWN)
    Path("b.html").write_text(HTML)
    word_file(tmp_path / "c.docx", "Quills carry ink.", "Rachis is the shaft.")
    docs.insert(
        [
            {"doc": "a.md", "shelf": 1},
            {"doc": Path("b.html"), "shelf": 2},
            {"doc": str(tmp_path / "c.docx"), "shelf": 3},
        ]
    )
    chunks = chunked(docs)

    texts = {
        shelf: chunks.where(chunks.shelf == shelf).order_by("pos").collect()["text"]
        for shelf in (1, 2, 3)
    }

    joined = {shelf: " ".join(actual) for shelf, actual in texts.items()}
    assert "Barbules hook into each other!" in joined[1]
    assert joined[1].index("Barbs branch") < joined[1].index("The hooks zip")
    assert "It keeps birds warm." in joined[2]
    assert " ".join(joined[3].split()) == "Quills carry ink. Rachis is the shaft."
    assert all(len(text) <= 40 for actual in texts.values() for text in actual)


def test_chunks_have_heading_and_title_metadata(docs):
    Path("a.md").write_text(MARKDOWN)
    Path("b.html").write_text(HTML)
    docs.insert([{"doc": "a.md", "shelf": 1}, {"doc": "b.html", "shelf": 2}])
    chunks = chunked(docs)

    vane = chunks.where(chunks.text.contains("zip")).collect()[0]
    down = chunks.where(chunks.text.contains("warm")).collect()[0]

    assert "Vane" in vane["heading"]
    assert down["title"] == "Plumage"
    assert vane["page"] is None


def test_positions_count_from_zero_in_each_document(docs):
    Path("a.md").write_text(MARKDOWN)
    Path("b.html").write_text(HTML)
    docs.insert([{"doc": "a.md", "shelf": 1}, {"doc": "b.html", "shelf": 2}])
    chunks = chunked(docs)

    for shelf in (1, 2):
        rows = chunks.where(chunks.shelf == shelf).collect()["pos"]
        assert sorted(rows) == list(range(len(rows)))


def test_inserted_document_is_split(docs):
    chunks = chunked(docs)
    assert len(chunks.collect()) == 0

    Path("a.md").write_text(MARKDOWN)
    docs.insert(doc="a.md", shelf=1)

    assert "The hooks zip the strands into one vane." in chunks.collect()["text"]


def test_a_row_without_a_document_has_no_chunks(docs):
    Path("b.html").write_text(HTML)
    docs.insert([{"doc": None, "shelf": 1}, {"doc": "b.html", "shelf": 2}])

    assert set(chunked(docs).collect()["shelf"]) == {2}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunk_size": 0}, "chunk_size"),
        ({"chunk_size": 10, "overlap": 10}, "overlap"),
        ({"separators": "chapter", "chunk_size": None}, "chapter"),
        ({"metadata": "author"}, "author"),
    ],
)
def test_invalid_splitter_option_is_refused_before_any_write(docs, options, message):
    with pytest.raises(ConfigurationError, match=message):
        chunked(docs, **options)
    assert bb.list_tables() == ["my_docs.docs"]


def test_missing_document_aborts_view_creation_and_is_named(docs):
    Path("a.md").write_text(MARKDOWN)
    docs.insert(doc="a.md", shelf=1)
    Path("a.md").unlink()

    with pytest.raises(MediaError, match=r"a\.md does not exist"):
        chunked(docs)
    assert bb.list_tables() == ["my_docs.docs"]
