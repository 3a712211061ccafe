"""How the text of a document is cut into chunks.

Owns what the rest of the package may use of it. Must not hold code.

Chunks are spans of the source: their text is the document's own, without blank edges. With
no overlap they hold every character of it that is not white space, once.
"""

from __future__ import annotations

from barbule.media.chunking.options import ChunkingOptions, chunking_options
from barbule.media.chunking.source import Chunk
from barbule.media.chunking.splitting import split_document, split_text

__all__ = ["Chunk", "ChunkingOptions", "chunking_options", "split_document", "split_text"]
