"""Documents and texts, cut as the options say.

Owns which of the ways is gone. Must not read files.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from barbule.media.chunking.code import code_spans
from barbule.media.chunking.fitting import by_characters, markdown, trimmed
from barbule.media.chunking.options import Cutting, check_metadata, cutting
from barbule.media.chunking.sentences import sentences
from barbule.media.chunking.source import BETWEEN_BLOCKS, Chunk, Source
from barbule.media.chunking.spans import merged, pieces, repeating, small_enough
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
    r"""Cut a document into chunks.

    Separators come in two forms. A *list* holds the strings at which text is cut; each stays
    with the text before it. The pieces are merged up to `chunk_size` and may run across
    blocks and pages. A *string* names parts, joined by commas: "heading", "page",
    "paragraph", "sentence", each of which becomes a chunk, and one of "char_limit" and
    "token_limit", which cuts the longer ones; such chunks never cross a page. In the place of
    parts it may name a way to fill chunks up to the limit: "recursive" (paragraphs, lines,
    sentences, words), "markdown" (sections, lists, tables and fences stay whole), "code"
    (definitions stay whole).

    Parameters
    ----------
    doc
        The document.
    separators
        A list of strings, a comma-joined string of names, or None to cut by size
        alone, between paragraphs where that fits.
    chunk_size
        For the list form: the most characters of a chunk. A piece that is longer is cut at
        the best place within (paragraph, sentence, word); None leaves each piece a chunk.
    overlap
        How much of the text before it a chunk repeats at most, in characters (in tokens with
        "token_limit"). It starts at a separator or a word where one is in reach, and gives
        way where the chunk would exceed its size.
    limit
        For the string form: the most characters or tokens of a chunk.
    metadata
        Names of "title", "heading", "page", "sourceline", "bounding_box". All are always
        filled; naming them is accepted and checked.
    tiktoken_encoding, tiktoken_target_model
        What counts as a token: "cl100k_base" (the default), "o200k_base", "p50k_base" or
        "r50k_base", or the encoding of a model of OpenAI.

    Returns
    -------
    list of Chunk
        In reading order.

    Raises
    ------
    ConfigurationError
        If an option is wrong; the message names it and what is allowed.

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
    options = cutting(
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
        spans = _indented(source, spans, options)
    return source.chunks(spans)


def split_text(text: str, options: Cutting) -> list[str]:
    """Cut a text into chunks.

    Parameters
    ----------
    text
        The text; blank lines part its paragraphs.
    options
        What `cutting` gives.

    Examples
    --------
    >>> from barbule.media.chunking import cutting
    >>> split_text("Barbs branch. Barbules hook!", cutting("sentence"))
    ['Barbs branch.', 'Barbules hook!']
    """
    source = Source(DocumentText(None, (Block(text),) if text else ()))
    found = _named_spans if options.separators is None else None
    spans = found(source, options) if found else _listed_spans(text, options)
    return [text[start:end] for start, end in spans]


def _listed_spans(text: str, options: Cutting) -> Iterator[Span]:
    separators, size = options.separators or (), options.chunk_size
    if size is None:
        return pieces(text, separators)
    found = pieces(text, separators or (BETWEEN_BLOCKS,))
    short = small_enough(text, found, size, options.overlap)
    return merged(text, short, size, options.overlap)


def _named_spans(source: Source, options: Cutting) -> Iterator[Span]:
    text, names, fitting = source.text, options.names, options.fitting
    spans: Iterator[Span]
    for run in source.runs(_run_key(names)):
        if "code" in names and fitting is not None:
            spans = code_spans(text, run, fitting)
            yield from repeating(text, spans, fitting, by_lines=True) if fitting.overlap else spans
            continue
        spans = _whole(text, run)
        if not names.isdisjoint(_SHORT_PARTS):
            spans = _paragraphs(text, run)
        if "sentence" in names:
            spans = (found for span in spans for found in sentences(text, span))
        if fitting is not None:
            limit = markdown(fitting) if "markdown" in names else fitting
            spans = limit.limited(text, spans)
            if fitting.overlap and not names.isdisjoint(_SHORT_PARTS):
                spans = repeating(text, spans, fitting)
        yield from spans


def _indented(source: Source, spans: Iterable[Span], options: Cutting) -> Iterator[Span]:
    """Let chunks of verbatim blocks begin with the indentation of their first line, if it fits."""
    text, size = source.text, options.chunk_size
    fitting = options.fitting or (by_characters(size) if size else None)
    for start, end in spans:
        if not start or text[start - 1] not in " \t":
            yield start, end
            continue
        first = source.line_start(start)
        fits = first < start and (fitting is None or fitting.fits(text[first:end]))
        yield (first if fits else start), end


def _run_key(names: frozenset[str]) -> Callable[[Block], object]:
    if "heading" in names or "markdown" in names:
        return lambda block: (block.page, block.heading, block.section)
    return lambda block: block.page


def _whole(text: str, span: Span) -> Iterator[Span]:
    found = trimmed(text, *span)
    if found:
        yield found


def _paragraphs(text: str, span: Span) -> Iterator[Span]:
    start, last = span
    for gap in _PARAGRAPH_END.finditer(text, start, last):
        found = trimmed(text, start, gap.end())
        if found:
            yield found
        start = gap.end()
    yield from _whole(text, (start, last))
