"""Splitting the text of a document into chunks.

Owns the public names of the package. Must not hold code.

Chunks are spans of the source: their text is the document's own, without leading and trailing white
space. Without overlap they contain every non-white-space character exactly once.
"""

from __future__ import annotations

from barbule.media.chunking.options import ChunkingOptions, chunking_options
from barbule.media.chunking.source import Chunk
from barbule.media.chunking.splitting import split_document, split_text

__all__ = ["Chunk", "ChunkingOptions", "chunking_options", "split_document", "split_text"]
