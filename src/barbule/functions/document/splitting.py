"""Documents as rows: the splitter.

Owns the call that converts a document to chunks, for `create_view(iterator=...)`. `barbule.media`
reads and splits the files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from barbule.functions.document.reading import File, check_encoding, readable
from barbule.functions.stream_functions import source_of
from barbule.functions.udf import udf
from barbule.suggestions import FunctionNamespace, check_arguments
from barbule.types import Document

__all__ = ["DocumentSplitter", "split"]

_BOX = dt.Struct({"x1": dt.float64, "y1": dt.float64, "x2": dt.float64, "y2": dt.float64})
_CHUNK = dt.Struct(
    {
        "text": dt.string,
        "pos": dt.int64,
        "page": dt.int64,
        "heading": dt.string,
        "title": dt.string,
        "sourceline": dt.int64,
        "bounding_box": _BOX,
    }
)


@udf(return_type=dt.Array(_CHUNK), version="2", name="barbule.functions.document.split")
def split(  # noqa: PLR0913 - each is an option of users
    document: File,
    separators: Any = None,
    chunk_size: int | None = None,
    overlap: int | None = 0,
    limit: int | None = None,
    metadata: Any = None,
    ocr: bool | None = None,
    skip_tags: Any = None,
    tiktoken_encoding: str | None = None,
    tiktoken_target_model: str | None = None,
    encoding: str | None = None,
) -> list[dict[str, Any]]:
    """Split a document into chunks; see `DocumentSplitter.create`."""
    from barbule.media.chunking import split_document

    chunks = split_document(
        readable(document, ocr=ocr, skip_tags=tuple(skip_tags or ()), encoding=encoding),
        separators=separators,
        chunk_size=chunk_size,
        overlap=overlap,
        limit=limit,
        metadata=metadata or (),
        tiktoken_encoding=tiktoken_encoding,
        tiktoken_target_model=tiktoken_target_model,
    )
    return [chunk._asdict() for chunk in chunks]


class DocumentSplitter(FunctionNamespace):
    """Creates the iterator that splits documents into chunks."""

    @staticmethod
    @check_arguments
    def create(  # noqa: PLR0913 - each is an option of users
        document: object,
        separators: Sequence[str] | str | None = None,
        *,
        chunk_size: int | None = None,
        overlap: int | None = 0,
        limit: int | None = None,
        metadata: Sequence[str] | str = (),
        ocr: bool | None = None,
        skip_tags: Sequence[str] | None = None,
        tiktoken_encoding: str | None = None,
        tiktoken_target_model: str | None = None,
        encoding: str | None = None,
    ) -> ir.Value:
        r"""Split each document of a column into chunks.

        The rows of the view have `text`, `pos` (from 0), and if the document provides them `page`,
        `heading`, `title`, `sourceline` and `bounding_box` (for PDF files: `x1`, `y1`, `x2`, `y2`
        in points from the lower left corner of the page).

        Parameters
        ----------
        document
            A column of documents.
        separators
            A list of strings at which text is split, merged up to `chunk_size` characters; or names
            joined by commas: "heading", "page", "paragraph", "sentence", "char_limit",
            "token_limit", with `limit`. "recursive", "markdown" and "code" fill chunks up to
            `limit` and keep related text together.
        chunk_size
            The maximum number of characters of a chunk, for the list form.
        overlap
            The maximum length of preceding text that a chunk repeats.
        limit
            The maximum number of characters or tokens of a chunk, for the names.
        metadata
            Names of metadata columns; all are always present.
        ocr
            Whether to recognise text on pages of a PDF that are images (this needs `barbule[ocr]`).
            By default a document that consists of such pages is an error; with False it has no
            chunks.
        skip_tags
            Names of HTML elements to skip, in addition to scripts, styles and navigation.
        tiktoken_encoding, tiktoken_target_model
            The tokenizer: "cl100k_base" (the default), "o200k_base", "p50k_base", "r50k_base", or
            the encoding of an OpenAI model. Nothing is downloaded for it.
        encoding
            The encoding of text files, such as "cp1252" or "shift_jis". By default it is detected
            from a byte order mark, then from the head of HTML and XML, then from the content.

        Raises
        ------
        ConfigurationError
            If an option is invalid; before anything is read.
        UnsupportedError
            If text is to be recognised and the packages for it are missing.

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

        if ocr:
            from barbule.media.documents.pdf.ocr import check_ocr

            check_ocr()
        check_encoding(encoding)
        names = metadata.split(",") if isinstance(metadata, str) else metadata
        options: dict[str, Any] = {
            "separators": separators if isinstance(separators, str | None) else list(separators),
            "chunk_size": chunk_size,
            "overlap": overlap,
            "limit": limit,
            "metadata": [name.strip() for name in names],
            "tiktoken_encoding": tiktoken_encoding,
            "tiktoken_target_model": tiktoken_target_model,
        }
        split_document(DocumentText(None, ()), **options)  # invalid options fail immediately
        documents = source_of(document, "document", Document)
        return split(
            documents, **options, ocr=ocr, skip_tags=list(skip_tags or ()), encoding=encoding
        )
