"""Documents: files of many formats read into one form, text with structure.

Owns what the rest of the package may use of the readers. Must not hold code.
"""

from __future__ import annotations

from barbule.media.documents.reading import read_document, validate_document
from barbule.media.documents.records import Block, DocumentText

__all__ = ["Block", "DocumentText", "read_document", "validate_document"]
