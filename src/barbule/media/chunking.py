"""How the text of a document is cut into chunks.

Owns what the options of a splitter mean and where chunks begin and end. Cutting below the
level of the given separators is semantic-text-splitter's work. Must not read files.

Chunks are spans of the source: their text is the document's own, without blank edges. With
no overlap they hold every character of it that is not white space, once.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from barbule.errors import ConfigurationError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from semantic_text_splitter import TextSplitter

    from barbule.media.documents import Block, DocumentText

__all__ = ["Chunk", "split_document"]

Span = tuple[int, int]

_PARTS = ("heading", "page", "paragraph", "sentence")
_LIMITS = ("char_limit", "token_limit")
_METADATA = ("title", "heading", "page", "sourceline")
_BETWEEN_BLOCKS = "\n\n"
_PARAGRAPH_END = re.compile(r"\n(?:[^\S\n]*\n)+")
_LINE_BREAK = re.compile(r"[\r\n\x0b\x0c\x85\u2028\u2029]")
_SPACE = re.compile(r"\s+")
# A model whose tokenizer is cl100k_base, which the splitter carries inside.
_TOKEN_MODEL = "gpt-4"  # noqa: S105 - no password
# Sentences are looked for in windows of this size: the splitter's time grows faster than
# the text it is allowed to keep together.
_SENTENCE_WINDOW = 2000


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document.

    Parameters
    ----------
    text
        The text, never empty and without blank edges.
    pos
        Its place among the document's chunks, from 0.
    page, heading, sourceline
        Those of its first character; None where the format has none.
    title
        The title of the document.
    """

    text: str
    pos: int
    page: int | None = None
    heading: str | None = None
    title: str | None = None
    sourceline: int | None = None


def split_document(
    doc: DocumentText,
    *,
    separators: Sequence[str] | str | None,
    chunk_size: int | None = None,
    overlap: int = 0,
    limit: int | None = None,
    metadata: Sequence[str] = (),
) -> list[Chunk]:
    r"""Cut a document into chunks.

    Separators come in two forms. A *list* holds the strings at which text is cut; each stays
    with the text before it. The pieces are merged up to `chunk_size` and may run across
    blocks and pages. A *string* names parts, joined by commas: "heading", "page",
    "paragraph", "sentence", each of which becomes a chunk, and one of "char_limit" and
    "token_limit", which cuts the longer ones; such chunks never cross a page.

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
        For the string form: the most characters or tokens (cl100k_base) of a chunk.
    metadata
        Names of "title", "heading", "page", "sourceline". All are always filled; naming them
        is accepted and checked.

    Returns
    -------
    list of Chunk
        In reading order.

    Raises
    ------
    ConfigurationError
        If an option is wrong; the message names it and what is allowed.
    UnsupportedError
        If bounding boxes are asked for.

    Examples
    --------
    >>> from barbule.media.documents import Block, DocumentText
    >>> doc = DocumentText("Feathers", (Block("Barbs branch. Barbules hook! They hold."),))
    >>> [chunk.text for chunk in split_document(doc, separators=[".", "!"], chunk_size=30)]
    ['Barbs branch. Barbules hook!', 'They hold.']
    >>> [chunk.text for chunk in split_document(doc, separators="sentence,char_limit", limit=10)]
    ['Barbs', 'branch.', 'Barbules', 'hook!', 'They hold.']
    """
    _check_metadata(metadata)
    _check_size("chunk_size", chunk_size)
    _check_size("limit", limit)
    _check_overlap(overlap, "chunk_size", chunk_size, "limit", limit)
    source = _Source(doc)
    if isinstance(separators, str):
        if chunk_size is not None:
            raise ConfigurationError(
                "chunk_size goes with a list of separators, not with names of parts.",
                hint='Give separators="…,char_limit" and limit=, or a list of separators.',
            )
        return source.chunks(_named_spans(source, _names(separators, limit), limit, overlap))
    if limit is not None:
        raise ConfigurationError(
            "limit goes with separators given as a string of names.",
            hint='Give chunk_size=, or separators="char_limit".',
        )
    given = _checked(separators)
    if chunk_size is None:
        return source.chunks(_pieces(source.text, given))
    found = _pieces(source.text, given or (_BETWEEN_BLOCKS,))
    pieces = _small_enough(source.text, found, chunk_size, overlap)
    return source.chunks(_merged(source.text, pieces, chunk_size, overlap))


def _check_metadata(metadata: Sequence[str]) -> None:
    names = metadata.split(",") if isinstance(metadata, str) else metadata
    for name in (name.strip() for name in names):
        if name == "bounding_box":
            raise UnsupportedError(
                "metadata 'bounding_box' is not supported: readers give text, not positions.",
                hint=f"Leave it out; there are {_listed(_METADATA)}.",
            )
        if name and name not in _METADATA:
            raise ConfigurationError(
                f"metadata {name!r} is not known.", hint=f"Allowed: {_listed(_METADATA)}."
            )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))


