"""Where a Postgres database is: from a URL to what its drivers take.

Owns the URL's own settings and that no password is ever shown.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from barbule.errors import ConfigurationError

__all__ = ["Address", "read_address"]

# Nobody waits without end for a machine that has gone. The URL may say otherwise.
_KEEPALIVES = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
_ENDS = {"connect_timeout": 10, "tcp_user_timeout": 60_000, **_KEEPALIVES}


@dataclass(frozen=True)
class Address:
    """A database, and how it is talked to.

    Attributes
    ----------
    shown
        The URL without password, for messages.
    lock_timeout
        How long a statement waits for what others use, in seconds.
    """

    shown: str
    lock_timeout: float
    _parameters: dict[str, str] = field(repr=False)

    @property
    def conninfo(self) -> str:
        """The connection string of libpq, which both drivers take."""
        from psycopg.conninfo import make_conninfo

        options = [
            *([given] if (given := self._parameters.get("options")) else []),
            # Nothing waits for ever. Zero would mean just that to Postgres.
            f"-c lock_timeout={max(1, math.ceil(self.lock_timeout * 1000))}",
            "-c TimeZone=UTC",
            # What a client holds that has lost its way to the server is free after a minute.
            *(f"-c tcp_{name}={value}" for name, value in _KEEPALIVES.items()),
        ]
        if schema := self._parameters.get("schema"):
            quoted = '"' + schema.replace('"', '""') + '"'
            options.append(f"-c search_path={_escaped(quoted)}")
        parameters: dict[str, Any] = {**_ENDS, **self._parameters, "options": " ".join(options)}
        parameters.pop("schema", None)
        # Tells others who holds a lock; the pid is the client's, which a user can find.
        parameters["application_name"] = f"barbule:{os.getpid()}"
        return make_conninfo("", **parameters)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(" ", "\\ ")


def read_address(url: str, lock_timeout: float) -> Address:
    """Read `postgres://user:password@host:port/database?schema=…&lock_timeout=…`.

    What else stands behind the question mark (`sslmode`, `connect_timeout`) is libpq's. Without
    it a connection is tried for 10 s, and counts as lost a minute after the machine has gone.

    Raises
    ------
    ConfigurationError
        When a part cannot be read; the password is never shown.

    Examples
    --------
    >>> read_address("postgres://app:secret@db/app?lock_timeout=5", 60).shown
    'postgres://app@db/app'
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        query = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True))
    except ValueError:
        # The error's own words may quote the password.
        raise ConfigurationError(
            "the URL of the Postgres database cannot be read.",
            hint="Write e.g. postgres://user:password@host:5432/database, and %40 for an @ "
            "in the password.",
        ) from None
    host = unquote(parts.hostname or "")
    database, _, schema = unquote(parts.path.removeprefix("/")).partition("/")
    user = unquote(parts.username or "")
    place = f"{user}@" if user else ""
    shown = f"postgres://{place}{host}{f':{port}' if port else ''}/{database}"
    timeout = query.pop("lock_timeout", None)
    given = {
        "host": host,
        "port": str(port or ""),
        "user": user,
        "password": unquote(parts.password or ""),
        "dbname": database,
        "schema": schema,
        **query,
    }
    return Address(
        shown=shown,
        lock_timeout=lock_timeout if timeout is None else _seconds(timeout, shown),
        _parameters={key: value for key, value in given.items() if value},
    )


def _seconds(text: str, shown: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < 1_000_000:  # noqa: PLR2004 - beyond it Postgres' milliseconds end
        raise ConfigurationError(
            f"{shown}: lock_timeout is a number of seconds.",
            value=text,
            hint="For example ?lock_timeout=30.",
        )
    return seconds
