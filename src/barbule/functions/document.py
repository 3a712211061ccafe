"""Documents as rows: the splitter.

Owns the call that turns a document into chunks, for `create_view(iterator=...)`. Reading and
cutting are the business of `barbule.media`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ibis.expr.datatypes as dt

from barbule.functions.udf import udf
from barbule.types import Document

__all__ = ["DocumentSplitter", "split"]

_CHUNK = dt.Struct(
    {
        "text": dt.string,
        "pos": dt.int64,
        "page": dt.int64,
        "heading": dt.string,
        "title": dt.string,
        "sourceline": dt.int64,
    }
)


@udf(return_type=dt.Array(_CHUNK), version="1", name="barbule.functions.document.split")
def split(
    document: Document(),  # type: ignore[valid-type]
    separators: Any = None,
    chunk_size: int | None = None,
    overlap: int = 0,
    limit: int | None = None,
    metadata: Any = None,
) -> Any:
    """Cut a document into chunks; see `DocumentSplitter.create`."""
    from barbule.media.chunking import split_document
    from barbule.media.documents import read_document

    names = metadata.split(",") if isinstance(metadata, str) else metadata or ()
    chunks = split_document(
        read_document(Path(document)),
        separators=separators,
        chunk_size=chunk_size,
        overlap=overlap,
        limit=limit,
        metadata=[name.strip() for name in names],
    )
    return [dataclasses.asdict(chunk) for chunk in chunks]


class DocumentSplitter:
    """Makes the iterator that cuts documents into chunks."""

    @staticmethod
    def create(
        *,
        document: Any,
        separators: Sequence[str] | str | None = None,
        chunk_size: int | None = None,
        overlap: int = 0,
        limit: int | None = None,
        metadata: Sequence[str] | str = (),
    ) -> Any:
        r"""Cut each document of a column into chunks.

        The rows of the view have `text`, `pos` (from 0), and where the document tells them
        `page`, `heading`, `title` and `sourceline`.

        Parameters
        ----------
        document
            A column of documents.
        separators
            A list of strings at which text is cut, merged up to `chunk_size` characters; or
            names joined by commas: "heading", "page", "paragraph", "sentence", "char_limit",
            "token_limit", with `limit`.
        chunk_size
            The most characters of a chunk, for the list form.
        overlap
            How much of the text before it a chunk repeats, at most.
        limit
            The most characters or tokens of a chunk, for the names.
        metadata
            Names of what chunks shall tell; all are always there.

        Raises
        ------
        ConfigurationError
            When an option is wrong; before anything is read.

        Examples
        --------
        >>> import barbule as bb
        >>> docs = bb.create_table("docs", {"doc": bb.Document})
        >>> chunks = bb.create_view(
        ...     "chunks",
        ...     docs,
        ...     iterator=bb.functions.DocumentSplitter.create(
        ...         document=docs.doc, separators=[".", "\n\n"], chunk_size=300, overlap=50
        ...     ),
        ... )
        >>> "text" in chunks.columns
        True
        """
        from barbule.media.chunking import split_document
        from barbule.media.documents import DocumentText

        names = metadata.split(",") if isinstance(metadata, str) else metadata
        options: dict[str, Any] = {
            "separators": separators,
            "chunk_size": chunk_size,
            "overlap": overlap,
            "limit": limit,
            "metadata": [name.strip() for name in names],
        }
        split_document(DocumentText(None, ()), **options)  # wrong options fail here and now
        return split(document, **options)
