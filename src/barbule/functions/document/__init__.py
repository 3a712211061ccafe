"""Document functions, and the iterator that splits documents into chunks.

Each is also a method of document columns: `t.doc.text()` is `bb.functions.document.text(t.doc)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.functions.document.contents import (
    headings,
    metadata,
    page_count,
    page_image,
    pages,
    source,
    tables,
    text,
    title,
)
from barbule.functions.document.splitting import DocumentSplitter, split
from barbule.suggestions import suggesting_getattr

__all__ = [
    "DocumentSplitter",
    "headings",
    "metadata",
    "page_count",
    "page_image",
    "pages",
    "source",
    "split",
    "tables",
    "text",
    "title",
]

if not TYPE_CHECKING:  # which lists the available names
    __getattr__ = suggesting_getattr(__name__, __all__)
