r"""Secrets in texts from outside: found however they are written, and hidden.

Owns what counts as a secret and as a way to write one. Texts are hidden from before they are
cut: the beginning of a key is not known for one.
"""

from __future__ import annotations

import os
import re

__all__ = ["redacted", "secrets_of"]

_SHORTEST_SECRET = 8
"""What stands in a variable that looks like a secret is hidden from this length on."""

_SHORTEST_KEY = 4
"""Shorter keys are placeholders; hiding them would garble the message."""

_MAX_CODINGS = 3  # a URL in a URL in a JSON text

_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)
_SECRET_PATTERNS = (
    (re.compile(r"(?i)\b(Bearer|Basic)\s+[^\s'\"},]+"), r"\1 ***"),
    (re.compile(r"\b(?:sk|pk|rk|gsk|xai|hf|r8|nvapi)[-_][\w.*-]{4,}|\bAIza[\w-]{8,}"), "***"),
    (re.compile(r"(?i)([?&](?:key|api[-_]?key|token|access_token)=)[^&\s'\"]+"), r"\1***"),
    (re.compile(r"(?i)(\bapi[-_]?key['\"]?\s*[:=]\s*['\"]?)[^\s'\",}]+"), r"\1***"),
    (re.compile(r"(://)[^/\s@]+@"), r"\1***@"),
)
_CODED = re.compile(r"%([0-9A-Fa-f]{2})|\\u([0-9A-Fa-f]{4})|\\x([0-9A-Fa-f]{2})|\\[nrtfv]")
_SEPARATORS = "+\\"  # beside white space: a space of a URL, a line that goes on


def secrets_of(key: str | None) -> list[str]:
    """Return the keys that a message could hold: ours, and those LiteLLM reads for itself."""
    found = [value for name, value in os.environ.items() if _SECRET_NAME.search(name)]
    found = [value for value in found if len(value) >= _SHORTEST_SECRET]
    if key and len(key) >= _SHORTEST_KEY:
        found.append(key)
    # Longest first: a shorter one may be a part of it.
    return sorted(found, key=len, reverse=True)


def redacted(text: str, secrets: list[str]) -> str:
    r"""Replace secrets by `***`, and what looks like one.

    They are found in any case, with white space between their characters, and encoded as in URLs
    or JSON.

    Parameters
    ----------
    secrets
        The longest first.

    Examples
    --------
    >>> redacted("no such key: AB%2D12 34\n56, try Bearer xyz", ["ab-123456"])
    'no such key: ***, try Bearer ***'
    """
    # First: a pattern would take the beginning of one that is split, and leave the rest.
    text = _without(text, secrets)
    for pattern, shown in _SECRET_PATTERNS:
        text = pattern.sub(shown, text)
    return text


def _without(text: str, secrets: list[str]) -> str:
    wanted = [plain for secret in secrets if (plain := _plain(secret)[0])]
    if not wanted:
        return text
    plain, places = _plain(text)
    found: list[tuple[int, int]] = []
    for secret in wanted:
        start = plain.find(secret)
        while start >= 0:
            end = start + len(secret)
            found.append((places[start][0], places[end - 1][1]))
            start = plain.find(secret, end)
    for start, end in reversed(_merged(found)):
        text = f"{text[:start]}***{text[end:]}"
    return text


def _plain(text: str) -> tuple[str, list[tuple[int, int]]]:
    """Return a text without case, white space and encodings; and where its characters stand."""
    places = [(at, at + 1) for at in range(len(text))]
    for _ in range(_MAX_CODINGS):
        pieces: list[str] = []
        decoded: list[tuple[int, int]] = []
        end = 0
        for coded in _CODED.finditer(text):
            pieces += text[end : coded.start()]
            decoded += places[end : coded.start()]
            end = coded.end()
            digits = coded[1] or coded[2] or coded[3]
            pieces.append(chr(int(digits, 16)) if digits else " ")
            decoded.append((places[coded.start()][0], places[end - 1][1]))
        if not end:
            break
        pieces += text[end:]
        decoded += places[end:]
        text, places = "".join(pieces), decoded
    kept = [
        (char.lower() if char.isascii() else char, place)
        for char, place in zip(text, places, strict=True)
        if not char.isspace() and char not in _SEPARATORS
    ]
    return "".join(char for char, _ in kept), [place for _, place in kept]


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
