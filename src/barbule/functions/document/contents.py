"""The content of documents: text, pages, headings, tables, metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ibis.expr.datatypes as dt

from barbule.errors import UnsupportedError, with_article
from barbule.functions.document.reading import File, check_call, check_encoding, readable
from barbule.functions.stream_functions import stream_function
from barbule.types import Image, Json

__all__ = [
    "headings",
    "metadata",
    "page_count",
    "page_image",
    "pages",
    "source",
    "tables",
    "text",
    "title",
]

_BLOCK_SEPARATOR = "\n\n"


@stream_function("document", str, check=check_call)
def text(document: File, ocr: bool | None = None, encoding: str | None = None) -> str:
    r"""Return the text of a document, with empty lines between its paragraphs.

    Headings are plain paragraphs in all formats. Markdown keeps the markup within other paragraphs;
    `source` returns the file with all markup.

    Parameters
    ----------
    document
        A column of documents.
    ocr
        Whether to recognise text on pages of a PDF that are images. By default a document that
        consists of such pages is an error; with False its text is empty.
    encoding
        The encoding of text files, such as "cp1252" or "shift_jis". By default it is detected from
        a byte order mark, then from the head of HTML and XML, then from the content; an invalid
        byte becomes U+FFFD.

    Examples
    --------
    >>> import pathlib
    >>> import barbule as bb
    >>> docs = bb.create_table("docs", {"doc": bb.Document})
    >>> _ = pathlib.Path("note.html").write_text("<h1>Feathers</h1><p>A barbule hooks.</p>")
    >>> _ = docs.insert(doc="note.html")
    >>> docs.select(text=docs.doc.text()).collect()["text"]
    ['Feathers\n\nA barbule hooks.']
    """
    return _BLOCK_SEPARATOR.join(
        block.text for block in readable(document, ocr=ocr, encoding=encoding).blocks
    )


@stream_function("document", str, check=check_call)
def source(document: File, encoding: str | None = None) -> str:
    """Return the source of a text file, with its markup: HTML, Markdown, XML, JSON, CSV, code.

    Parameters
    ----------
    document
        A column of documents; PDF, EPUB and Office files are cell errors.
    encoding
        As for `text`.

    Examples
    --------
    >>> import pathlib
    >>> import barbule as bb
    >>> docs = bb.create_table("docs", {"doc": bb.Document})
    >>> _ = pathlib.Path("birds.xml").write_text("<birds><bird>jay</bird></birds>")
    >>> _ = docs.insert(doc="birds.xml")
    >>> docs.select(text=docs.doc.text(), source=docs.doc.source()).collect()[0]
    {'text': 'jay', 'source': '<birds><bird>jay</bird></birds>'}
    """
    from barbule.media.documents import read_source

    check_encoding(encoding)
    return read_source(Path(document), encoding)


@stream_function("document", str, check=check_call)
def title(document: File, encoding: str | None = None) -> str | None:
    """Return the title from the metadata of a document; missing if it has none."""
    return readable(document, ocr=False, encoding=encoding).title


@stream_function("document", Json, check=check_call)
def metadata(document: File, encoding: str | None = None) -> dict[str, Any]:
    """Return the metadata of a file.

    Always present are "format", "title", "pages" (missing if the format has none) and
    "scanned_pages", the numbers of pages that are images without text; also "author", "created",
    "language" and others if the file has them, and "left_out" if the reader skips parts that
    contain text: "navigation", "comments", "hidden text" …

    Examples
    --------
    >>> import pathlib
    >>> import barbule as bb
    >>> docs = bb.create_table("docs", {"doc": bb.Document})
    >>> _ = pathlib.Path("note.md").write_text("# Feathers")
    >>> _ = docs.insert(doc="note.md")
    >>> docs.select(m=docs.doc.metadata()).collect()[0, "m"]["format"]
    'markdown'
    """
    from barbule.media.documents import document_format

    format_name = document_format(Path(document))
    content = readable(document, ocr=False, encoding=encoding)
    return {
        "format": format_name,
        "title": content.title,
        "pages": content.pages,
        "scanned_pages": list(content.scanned),
        **({"left_out": list(content.left_out)} if content.left_out else {}),
        **content.metadata,
    }


@stream_function("document", dt.int64)
def page_count(document: File) -> int | None:
    """Return the number of pages, slides or sheets of a document; missing if it has none."""
    return readable(document, ocr=False).pages


@stream_function("document", dt.Array(dt.string), check=check_call)
def pages(document: File, ocr: bool | None = None, encoding: str | None = None) -> list[str]:
    """Return the text of each page, slide or sheet; a format without pages returns one.

    Parameters
    ----------
    document
        A column of documents.
    ocr, encoding
        As for `text`.
    """
    content = readable(document, ocr=ocr, encoding=encoding)
    pages: list[list[str]] = [[] for _ in range(content.pages or 1)]
    for block in content.blocks:
        pages[(block.page or 1) - 1].append(block.text)
    return [_BLOCK_SEPARATOR.join(texts) for texts in pages]


@stream_function("document", dt.Array(dt.string), check=check_call)
def headings(document: File, encoding: str | None = None) -> list[str]:
    """Return the headings in order, each after the headings above it: "Birds > Feathers"."""
    blocks = readable(document, ocr=False, encoding=encoding).blocks
    return list(dict.fromkeys(block.heading for block in blocks if block.heading))


@stream_function("document", Json, check=check_call)
def tables(document: File, encoding: str | None = None) -> list[dict[str, Any]]:
    r"""Return the tables: the position of each ("page", "heading"), and its "rows" of cells.

    A CSV file is one table, and so is each sheet of a spreadsheet. Tables are also found in HTML,
    EPUB, Markdown, DOCX and PPTX files; a PDF has none.

    Examples
    --------
    >>> import pathlib
    >>> import barbule as bb
    >>> docs = bb.create_table("docs", {"doc": bb.Document})
    >>> _ = pathlib.Path("birds.csv").write_text("bird,hooks\njay,many")
    >>> _ = docs.insert(doc="birds.csv")
    >>> docs.select(t=docs.doc.tables()).collect()[0, "t"][0]["rows"]
    [['bird', 'hooks'], ['jay', 'many']]
    """
    from barbule.media.documents import document_format

    is_spreadsheet = document_format(Path(document)) in {"csv", "xlsx"}
    tables: list[dict[str, Any]] = []
    for block in readable(document, ocr=False, encoding=encoding).blocks:
        if block.rows is None:
            continue
        rows = [list(row) for row in block.rows]
        if is_spreadsheet and tables and tables[-1]["page"] == block.page:
            tables[-1]["rows"].extend(rows)
        else:
            tables.append({"page": block.page, "heading": block.heading, "rows": rows})
    return tables


@stream_function("document", Image)
def page_image(document: File, page: int = 1, dpi: float = 150.0) -> object:
    """Render a page of a PDF as an image.

    Parameters
    ----------
    document
        A column of documents.
    page
        The number of the page, from 1; the result is missing if there is no such page.
    dpi
        Dots per inch.
    """
    from barbule.media.documents import document_format
    from barbule.media.documents.pdf.pdf import page_image as draw_page

    format_name = document_format(Path(document))
    if format_name != "pdf":
        raise UnsupportedError(
            f"{document} is {with_article(format_name.upper())} file, and only the pages of "
            "PDF files can be rendered.",
            hint="Save it as PDF.",
        )
    return draw_page(Path(document), page, dpi)
