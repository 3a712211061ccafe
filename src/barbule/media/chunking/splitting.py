"""Documents and texts, split into chunks according to options.

Owns the choice of the splitting strategy. Must not read files.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from barbule.media.chunking.code import code_spans
from barbule.media.chunking.options import ChunkingOptions, check_metadata, chunking_options
from barbule.media.chunking.sentences import sentences
from barbule.media.chunking.size_limit import by_characters, for_markdown, trim_span
from barbule.media.chunking.source import BETWEEN_BLOCKS, Chunk, Source
from barbule.media.chunking.spans import cut_long_pieces, merge_pieces, split_pieces, with_overlap
from barbule.media.documents.blocks import Block, DocumentText

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from barbule.media.chunking.source import Span

__all__ = ["split_document", "split_text"]

_SHORT_PARTS = {"paragraph", "sentence"}
_PARAGRAPH_END = re.compile(r"\n(?:[^\S\n]*\n)+")


def split_document(  # noqa: PLR0913 - each is an option of users
    doc: DocumentText,
    *,
    separators: Sequence[str] | str | None,
    chunk_size: int | None = None,
    overlap: int | None = 0,
    limit: int | None = None,
    metadata: Sequence[str] | str = (),
    tiktoken_encoding: str | None = None,
    tiktoken_target_model: str | None = None,
) -> list[Chunk]:
    r"""Split a document into chunks.

    Separators have two forms. A *list* contains the strings at which text is split; each stays with
    the text before it. The pieces are merged up to `chunk_size` and may span blocks and pages. A
    *string* names parts, joined by commas: "heading", "page", "paragraph", "sentence", each of
    which becomes a chunk, and one of "char_limit" and "token_limit", which splits longer ones; such
    chunks never span pages. Instead of parts it may name a strategy that fills chunks up to the
    limit: "recursive" (paragraphs, lines, sentences, words), "markdown" (sections, lists, tables
    and fences are kept together), "code" (definitions are kept together).

    Parameters
    ----------
    doc
        The document.
    separators
        A list of strings, a comma-joined string of names, or None to split only by size, between
        paragraphs if possible.
    chunk_size
        For the list form: the maximum number of characters of a chunk. A longer piece is split at
        the best position (paragraph, sentence, word); None keeps each piece as a chunk.
    overlap
        The maximum length of preceding text that a chunk repeats, in characters (in tokens with
        "token_limit"). It starts at a separator or a word if one is in reach, and is shortened if
        the chunk would exceed its size.
    limit
        For the string form: the maximum number of characters or tokens of a chunk.
    metadata
        Names of "title", "heading", "page", "sourceline", "bounding_box". All are always
        filled; naming them is accepted and checked.
    tiktoken_encoding, tiktoken_target_model
        The tokenizer: "cl100k_base" (the default), "o200k_base", "p50k_base" or "r50k_base", or the
        encoding of an OpenAI model.

    Returns
    -------
    list of Chunk
        In reading order.

    Raises
    ------
    ConfigurationError
        If an option is invalid; the message names it and the allowed values.

    Examples
    --------
    >>> from barbule.media.documents import Block, DocumentText
    >>> doc = DocumentText("Feathers", (Block("Barbs branch. Barbules hook! They hold."),))
    >>> [chunk.text for chunk in split_document(doc, separators=[".", "!"], chunk_size=30)]
    ['Barbs branch. Barbules hook!', 'They hold.']
    >>> [chunk.text for chunk in split_document(doc, separators="sentence,char_limit", limit=10)]
    ['Barbs', 'branch.', 'Barbules', 'hook!', 'They hold.']
    """
    check_metadata(metadata)
    options = chunking_options(
        separators,
        chunk_size=chunk_size,
        overlap=overlap,
        limit=limit,
        tiktoken_encoding=tiktoken_encoding,
        tiktoken_target_model=tiktoken_target_model,
    )
    source = Source(doc)
    named = options.separators is None
    spans = _named_spans(source, options) if named else _listed_spans(source.text, options)
    if any(block.verbatim for block in doc.blocks):
        spans = _with_indentation(source, spans, options)
    return source.chunks(spans)


def split_text(text: str, options: ChunkingOptions) -> list[str]:
    """Split a text into chunks.

    Parameters
    ----------
    text
        The text; blank lines separate its paragraphs.
    options
        The result of `chunking_options`.

    Examples
    --------
    >>> from barbule.media.chunking import chunking_options
    >>> split_text("Barbs branch. Barbules hook!", chunking_options("sentence"))
    ['Barbs branch.', 'Barbules hook!']
    """
    source = Source(DocumentText(None, (Block(text),) if text else ()))
    named = options.separators is None
    spans = _named_spans(source, options) if named else _listed_spans(text, options)
    return [text[start:end] for start, end in spans]


def _listed_spans(text: str, options: ChunkingOptions) -> Iterator[Span]:
    separators, size = options.separators or (), options.chunk_size
    if size is None:
        return split_pieces(text, separators)
    pieces = split_pieces(text, separators or (BETWEEN_BLOCKS,))
    short_pieces = cut_long_pieces(text, pieces, size, options.overlap)
    return merge_pieces(text, short_pieces, size, options.overlap)


def _named_spans(source: Source, options: ChunkingOptions) -> Iterator[Span]:
    text, names, size_limit = source.text, options.names, options.size_limit
    spans: Iterator[Span]
    for run in source.runs(_run_key(names)):
        if "code" in names and size_limit is not None:
            spans = code_spans(text, run, size_limit)
            yield from (
                with_overlap(text, spans, size_limit, by_lines=True)
                if size_limit.overlap
                else spans
            )
            continue
        spans = _nonblank_span(text, run)
        if not names.isdisjoint(_SHORT_PARTS):
            spans = _paragraphs(text, run)
        if "sentence" in names:
            spans = (sentence for span in spans for sentence in sentences(text, span))
        if size_limit is not None:
            limit = for_markdown(size_limit) if "markdown" in names else size_limit
            spans = limit.limited(text, spans)
            if size_limit.overlap and not names.isdisjoint(_SHORT_PARTS):
                spans = with_overlap(text, spans, size_limit)
        yield from spans


def _with_indentation(
    source: Source, spans: Iterable[Span], options: ChunkingOptions
) -> Iterator[Span]:
    """Let chunks of verbatim blocks start with the indentation of their first line, if it fits."""
    text, size = source.text, options.chunk_size
    size_limit = options.size_limit or (by_characters(size) if size else None)
    for start, end in spans:
        if not start or text[start - 1] not in " \t":
            yield start, end
            continue
        first = source.line_start(start)
        fits = first < start and (size_limit is None or size_limit.fits(text[first:end]))
        yield (first if fits else start), end


def _run_key(names: frozenset[str]) -> Callable[[Block], object]:
    if "heading" in names or "markdown" in names:
        return lambda block: (block.page, block.heading, block.section)
    return lambda block: block.page


def _nonblank_span(text: str, span: Span) -> Iterator[Span]:
    trimmed = trim_span(text, *span)
    if trimmed:
        yield trimmed


def _paragraphs(text: str, span: Span) -> Iterator[Span]:
    start, last = span
    for gap in _PARAGRAPH_END.finditer(text, start, last):
        trimmed = trim_span(text, start, gap.end())
        if trimmed:
            yield trimmed
        start = gap.end()
    yield from _nonblank_span(text, (start, last))
