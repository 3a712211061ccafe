"""Text that is longer than a chunk, split at the best positions.

Owns the limits in characters and in tokens. semantic-text-splitter splits text with spaces, from
paragraphs down to words; `dense` finds the positions in scripts without spaces.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from barbule.media.chunking.dense import boundary, is_dense

if TYPE_CHECKING:
    from collections.abc import Iterator

    from semantic_text_splitter import TextSplitter

    from barbule.media.chunking.source import Span

__all__ = ["SizeLimit", "by_characters", "by_tokens", "for_markdown", "trim_span"]

# The minimum characters of a window, as a number and as a multiple of its limit; the number of
# chunks after which a chunk does not depend on the end of the window.
_WINDOW_CHARACTERS = 50_000
_LIMITS_PER_WINDOW = 64
_TAIL_CHUNKS = 8
# In scripts without spaces no token has more characters.
_MAX_DENSE_TOKEN_CHARACTERS = 8
# Only runs of blanks are tokens with more characters.
_MAX_TOKEN_CHARACTERS = 8


def trim_span(text: str, start: int, end: int) -> Span | None:
    """Return a span without leading and trailing white space; None if it is blank."""
    piece = text[start:end]
    body = piece.strip()
    if not body:
        return None
    start = end - len(piece.lstrip())
    return start, start + len(body)


class SizeLimit(NamedTuple):
    """A limit, and how text above it is split.

    Parameters
    ----------
    limit, overlap
        In characters, or in tokens of `model`.
    model
        The name of a model whose tokens are counted; None for characters.
    kind
        The class of semantic-text-splitter for text with spaces.
    """

    limit: int
    overlap: int = 0
    model: str | None = None
    kind: str = "TextSplitter"

    def fits(self, text: str) -> bool:
        """Whether text is within the limit."""
        if self.model is None:
            return len(text) <= self.limit
        # A token has at least one byte, so text this short needs no count.
        return len(text.encode()) <= self.limit or len(self._splitter().chunks(text)) == 1

    def overlap_start(self, text: str, previous_end: int, end: int) -> int:
        """Return the first position from which a chunk may repeat the text before it."""
        if self.model is None:
            return max(previous_end - self.overlap, end - self.limit)
        repeated = self._replace(limit=self.overlap, overlap=0)

        def is_within(position: int) -> bool:
            return repeated.fits(text[position:previous_end]) and self.fits(text[position:end])

        positions = range(max(previous_end - self.overlap * _MAX_TOKEN_CHARACTERS, 0), previous_end)
        return positions.start + bisect_left(positions, True, key=is_within)

    def cut(self, text: str, span: Span) -> Iterator[Span]:
        """Split a span into spans within the limit, without leading and trailing white space."""
        for piece in self._cut(text, span):
            exceeds = self._joins_blanks(text, span, piece) and not self.fits(
                text[piece[0] : piece[1]]
            )
            if exceeds and self.limit > 1:
                yield from self._replace(limit=self.limit - 1, overlap=0).cut(text, piece)
            else:
                yield piece

    def _joins_blanks(self, text: str, span: Span, piece: Span) -> bool:
        """Return whether a piece may have more tokens after its surrounding blanks are removed.

        Some tokens consist of a blank and the word after it, or of a sign and a line break.
        """
        first, last = piece
        if self.model is None:
            return False
        if first > span[0] and text[first - 1] == " ":
            return True
        return last < span[1] and text[last] in "\r\n" and not text[last - 1].isalnum()

    def _cut(self, text: str, span: Span) -> Iterator[Span]:
        start, end = span
        if self.kind == "TextSplitter" and is_dense(text[start:end]):
            yield from self._cut_dense(text, span)
            return
        reached = start
        for first, last in self._windows(text, start, end):
            trimmed = trim_span(text, first, last)
            # A chunk may be only overlap after its white space is removed.
            if trimmed and trimmed[1] > reached:
                reached = trimmed[1]
                yield trimmed

    def limited(self, text: str, spans: Iterator[Span]) -> Iterator[Span]:
        """Split those of the spans that exceed the limit."""
        for start, end in spans:
            if len(text[start:end].encode()) <= self.limit:
                yield start, end
            else:
                yield from self.cut(text, (start, end))

    def _windows(self, text: str, start: int, end: int) -> Iterator[Span]:
        """Yield the splitter's chunks of a text, which is passed window by window.

        For each chunk the splitter examines all breaks after it, so that its time grows with the
        square of the text. Its decisions depend on nearby text, except for the structure of
        Markdown.
        """
        size = max(_WINDOW_CHARACTERS, _LIMITS_PER_WINDOW * self.limit)
        while start + size < end and self.kind == "TextSplitter":
            chunks = self._spans(text, start, start + size)
            resume_index = self._resume_index(text, chunks, start + size)
            if resume_index:
                yield from chunks[:resume_index]
                start = chunks[resume_index][0]
            else:
                size *= 2
        yield from self._spans(text, start, end)

    def _resume_index(self, text: str, chunks: list[Span], stop: int) -> int:
        """Return the last chunk well before `stop` from which the splitter continues identically.

        It is 0 if there is none: for example with an overlap that starts within a word.
        """
        reach = (stop - chunks[0][0]) // 4
        last = bisect_left(chunks, (stop - reach, 0), hi=max(len(chunks) - _TAIL_CHUNKS, 0)) - 1
        for index in range(last, max(last - _TAIL_CHUNKS, 0), -1):
            repeated = self._spans(text, chunks[index][0], stop)
            if repeated[:2] == chunks[index : index + 2]:
                return index
        return 0

    def _spans(self, text: str, start: int, end: int) -> list[Span]:
        indices = self._splitter().chunk_indices(text[start:end])
        return [(start + offset, start + offset + len(part)) for offset, part in indices]

    def _splitter(self) -> TextSplitter:
        return _build_splitter(self.kind, self.limit, self.overlap, self.model)

    def _cut_dense(self, text: str, span: Span) -> Iterator[Span]:
        start, end = span
        reached = start
        while start < end:
            max_end = self._max_end(text, start, end)
            if max_end <= reached < end:
                start = reached  # the repeated text would leave no room for more
                continue
            # A position in the first half would leave chunks half empty.
            lowest = max(start + (max_end - start) // 2, reached)
            stop = end if max_end >= end else boundary(text, lowest, max_end)
            trimmed = trim_span(text, start, stop)
            if trimmed and trimmed[1] > reached:
                yield trimmed
            reached = stop
            repeated = stop - self.overlap
            repeats = self.overlap and start < repeated and stop < end
            start = boundary(text, repeated, stop, earliest=True) if repeats else stop

    def _max_end(self, text: str, start: int, end: int) -> int:
        """Return the last position up to which text from `start` is within the limit."""
        if self.model is None:
            return start + self.limit
        window = text[start : min(end, start + self.limit * _MAX_DENSE_TOKEN_CHARACTERS)]
        parts = _build_splitter(self.kind, self.limit, 0, self.model).chunks(window)
        return start + len(parts[0]) if parts else end


def by_characters(limit: int, overlap: int = 0) -> SizeLimit:
    """Return a limit in characters."""
    return SizeLimit(limit, overlap)


def by_tokens(limit: int, overlap: int, model: str) -> SizeLimit:
    """Return a limit in tokens, as a model counts them."""
    return SizeLimit(limit, overlap, model)


def for_markdown(size_limit: SizeLimit) -> SizeLimit:
    """Return the same limit, for text whose lists, tables and fences should not be split."""
    return size_limit._replace(kind="MarkdownSplitter")


@lru_cache(maxsize=64)
def _build_splitter(kind: str, limit: int, overlap: int, model: str | None) -> TextSplitter:
    import semantic_text_splitter

    splitter = getattr(semantic_text_splitter, kind)
    if model is None:
        return splitter(limit, overlap, trim=False)
    # The tokenizers are part of the package: nothing is downloaded.
    return splitter.from_tiktoken_model(model, limit, overlap, trim=False)
