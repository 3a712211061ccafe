"""The readers for Word documents and PowerPoint presentations.

Owns what the rest of the readers may use of them. Must not hold code; formats are detected
in `documents.formats` and errors wrapped in `documents.reader`.
"""

from __future__ import annotations

from barbule.media.documents.office.slides import read_pptx
from barbule.media.documents.office.word import read_docx

__all__ = ["read_docx", "read_pptx"]
