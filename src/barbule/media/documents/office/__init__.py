"""The readers for Word documents and PowerPoint presentations.

Owns the public names of the readers. Must not hold code; `documents.formats` detects formats and
`documents.reader` wraps errors.
"""

from __future__ import annotations

from barbule.media.documents.office.slides import read_pptx
from barbule.media.documents.office.word import read_docx

__all__ = ["read_docx", "read_pptx"]
