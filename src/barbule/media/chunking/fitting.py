"""Text that is longer than a chunk may be, cut at the best places within.

Owns the limits in characters and in tokens. Text with spaces is semantic-text-splitter's, from
paragraphs down to words; where a script has none, `dense` finds the places.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from barbule.media.chunking.dense import boundary, is_dense

if TYPE_CHECKING:
    from collections.abc import Iterator

    from barbule.media.chunking.source import Span

__all__ = ["Fitting", "by_characters", "by_tokens", "markdown", "trimmed"]

# The least characters of a window, and the least of its limits; the chunks behind which a chunk
# does not depend on where the window ends.
_WINDOW = 50_000
_WINDOW_LIMITS = 64
_TAIL = 8
# In scripts without spaces no token holds more characters.
_TOKEN_REACH = 8
# Only runs of blanks are tokens of more characters.
_LONGEST_TOKEN = 8


def trimmed(text: str, start: int, end: int) -> Span | None:
    """Return a span without its blank edges; None of one that is blank."""
    piece = text[start:end]
    body = piece.strip()
    if not body:
        return None
    start = end - len(piece.lstrip())
    return start, start + len(body)


class Fitting(NamedTuple):
    """A limit, and how what exceeds it is cut.

    Parameters
    ----------
    limit, overlap
        In characters, or in tokens of `model`.
    model
        The name of a model whose tokens are counted; None for characters.
    kind
        The class of semantic-text-splitter that cuts text with spaces.
    """

    limit: int
    overlap: int = 0
    model: str | None = None
    kind: str = "TextSplitter"

    def fits(self, text: str) -> bool:
        """Whether text is within the limit."""
        if self.model is None:
            return len(text) <= self.limit
        # A token has at least one byte, so text this short needs no counting.
        return len(text.encode()) <= self.limit or len(self._splitter().chunks(text)) == 1

    def reach_back(self, text: str, before: int, end: int) -> int:
        """Return the first place from which a chunk up to `end` may repeat what is `before`."""
        if self.model is None:
            return max(before - self.overlap, end - self.limit)
        repeated = self._replace(limit=self.overlap, overlap=0)

        def is_within(place: int) -> bool:
            return repeated.fits(text[place:before]) and self.fits(text[place:end])

        places = range(max(before - self.overlap * _LONGEST_TOKEN, 0), before)
        return places.start + bisect_left(places, True, key=is_within)

    def cut(self, text: str, span: Span) -> Iterator[Span]:
        """Cut a span into spans within the limit, without blank edges."""
        for found in self._cut(text, span):
            exceeds = self._joins_blanks(text, span, found) and not self.fits(
                text[found[0] : found[1]]
            )
            if exceeds and self.limit > 1:
                yield from self._replace(limit=self.limit - 1, overlap=0).cut(text, found)
            else:
                yield found

    def _joins_blanks(self, text: str, span: Span, found: Span) -> bool:
        """Tell whether a piece may count more tokens now that the blanks around it are off.

        There are tokens of a blank and the word behind it, and of a sign and a line break.
        """
        first, last = found
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
            found = trimmed(text, first, last)
            # A chunk may hold nothing but overlap once its white space is off.
            if found and found[1] > reached:
                reached = found[1]
                yield found

    def limited(self, text: str, spans: Iterator[Span]) -> Iterator[Span]:
        """Cut those of the spans that exceed the limit."""
        for start, end in spans:
            if len(text[start:end].encode()) <= self.limit:
                yield start, end
            else:
                yield from self.cut(text, (start, end))

    def _windows(self, text: str, start: int, end: int) -> Iterator[Span]:
        """Yield the splitter's chunks of a text, which it gets window by window.

        For each chunk it goes through all breaks behind it, so that its time grows with the
        square of the text. What it decides depends on what is near, but for the structure of
        Markdown.
        """
        size = max(_WINDOW, _WINDOW_LIMITS * self.limit)
        while start + size < end and self.kind == "TextSplitter":
            found = self._spans(text, start, start + size)
            resumed = self._resumption(text, found, start + size)
            if resumed:
                yield from found[:resumed]
                start = found[resumed][0]
            else:
                size *= 2
        yield from self._spans(text, start, end)

    def _resumption(self, text: str, found: list[Span], stop: int) -> int:
        """Return the last chunk well before `stop` from which the splitter would go on alike.

        It is 0 where there is none: with an overlap that begins within a word, for example.
        """
        reach = (stop - found[0][0]) // 4
        last = bisect_left(found, (stop - reach, 0), hi=max(len(found) - _TAIL, 0)) - 1
        for index in range(last, max(last - _TAIL, 0), -1):
            again = self._spans(text, found[index][0], stop)
            if again[:2] == found[index : index + 2]:
                return index
        return 0

    def _spans(self, text: str, start: int, end: int) -> list[Span]:
        found = self._splitter().chunk_indices(text[start:end])
        return [(start + offset, start + offset + len(part)) for offset, part in found]

    def _splitter(self) -> Any:
        return _made(self.kind, self.limit, self.overlap, self.model)

    def _cut_dense(self, text: str, span: Span) -> Iterator[Span]:
        start, end = span
        reached = start
        while start < end:
            most = self._reach(text, start, end)
            if most <= reached < end:
                start = reached  # what it repeats would leave no room for more
                continue
            # A place in the first half would leave chunks half empty.
            lowest = max(start + (most - start) // 2, reached)
            stop = end if most >= end else boundary(text, lowest, most)
            found = trimmed(text, start, stop)
            if found and found[1] > reached:
                yield found
            reached = stop
            repeated = stop - self.overlap
            repeats = self.overlap and start < repeated and stop < end
            start = boundary(text, repeated, stop, earliest=True) if repeats else stop

    def _reach(self, text: str, start: int, end: int) -> int:
        """Return the furthest place up to which text from `start` is within the limit."""
        if self.model is None:
            return start + self.limit
        window = text[start : min(end, start + self.limit * _TOKEN_REACH)]
        parts = _made(self.kind, self.limit, 0, self.model).chunks(window)
        return start + len(parts[0]) if parts else end


def by_characters(limit: int, overlap: int = 0) -> Fitting:
    """Return the limit of so many characters."""
    return Fitting(limit, overlap)


def by_tokens(limit: int, overlap: int, model: str) -> Fitting:
    """Return the limit of so many tokens, as a model counts them."""
    return Fitting(limit, overlap, model)


def markdown(fitting: Fitting) -> Fitting:
    """Return the same limit, for text whose lists, tables and fences should stay whole."""
    return fitting._replace(kind="MarkdownSplitter")


@lru_cache(maxsize=64)
def _made(kind: str, limit: int, overlap: int, model: str | None) -> Any:
    import semantic_text_splitter

    splitter = getattr(semantic_text_splitter, kind)
    if model is None:
        return splitter(limit, overlap, trim=False)
    # The tokenizers are inside the package: nothing is fetched.
    return splitter.from_tiktoken_model(model, limit, overlap, trim=False)
