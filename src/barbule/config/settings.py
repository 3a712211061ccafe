"""The settings records, and the redaction of secrets in addresses.

Defines the frozen dataclasses and `redact`. It validates nothing and looks nothing up.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = [
    "LOCK_TIMEOUT",
    "SECRET_WORDS",
    "TIMEZONE",
    "ZONE_NAMES",
    "BudgetSettings",
    "LedgerSettings",
    "MediaSettings",
    "ProviderSettings",
    "SearchSettings",
    "Settings",
    "is_timezone",
    "redact",
]

LOCK_TIMEOUT: Final = 60.0
TIMEZONE: Final = "UTC"
ZONE_NAMES: Final = 'the name of a time zone, like "Europe/Berlin" or "UTC"'
SECRET_WORDS: Final = r"(?:pass(?:word|wd)?|pwd|token|secret|key|sig|signature|credentials?)"  # noqa: S105 - no password

_USER: Final = re.compile(r"://[^:@/?#\s]*+:")
_HTTP_USER: Final = re.compile(r"(https?://)[^:@/?#\s]+@")
_PARAMETER: Final = re.compile(
    rf"((?:^|[?&;\s])(?>[^=&;?\s/]*?{SECRET_WORDS})[^=&;?\s/]*+=)[^&;#\s]*", re.IGNORECASE
)


def is_timezone(name: object) -> bool:
    """Whether a string is the name of a time zone.

    Examples
    --------
    >>> is_timezone("Europe/Berlin"), is_timezone("Europe/Berlln")
    (True, False)
    """
    from zoneinfo import ZoneInfo

    if not isinstance(name, str):
        return False
    try:
        return ZoneInfo(name).key == name
    except (KeyError, ValueError, OSError):  # an unknown zone, or an invalid file name
        return False


def redact(text: str) -> str:
    """Replace the passwords, keys and tokens of a URL with `***`.

    Parameters
    ----------
    text
        A URL, or a string of `key=value` parameters.

    Returns
    -------
    str
        The string for a message, a repr or a log.

    Examples
    --------
    >>> redact("postgres://app:hunter2@db/app?sslkey=abc&sslmode=require")
    'postgres://app:***@db/app?sslkey=***&sslmode=require'
    """
    # Up to the last "@": an unescaped password may hold any character.
    head, at, tail = text.rpartition("@")
    if at and (user := _USER.search(head)):
        text = f"{head[: user.end()]}***@{tail}"
    text = _HTTP_USER.sub(r"\1***@", text)
    return _PARAMETER.sub(r"\1***", text)


class _Redacted:
    """A record whose repr masks the secrets of its addresses."""

    __slots__ = ()

    def __repr__(self) -> str:
        parts = (f"{name}={_repr(getattr(self, name))}" for name in _names(self))
        return f"{type(self).__name__}({', '.join(parts)})"


def _names(record: Any) -> list[str]:
    return [record_field.name for record_field in fields(record)]


def _repr(value: object) -> str:
    if isinstance(value, MappingProxyType):
        return repr(dict(value))
    return repr(redact(value) if isinstance(value, str) else value)


@dataclass(frozen=True, slots=True, repr=False)
class ProviderSettings(_Redacted):
    """The connection settings of one model provider.

    Parameters
    ----------
    api_base
        Address of the endpoint; None uses the provider's own.
    api_key_env
        Name of the environment variable that holds the key; None uses the provider's usual
        variable.
    max_concurrency
        The maximum number of calls in flight.
    rpm, tpm
        Requests and tokens per minute; None sets no limit.
    timeout
        Timeout of one call, in seconds.
    """

    api_base: str | None = None
    api_key_env: str | None = None
    max_concurrency: int = 64
    rpm: int | None = None
    tpm: int | None = None
    timeout: float = 600.0


@dataclass(frozen=True, slots=True)
class MediaSettings:
    """What may be downloaded, and how media files are stored.

    Parameters
    ----------
    allow_private
        Whether URLs on loopback and private networks may be downloaded.
    max_bytes
        The size of the largest accepted file, in bytes.
    image_format
        The format of computed images: "png", lossless; or "webp", small.
    cache_bytes
        The maximum size of local copies of remote files, in bytes; the least recently used copies
        are deleted first.
    timeout
        Seconds to wait for a connection, and for each part of a response.
    time_limit
        Maximum seconds for a complete file, including redirects and retries; also for each object
        and each listing of a remote media store.
    validation
        When media files are validated, unless a table sets it: "on_write" or "on_read".
    max_elements
        The maximum number of XML elements in a DOCX, PPTX or EPUB file.
    max_cells
        The maximum number of cells in a spreadsheet, including empty cells between others.
    max_pages
        The maximum number of pages in a PDF.
    max_text
        The maximum number of characters of text that are read from a document.
    isolate
        Whether documents are read in separate processes, which are killed at the two limits below;
        by default downloaded documents and PDFs.
    max_memory
        The memory limit of such a process in bytes, plus 8 bytes for each byte of the file.
    max_seconds
        The CPU seconds of such a process for a file of up to one megabyte, and for each megabyte of
        a larger file.
    """

    allow_private: bool = False
    max_bytes: int = 268_435_456
    image_format: str = "png"
    cache_bytes: int = 10_737_418_240
    timeout: float = 30.0
    time_limit: float = 300.0
    validation: str = "on_write"
    max_elements: int = 1_000_000
    max_cells: int = 5_000_000
    max_pages: int = 20_000
    max_text: int = 100_000_000
    isolate: bool | None = None
    max_memory: int = 750_000_000
    max_seconds: float = 8.0


@dataclass(frozen=True, slots=True)
class BudgetSettings:
    """Hard caps on model calls; None sets no cap.

    Parameters
    ----------
    usd
        The maximum cost of the calls, in US dollars.
    calls
        The maximum number of calls.
    tokens
        The maximum number of tokens, input and output.
    """

    usd: float | None = None
    calls: int | None = None
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """How long answers are kept in the call ledger; None keeps them for ever.

    Parameters
    ----------
    max_age_days
        Older answers are dropped.
    max_bytes
        If all answers take more bytes, the oldest are dropped.
    """

    max_age_days: float | None = None
    max_bytes: int | None = None

    @property
    def max_age(self) -> datetime.timedelta | None:
        """The age as a duration."""
        days = self.max_age_days
        return None if days is None else datetime.timedelta(days=days)


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How vectors are cached for search.

    Parameters
    ----------
    max_matrix_bytes
        The memory, in bytes, for vectors that are cached for exact scans; 0 caches none.
    m, ef_construction
        Links of a vector in Chroma's graph, and the number of candidates when they are chosen. They
        apply to indexes that are created later.
    ef_search
        The number of vectors of the graph that a search examines.
    """

    max_matrix_bytes: int = 536_870_912
    m: int = 16
    ef_construction: int = 100
    ef_search: int = 200


