"""Documents of plain text blocks, and the texts of their chunks."""

from __future__ import annotations

import litellm

from barbule.media.chunking import split_document
from barbule.media.documents import Block, DocumentText


def of(*texts: str) -> DocumentText:
    return DocumentText(None, tuple(Block(text) for text in texts))


def texts(doc, **options):
    return [chunk.text for chunk in split_document(doc, **options)]


def bare(text: str) -> str:
    return "".join(text.split())


def tokens_of(text: str) -> int:
    return len(litellm.encoding.encode(text, disallowed_special=()))


def source_of(doc: DocumentText) -> str:
    return "\n\n".join(block.text for block in doc.blocks)
