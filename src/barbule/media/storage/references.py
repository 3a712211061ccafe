"""References to the objects of a media store.

Owns the form `media:<sha256>.<suffix>`. The store decides where objects are stored.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from barbule.errors import MediaError
from barbule.locations import redact_uri

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "StoredObject",
    "display_name",
    "is_object_name",
    "modification_time",
    "normalized_suffix",
    "object_name",
    "references_within",
    "stored_references",
]

_REFERENCE_PATTERN = r"media:([0-9a-f]{64})\.([a-z0-9]{1,16})"
_REFERENCE = re.compile(_REFERENCE_PATTERN)
_EMBEDDED_REFERENCE = re.compile(rf"{_REFERENCE_PATTERN}(?![a-z0-9])")
_SUFFIX = re.compile(r"[a-z0-9]{1,16}")


@dataclass(frozen=True)
class StoredObject:
    """One object of a store.

    Attributes
    ----------
    name
        The part after `media:` in its reference; for an unfinished file, the name of the file.
    modified
        When it was last put.
    finished
        Whether it is an object; False for a file that a crash left unfinished.
    """

    name: str
    size: int
    modified: datetime.datetime
    finished: bool = True


def stored_references(text: str) -> Iterator[str]:
    """Find the references to stored objects in a string, for example a cell or a JSON text.

    Examples
    --------
    >>> frame = "frame:1.5:media:" + "0" * 64 + ".mp4"
    >>> [reference[:10] for reference in stored_references(frame)]
    ['media:0000']
    """
    for match in _EMBEDDED_REFERENCE.finditer(text):
        yield match[0]


def references_within(value: object) -> Iterator[str]:
    """Find the references to stored objects within a cell, nested or not.

    Examples
    --------
    >>> stored = "media:" + "0" * 64 + ".png"
    >>> [reference[:10] for reference in references_within({"pages": [{"image": stored}, None]})]
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


def is_object_name(name: str) -> bool:
    """Whether a value is the name of an object, the part after `media:` in a reference."""
    return _REFERENCE.fullmatch(f"media:{name}") is not None


def modification_time(info: dict[str, Any]) -> datetime.datetime:
    """Return when an object was written, according to its file system."""
    for key in ("mtime", "LastModified", "last_modified", "updated", "created"):
        value = info.get(key)
        if isinstance(value, datetime.datetime):
            return value if value.tzinfo else value.replace(tzinfo=datetime.UTC)
        if isinstance(value, int | float):
            return datetime.datetime.fromtimestamp(value, datetime.UTC)
        if isinstance(value, str):
            return datetime.datetime.fromisoformat(value)
    return datetime.datetime.now(datetime.UTC)  # unknown: assumed to be new, so it stays


def normalized_suffix(suffix: str) -> str:
    """Return a suffix in the form that references have.

    Raises
    ------
    MediaError
        If it is not one to 16 letters and digits.
    """
    normalized = suffix.removeprefix(".").lower()
    if not _SUFFIX.fullmatch(normalized):
        raise MediaError(
            f"{suffix!r} is not a file suffix.", hint="Use letters and digits, for example 'png'."
        )
    return normalized


def object_name(ref: str) -> str:
    """Return the part after `media:` in a reference.

    Raises
    ------
    MediaError
        If it is malformed.
    """
    match = _REFERENCE.fullmatch(ref)
    if not match:
        raise MediaError(
            "the media reference is malformed.",
            value=ref,
            hint="A reference is media:<64 hex digits>.<suffix>, as the media store returns it.",
        )
    return ref.removeprefix("media:")


def display_name(reference: str) -> str | None:
    """Return the name of a file in messages, if it differs from its path."""
    if reference.startswith("media:"):
        return f"the content that is stored as {reference}"
    return redact_uri(reference) if ":" in reference[:12] else None
