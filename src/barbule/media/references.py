"""References to what a media store keeps, and how an object of one is told.

Owns the form `media:<sha256>.<suffix>`. Where objects are kept is the store's business.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from barbule.errors import MediaError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Stored",
    "ending_of",
    "is_name",
    "modified",
    "name_of",
    "references_within",
    "stored_references",
]

_FORM = r"media:([0-9a-f]{64})\.([a-z0-9]{1,16})"
_REFERENCE = re.compile(_FORM)
_WITHIN = re.compile(rf"{_FORM}(?![a-z0-9])")
_SUFFIX = re.compile(r"[a-z0-9]{1,16}")


@dataclass(frozen=True)
class Stored:
    """One object of a store.

    Attributes
    ----------
    name
        What follows `media:` in its reference; of an unfinished file its own name.
    modified
        When it was put last.
    finished
        Whether it is an object; False for what a crash left of one.
    """

    name: str
    size: int
    modified: datetime.datetime
    finished: bool = True


def stored_references(text: str) -> Iterator[str]:
    """Find the references to stored objects within a text, say a cell or a JSON text.

    Examples
    --------
    >>> frame = "frame:1.5:media:" + "0" * 64 + ".mp4"
    >>> [reference[:10] for reference in stored_references(frame)]
    ['media:0000']
    """
    for found in _WITHIN.finditer(text):
        yield found[0]


def references_within(value: Any) -> Iterator[str]:
    """Find the references to stored objects within a cell, nested or not.

    Examples
    --------
    >>> stored = "media:" + "0" * 64 + ".png"
    >>> [each[:10] for each in references_within({"pages": [{"image": stored}, None]})]
    ['media:0000']
    """
    if isinstance(value, str):
        yield from stored_references(value)
    elif isinstance(value, dict):
        for item in value.items():
            yield from references_within(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from references_within(item)


def is_name(name: str) -> bool:
    """Whether something is the name of an object, what follows `media:` in a reference."""
    return _REFERENCE.fullmatch(f"media:{name}") is not None


def modified(info: dict[str, Any]) -> datetime.datetime:
    """Return when an object was written, as the file system tells it."""
    for key in ("mtime", "LastModified", "last_modified", "updated", "created"):
        value = info.get(key)
        if isinstance(value, datetime.datetime):
            return value if value.tzinfo else value.replace(tzinfo=datetime.UTC)
        if isinstance(value, int | float):
            return datetime.datetime.fromtimestamp(value, datetime.UTC)
        if isinstance(value, str):
            return datetime.datetime.fromisoformat(value)
    return datetime.datetime.now(datetime.UTC)  # unknown: as young as can be, so it stays


def ending_of(suffix: str) -> str:
    """Return a suffix as it stands in a reference.

    Raises
    ------
    MediaError
        If it is not one to 16 letters and digits.
    """
    ending = suffix.removeprefix(".").lower()
    if not _SUFFIX.fullmatch(ending):
        raise MediaError(
            f"{suffix!r} is not a file suffix.", hint="Give letters and digits, like 'png'."
        )
    return ending


def name_of(ref: str) -> str:
    """Return what follows `media:` in a reference.

    Raises
    ------
    MediaError
        If it is malformed.
    """
    found = _REFERENCE.fullmatch(ref)
    if not found:
        raise MediaError(
            "the media reference is malformed.",
            value=ref,
            hint="A reference is media:<64 hex digits>.<suffix>, as the store gave it.",
        )
    return ref.removeprefix("media:")
