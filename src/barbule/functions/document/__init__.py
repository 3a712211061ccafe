"""Functions of documents, and the iterator that cuts them into chunks.

Each is a method of document columns too: `t.doc.text()` is `bb.functions.document.text(t.doc)`.
"""

from __future__ import annotations

from barbule.functions.document.contents import (
    headings,
    metadata,
    page_count,
    page_image,
    pages,
    tables,
    text,
    title,
)
from barbule.functions.document.splitting import DocumentSplitter, split

__all__ = [
    "DocumentSplitter",
    "headings",
    "metadata",
    "page_count",
    "page_image",
    "pages",
    "split",
    "tables",
    "text",
    "title",
]
