"""Secrets in text from outside: detected in any encoding, and masked.

Defines what counts as a secret and how it may be encoded. Text is masked before it is shortened, as
the beginning of a key is not recognised as one.
"""

from __future__ import annotations

import os
import re

__all__ = ["redact_secrets", "secret_values"]

_MIN_SECRET_LENGTH = 8
"""Values of variables whose names look like secrets are masked from this length on."""

_MIN_KEY_LENGTH = 4
"""Shorter keys are placeholders; masking them would garble the message."""

_MAX_CODINGS = 3  # a URL in a URL in a JSON text

_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)
_SECRET_PATTERNS = (
    (re.compile(r"(?i)\b(Bearer|Basic)\s+[^\s'\"},]+"), r"\1 ***"),
    (re.compile(r"\b(?:sk|pk|rk|gsk|xai|hf|r8|nvapi)[-_][\w.*-]{4,}|\bAIza[\w-]{8,}"), "***"),
    (re.compile(r"(?i)([?&](?:key|api[-_]?key|token|access_token)=)[^&\s'\"]+"), r"\1***"),
    (re.compile(r"(?i)(\bapi[-_]?key['\"]?\s*[:=]\s*['\"]?)[^\s'\",}]+"), r"\1***"),
    (re.compile(r"(://)[^/\s@]+@"), r"\1***@"),
)
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})|\\u([0-9A-Fa-f]{4})|\\x([0-9A-Fa-f]{2})|\\[nrtfv]")
_SEPARATORS = "+\\"  # beside white space: an encoded space, a continued line


def secret_values(key: str | None) -> list[str]:
    """Return the secrets that a message may contain: the key, and those of the environment."""
    values = [value for name, value in os.environ.items() if _SECRET_NAME.search(name)]
    values = [value for value in values if len(value) >= _MIN_SECRET_LENGTH]
    if key and len(key) >= _MIN_KEY_LENGTH:
        values.append(key)
    # Longest first: a shorter one may be a part of it.
    return sorted(values, key=len, reverse=True)


def redact_secrets(text: str, secrets: list[str]) -> str:
    r"""Replace secrets, and strings that look like secrets, with `***`.

    They are found in any case, with white space between their characters, and encoded as in URLs
    or JSON.

    Parameters
    ----------
    secrets
        The longest first.

    Examples
    --------
    >>> redact_secrets("no such key: AB%2D12 34\n56, try Bearer xyz", ["ab-123456"])
    'no such key: ***, try Bearer ***'
    """
    # Before the patterns, which would mask only the beginning of a secret that is split.
    text = _mask(text, secrets)
    for pattern, replacement in _SECRET_PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def _mask(text: str, secrets: list[str]) -> str:
    normalized_secrets = [plain for secret in secrets if (plain := _normalize(secret)[0])]
    if not normalized_secrets:
        return text
    normalized, spans = _normalize(text)
    matches: list[tuple[int, int]] = []
    for secret in normalized_secrets:
        start = normalized.find(secret)
        while start >= 0:
            end = start + len(secret)
            matches.append((spans[start][0], spans[end - 1][1]))
            start = normalized.find(secret, end)
    for start, end in reversed(_merge_spans(matches)):
        text = f"{text[:start]}***{text[end:]}"
    return text


def _normalize(text: str) -> tuple[str, list[tuple[int, int]]]:
    """Return a text without case, white space and encodings, and the spans of its characters."""
    spans = [(position, position + 1) for position in range(len(text))]
    for _ in range(_MAX_CODINGS):
        pieces: list[str] = []
        decoded: list[tuple[int, int]] = []
        end = 0
        for escape in _ESCAPE.finditer(text):
            pieces += text[end : escape.start()]
            decoded += spans[end : escape.start()]
            end = escape.end()
            digits = escape[1] or escape[2] or escape[3]
            pieces.append(chr(int(digits, 16)) if digits else " ")
            decoded.append((spans[escape.start()][0], spans[end - 1][1]))
        if not end:
            break
        pieces += text[end:]
        decoded += spans[end:]
        text, spans = "".join(pieces), decoded
    characters = [
        (char.lower() if char.isascii() else char, span)
        for char, span in zip(text, spans, strict=True)
        if not char.isspace() and char not in _SEPARATORS
    ]
    return "".join(char for char, _ in characters), [span for _, span in characters]


def _merge_spans(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
