"""What a trace may show of texts: statements without the values in them, nothing secret.

Owns the masks. A trace is attached to reports, so it holds neither cells nor keys.
"""

from __future__ import annotations

import re

from barbule.redaction import redact_secrets, secret_values

__all__ = ["TextMask", "masked_statement"]

MAX_READ_CHARACTERS = 4000
_MAX_CHARACTERS = 400
# A text that was cut ends within a literal, which its end closes.
_TOKENS = re.compile(
    r"""
    (?P<comment>--[^\n]*|/\*.*?(?:\*/|$))
    |"(?P<name>(?:[^"]|"")*)(?:"|$)
    |(?P<tagged>\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|$))
    |(?P<escaped>\b[eE]'(?:[^'\\]|\\.|'')*(?:'|\\?$))
    |(?P<text>(?:\b[xXbBuU]&?)?'(?:[^']|'')*(?:'|$))
    |(?P<truth>\b(?:TRUE|FALSE)\b)
    |(?P<number>(?<![\w.$])\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    """,
    re.VERBOSE | re.DOTALL,
)
_VALUES = re.compile(r"(?<=\()|['\"]|^[-\d]|^(?:True|False)$")
_REPEATED = re.compile(r"(\((?:\?(?:, )?)+\))(?:, \1)+")


def masked_statement(sql: str) -> str:
    r"""Return a statement with `?` for each value in it, shortened.

    Examples
    --------
    >>> masked_statement('INSERT INTO "films" ("c1") VALUES (7), (8)')
    'INSERT INTO "films" ("c1") VALUES (?), …'
    >>> masked_statement("SELECT c7 FROM t WHERE c7 = 3.5 AND c8 = 'a")
    'SELECT c7 FROM t WHERE c7 = ? AND c8 = ?'
    """
    masked = _TOKENS.sub(_masked_token, sql[:MAX_READ_CHARACTERS])
    masked = _REPEATED.sub(r"\1, …", " ".join(masked.split()))
    return masked if len(masked) <= _MAX_CHARACTERS else f"{masked[: _MAX_CHARACTERS - 1]}…"


def _masked_token(token: re.Match[str]) -> str:
    if token["comment"] is not None:
        return ""
    name = token["name"]
    if name is None:
        return "?"
    # Ibis names a value after its expression, literals included: "Equals(title, 'Up')", "7".
    kept = _VALUES.split(name, maxsplit=1)[0]
    return token[0] if kept == name else f'"{kept}…"'


class TextMask:
    """Masks what looks like a secret in the texts of one trace, each text once."""

    def __init__(self) -> None:
        self._secrets = secret_values(None)
        self._masked: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        """Return a text without secrets."""
        if text not in self._masked:
            self._masked[text] = redact_secrets(text, self._secrets)
        return self._masked[text]
