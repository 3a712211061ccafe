"""Where sentences end.

Owns the signs that end a sentence in all scripts, and the exceptions: a stop after an abbreviation,
an initial or a number.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from barbule.media.chunking.size_limit import trim_span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from barbule.media.chunking.source import Span

__all__ = ["sentences"]

_CLOSING = r"[\"'”’»›)\]」』）】》〉]*"
# Signs that need a space after them, and signs that need none. Runs of the former without a space
# are matched too, and skipped: trying each sign of a long run would take too long.
_END = re.compile(
    rf"[.!?…‥؟۔։।॥]++(?P<spaced>{_CLOSING}+\s++)?"
    rf"|(?P<dense>[。！？｡．။។]++[!?！？。]*+{_CLOSING}+\s*+)"
)
_AMBIGUOUS_SIGNS = ".…‥"
_ABBREVIATION = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Mx|Dr|Prof|Rev|Hon|Gen|Col|Sgt|Capt|Lt|St|Sr|Jr|Mt|No|Nos|Nr|Vol|Eds?"
    r"|Figs?|Eqs?|Sec|Ch|Art|Tab|Bd|Hrsg|vs|cf|ca|e\.g|i\.e|z\.B|d\.h|u\.a|viz|approx|resp|bzw"
    r"|vgl|pp?)|(?:^|[\s(.])[A-Z]|^\W*(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{1,4}))\.$"
)
_MAX_ABBREVIATION_CHARACTERS = 12


def sentences(text: str, span: Span) -> Iterator[Span]:
    """Yield the sentences of a paragraph; a line break within it does not end one.

    Examples
    --------
    >>> text = "Dr. Who came at 3.5 p.m. today. 'Why?' He left."
    >>> [text[start:end] for start, end in sentences(text, (0, len(text)))]
    ['Dr. Who came at 3.5 p.m. today.', "'Why?'", 'He left.']
    """
    start, last = span
    for match in _END.finditer(text, start, last):
        if match.lastgroup is None:
            continue
        end = match.end()
        stop = match.start()
        if (
            text[stop] in _AMBIGUOUS_SIGNS
            and end < last
            and not _ends_sentence(text, start, stop, end)
        ):
            continue
        sentence = trim_span(text, start, end)
        if sentence:
            yield sentence
        start = end
    sentence = trim_span(text, start, last)
    if sentence:
        yield sentence


def _ends_sentence(text: str, start: int, stop: int, following: int) -> bool:
    """Return whether a stop ends a sentence: another may begin after it."""
    if text[following].islower():
        return False
    preceding = text[max(start, stop - _MAX_ABBREVIATION_CHARACTERS) : stop + 1]
    if stop - start > _MAX_ABBREVIATION_CHARACTERS:
        preceding = "…" + preceding  # not the beginning of a sentence
    return _ABBREVIATION.search(preceding) is None
