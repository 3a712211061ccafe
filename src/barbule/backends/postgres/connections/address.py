"""The location of a Postgres database: from a URL to the connection string of its drivers.

Owns the settings of the URL, and that messages never show a password.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from barbule.errors import ConfigurationError

__all__ = ["Address", "read_address"]

# No thread waits for ever for an unreachable machine. The URL may override these.
_KEEPALIVES = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
_TIMEOUTS = {"connect_timeout": 10, "tcp_user_timeout": 60_000, **_KEEPALIVES}


@dataclass(frozen=True)
class Address:
    """The address of a database.

    Attributes
    ----------
    display_url
        The URL without password, for messages.
    lock_timeout
        Maximum seconds that a statement waits for a lock.
    """

    display_url: str
    lock_timeout: float
    _parameters: dict[str, str] = field(repr=False)

    @property
    def conninfo(self) -> str:
        """The connection string of libpq, which both drivers take."""
        from psycopg.conninfo import make_conninfo

        settings = [
            *([options] if (options := self._parameters.get("options")) else []),
            # For Postgres, zero would mean no timeout.
            f"-c lock_timeout={max(1, math.ceil(self.lock_timeout * 1000))}",
            "-c TimeZone=UTC",
            # The locks of a client that has lost its network are released after a minute.
            *(f"-c tcp_{name}={value}" for name, value in _KEEPALIVES.items()),
        ]
        if schema := self._parameters.get("schema"):
            quoted = '"' + schema.replace('"', '""') + '"'
            settings.append(f"-c search_path={_escaped(quoted)}")
        parameters: dict[str, Any] = {
            **_TIMEOUTS,
            **self._parameters,
            "options": " ".join(settings),
        }
        parameters.pop("schema", None)
        # Shows others who holds a lock; the pid is the client's, which a user can find.
        parameters["application_name"] = f"barbule:{os.getpid()}"
        return make_conninfo("", **parameters)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(" ", "\\ ")


def read_address(url: str, lock_timeout: float) -> Address:
    """Read `postgres://user:password@host:port/database?schema=…&lock_timeout=…`.

    Other parameters after the question mark (`sslmode`, `connect_timeout`) are passed to libpq. By
    default the connection timeout is 10 s, and a connection is lost a minute after the machine
    becomes unreachable.

    Raises
    ------
    ConfigurationError
        If a part is invalid; the password is never shown.

    Examples
    --------
    >>> read_address("postgres://app:secret@db/app?lock_timeout=5", 60).display_url
    'postgres://app@db/app'
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        query = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True))
    except ValueError:
        # The error itself may quote the password.
        raise ConfigurationError(
            "the URL of the Postgres database is invalid.",
            hint="Write e.g. postgres://user:password@host:5432/database, and %40 for an @ "
            "in the password.",
        ) from None
    host = unquote(parts.hostname or "")
    database, _, schema = unquote(parts.path.removeprefix("/")).partition("/")
    user = unquote(parts.username or "")
    login = f"{user}@" if user else ""
    display_url = f"postgres://{login}{host}{f':{port}' if port else ''}/{database}"
    timeout = query.pop("lock_timeout", None)
    parameters = {
        "host": host,
        "port": str(port or ""),
        "user": user,
        "password": unquote(parts.password or ""),
        "dbname": database,
        "schema": schema,
        **query,
    }
    return Address(
        display_url=display_url,
        lock_timeout=lock_timeout if timeout is None else _parse_seconds(timeout, display_url),
        _parameters={key: value for key, value in parameters.items() if value},
    )


def _parse_seconds(text: str, display_url: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < 1_000_000:  # noqa: PLR2004 - Postgres' largest timeout
        raise ConfigurationError(
            f"{display_url}: lock_timeout must be a number of seconds.",
            value=text,
            hint="For example ?lock_timeout=30.",
        )
    return seconds
