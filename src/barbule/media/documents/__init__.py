"""Documents: files in many formats, read into one form: text with structure.

Owns the public names of the readers. Must not hold code.
"""

from __future__ import annotations

from barbule.media.documents.blocks import Block, Box, DocumentText
from barbule.media.documents.formats import (
    is_open_extension,
    is_unknown_extension,
    needs_reader,
)
from barbule.media.documents.reader import (
    ReadingOptions,
    document_format,
    read_document,
    read_source,
    validate_document,
)
from barbule.media.documents.text.encoding_labels import codec_of

__all__ = [
    "Block",
    "Box",
    "DocumentText",
    "ReadingOptions",
    "codec_of",
    "document_format",
    "is_open_extension",
    "is_unknown_extension",
    "needs_reader",
    "read_document",
    "read_source",
    "validate_document",
]
