"""The content of documents: text, pages, headings, tables, metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ibis.expr.datatypes as dt

from barbule.errors import UnsupportedError
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

    Headings are paragraphs of their words, in all formats. Markdown keeps the markup within other
    paragraphs; `source` returns the file with all of it.

    Parameters
    ----------
    document
        A column of documents.
    ocr
        Whether text is recognised on pages of a PDF that are pictures; by default a document
        of such pages alone is an error, with False its text is empty.
    encoding
        The encoding of files of text, such as "cp1252" or "shift_jis". By default a byte order
        mark tells it, then the head of HTML and XML, or it is found out; a byte that means
        nothing in it becomes U+FFFD.

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
    """Return a file of text as it stands, with its markup: HTML, Markdown, XML, JSON, CSV, code.

    Parameters
    ----------
    document
        A column of documents; PDF, EPUB and files of Office are errors of their cells.
    encoding
        As `text` has it.

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
    """Return the title that a document has in its metadata; missing where it has none."""
    return readable(document, ocr=False, encoding=encoding).title


@stream_function("document", Json, check=check_call)
def metadata(document: File, encoding: str | None = None) -> dict[str, Any]:
    """Return what a file says of itself.

    Always there are "format", "title", "pages" (missing where the format has none) and
    "scanned_pages", the numbers of those that are pictures without text; further "author",
    "created", "language" and the like where the file says them, and "left_out" where the reader
    leaves out on purpose what has text: "navigation", "comments", "hidden text" …

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
    from barbule.media.documents import validate_document

    format_name = validate_document(Path(document))
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
    """Return how many pages, slides or sheets a document has; missing where it has none."""
    return readable(document, ocr=False).pages


@stream_function("document", dt.Array(dt.string), check=check_call)
def pages(document: File, ocr: bool | None = None, encoding: str | None = None) -> list[str]:
    """Return the text of each page, slide or sheet; a format without pages gives one.

    Parameters
    ----------
    document
        A column of documents.
    ocr, encoding
        As `text` has them.
    """
    content = readable(document, ocr=ocr, encoding=encoding)
    pages: list[list[str]] = [[] for _ in range(content.pages or 1)]
    for block in content.blocks:
        pages[(block.page or 1) - 1].append(block.text)
    return [_BLOCK_SEPARATOR.join(texts) for texts in pages]


@stream_function("document", dt.Array(dt.string), check=check_call)
def headings(document: File, encoding: str | None = None) -> list[str]:
    """Return the headings in their order, each behind those above it: "Birds > Feathers"."""
    blocks = readable(document, ocr=False, encoding=encoding).blocks
    return list(dict.fromkeys(block.heading for block in blocks if block.heading))


@stream_function("document", Json, check=check_call)
def tables(document: File, encoding: str | None = None) -> list[dict[str, Any]]:
    r"""Return the tables: where each stands ("page", "heading"), and its "rows" of cells.

    A CSV file is one table, as is each sheet of a spreadsheet. Tables are known in HTML, EPUB,
    Markdown, DOCX and PPTX too; a PDF keeps none.

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
    from barbule.media.documents import validate_document

    is_spreadsheet = validate_document(Path(document)) in {"csv", "xlsx"}
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
    """Draw a page of a PDF.

    Parameters
    ----------
    document
        A column of documents.
    page
        The number of the page, from 1; the result is missing where there is no such page.
    dpi
        Dots per inch.
    """
    from barbule.media.documents import validate_document
    from barbule.media.documents.pdf.pdf import page_image as draw_page

    format_name = validate_document(Path(document))
    if format_name != "pdf":
        raise UnsupportedError(
            f"{document} is a {format_name.upper()} file, and only the pages of PDF files can be "
            "rendered.",
            hint="Save it as PDF.",
        )
    return draw_page(Path(document), page, dpi)