def _check_size(name: str, value: int | None) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise ConfigurationError(f"{name} must be a positive integer or None, not {value!r}.")


def _check_overlap(
    overlap: int, size_name: str, size: int | None, limit_name: str, limit: int | None
) -> None:
    if not isinstance(overlap, int) or isinstance(overlap, bool) or overlap < 0:
        raise ConfigurationError(f"overlap must be an integer from 0, not {overlap!r}.")
    name, most = (limit_name, limit) if size is None else (size_name, size)
    if overlap and most is None:
        raise ConfigurationError(
            "overlap needs a size.", hint=f"Give {size_name}= or {limit_name}= with it."
        )
    if most is not None and overlap >= most:
        raise ConfigurationError(f"overlap must be less than {name}={most}, not {overlap}.")


def _checked(separators: Sequence[str] | None) -> tuple[str, ...]:
    found = tuple(separators or ())
    for separator in found:
        if not isinstance(separator, str) or not separator:
            raise ConfigurationError(
                f"separators must be strings that are not empty, not {separator!r}.",
                hint="Leave it out: what is longer than chunk_size is cut further anyhow.",
            )
    return found


def _names(separators: str, limit: int | None) -> frozenset[str]:
    names = frozenset(name for part in separators.split(",") if (name := part.strip()))
    unknown = sorted(names.difference(_PARTS, _LIMITS))
    if unknown:
        raise ConfigurationError(
            f"separators {_listed(unknown)} are not known.",
            hint=f"Allowed in a string: {_listed(_PARTS + _LIMITS)}; "
            "to cut at other strings give a list.",
        )
    if names.issuperset(_LIMITS):
        raise ConfigurationError("separators may hold 'char_limit' or 'token_limit', not both.")
    limited = not names.isdisjoint(_LIMITS)
    if limited and limit is None:
        raise ConfigurationError("separators with 'char_limit' or 'token_limit' need limit=.")
    if limit is not None and not limited:
        raise ConfigurationError(
            "limit needs 'char_limit' or 'token_limit' among the separators.",
            hint=f'Give separators="{separators},char_limit".',
        )
    return names


class _Source:
    """The text of a document in one string, and what is known of each place in it."""

    def __init__(self, doc: DocumentText) -> None:
        self.title = doc.title
        self.blocks = doc.blocks
        self.text = _BETWEEN_BLOCKS.join(block.text for block in doc.blocks)
        self.starts: list[int] = []
        position = 0
        for block in doc.blocks:
            self.starts.append(position)
            position += len(block.text) + len(_BETWEEN_BLOCKS)

    def runs(self, key: Callable[[Block], object]) -> Iterator[Span]:
        """Yield the spans of neighbouring blocks that share a key."""
        first = 0
        for index in range(1, len(self.blocks) + 1):
            ends = index == len(self.blocks)
            if ends or key(self.blocks[index]) != key(self.blocks[first]):
                yield self.starts[first], len(self.text) if ends else self.starts[index]
                first = index

    def chunks(self, spans: Iterable[Span]) -> list[Chunk]:
        """Make the chunks of spans that come in order."""
        text, starts, blocks, title = self.text, self.starts, self.blocks, self.title
        found: list[Chunk] = []
        seen, lines, current = 0, 0, -1
        for pos, (start, end) in enumerate(spans):
            index = bisect_right(starts, start) - 1
            block = blocks[index]
            line = block.sourceline
            if line is not None:
                if index != current:
                    current, seen, lines = index, starts[index], 0
                # Counted on from the chunk before, so a long block is read once.
                lines += text.count("\n", seen, start)
                seen = start
                line += lines
            found.append(Chunk(text[start:end], pos, block.page, block.heading, title, line))
        return found


def _trimmed(text: str, start: int, end: int) -> Span | None:
    piece = text[start:end]
    body = piece.lstrip()
    if not body:
        return None
    start = end - len(body)
    return start, start + len(body.rstrip())


def _cut(text: str, ends: Iterable[int], span: Span) -> Iterator[Span]:
    """Cut a span at the given places, leaving out blank pieces and edges."""
    start, last = span
    for end in (*ends, last):
        found = _trimmed(text, start, end)
        if found:
            yield found
        start = end