@dataclass(frozen=True, slots=True, repr=False)
class Settings(_Redacted):
    """The settings of a session, resolved and checked.

    Parameters
    ----------
    home
        The folder for defaults.
    backend
        Ibis URL of the database; a database file is an absolute path, `duckdb://` is in memory.
    vectors
        `chroma:///<folder>`, `chroma+http://<host>:<port>`, `chroma+https://…` or `exact:`.
    media
        fsspec URL of the media store; a local folder is an absolute path.
    models
        Settings by provider prefix, for the providers that were configured.
    media_options
        What may be downloaded into the media store.
    source
        The configuration file that was used, if any.
    budget
        The caps on model calls.
    lock_timeout
        How long to wait for another process that uses the database, in seconds.
    search
        How vectors are cached for search.
    ledger
        How long answers are kept in the call ledger.
    timezone
        The time zone of timestamps that have none, by its name in the IANA database.
    """

    home: Path
    backend: str
    vectors: str
    media: str
    models: Mapping[str, ProviderSettings]
    media_options: MediaSettings
    source: Path | None
    budget: BudgetSettings = field(default_factory=BudgetSettings)
    lock_timeout: float = LOCK_TIMEOUT
    search: SearchSettings = field(default_factory=SearchSettings)
    ledger: LedgerSettings = field(default_factory=LedgerSettings)
    timezone: str = TIMEZONE

    def provider(self, name: str) -> ProviderSettings:
        """Return the settings of a provider prefix; the defaults if none are configured."""
        return self.models.get(name, ProviderSettings())