def _pieces(text: str, separators: tuple[str, ...]) -> Iterator[Span]:
    whole = (0, len(text))
    if not separators:
        return _cut(text, (), whole)
    # The longest first, and a run of them ("?!") is one end.
    ordered = sorted(separators, key=len, reverse=True)
    # Written as "one, then more": `re` scans for a first character only in that form.
    one = f"(?:{'|'.join(map(re.escape, ordered))})"
    pattern = re.compile(f"{one}{one}*")
    return _cut(text, (match.end() for match in pattern.finditer(text)), whole)


def _small_enough(
    text: str, pieces: Iterable[Span], chunk_size: int, overlap: int
) -> Iterator[Span]:
    # Parts of a long piece leave room for what is repeated before them.
    splitter = _by_characters(chunk_size - overlap)
    for start, end in pieces:
        if end - start <= chunk_size:
            yield start, end
        else:
            yield from _split(splitter, text, (start, end))


@lru_cache(maxsize=64)
def _by_characters(capacity: int, overlap: int = 0) -> TextSplitter:
    from semantic_text_splitter import TextSplitter

    return TextSplitter(capacity, overlap, trim=False)


@lru_cache(maxsize=16)
def _by_tokens(capacity: int, overlap: int) -> TextSplitter:
    from semantic_text_splitter import TextSplitter

    return TextSplitter.from_tiktoken_model(_TOKEN_MODEL, capacity, overlap, trim=False)


@lru_cache(maxsize=1)
def _by_sentences() -> TextSplitter:
    from semantic_text_splitter import TextSplitter

    # A chunk is full as soon as it holds one unit of the highest level: a sentence.
    return TextSplitter((1, _SENTENCE_WINDOW), trim=False)


def _split(splitter: TextSplitter, text: str, span: Span) -> Iterator[Span]:
    start, end = span
    reached = start
    for offset, part in splitter.chunk_indices(text[start:end]):
        found = _trimmed(text, start + offset, start + offset + len(part))
        # A chunk may hold nothing but overlap once its white space is off.
        if found and found[1] > reached:
            reached = found[1]
            yield found


def _merged(text: str, pieces: Iterable[Span], chunk_size: int, overlap: int) -> Iterator[Span]:
    spans = list(pieces)
    starts = [start for start, _ in spans]
    index, count = 0, len(spans)
    while index < count:
        start, end = spans[index]
        if overlap and index:
            start = _overlapped(
                text, starts, spans[index - 1][1], spans[index], (chunk_size, overlap)
            )
        index += 1
        while index < count and spans[index][1] - start <= chunk_size:
            end = spans[index][1]
            index += 1
        yield start, end


def _overlapped(
    text: str, starts: list[int], before: int, piece: Span, sizes: tuple[int, int]
) -> int:
    """Find where a chunk that begins with `piece` starts, given where the one before ended."""
    chunk_size, overlap = sizes
    lowest = max(before - overlap, piece[1] - chunk_size, 0)
    if lowest >= before:
        return piece[0]
    boundary = starts[bisect_left(starts, lowest)]
    if boundary < before:
        return boundary
    space = _SPACE.search(text, max(lowest - 1, 0), before)
    if space is None:
        return lowest  # One long word, or a script without spaces.
    return max(space.end(), lowest)


def _named_spans(
    source: _Source, names: frozenset[str], limit: int | None, overlap: int
) -> Iterator[Span]:
    text = source.text
    for run in source.runs(_run_key(names)):
        spans: Iterable[Span] = _cut(text, (), run)
        if "paragraph" in names or "sentence" in names:
            ends = (match.end() for match in _PARAGRAPH_END.finditer(text, *run))
            spans = _cut(text, ends, run)
        if "sentence" in names:
            spans = (found for span in spans for found in _sentences(text, span))
        if limit is not None:
            make = _by_tokens if "token_limit" in names else _by_characters
            spans = _limited(text, spans, make(limit, overlap), limit)
        yield from spans


def _run_key(names: frozenset[str]) -> Callable[[Block], object]:
    if "heading" in names:
        return lambda block: (block.page, block.heading)
    return lambda block: block.page


def _sentences(text: str, span: Span) -> Iterator[Span]:
    start, end = span
    # A line break within a paragraph ends no sentence, but would for the splitter.
    flowing = _LINE_BREAK.sub(" ", text[start:end])
    for offset, part in _by_characters(_SENTENCE_WINDOW).chunk_indices(flowing):
        for inner, sentence in _by_sentences().chunk_indices(part):
            first = start + offset + inner
            found = _trimmed(text, first, first + len(sentence))
            if found:
                yield found


def _limited(
    text: str, spans: Iterable[Span], splitter: TextSplitter, limit: int
) -> Iterator[Span]:
    for start, end in spans:
        # A token has at least one byte, so text this short needs no counting.
        if len(text[start:end].encode()) <= limit:
            yield start, end
        else:
            yield from _split(splitter, text, (start, end))
