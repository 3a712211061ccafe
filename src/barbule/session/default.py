"""The default session: the only global state apart from the function registry.

Defines `connect`, and the behaviour of the default session in a forked child and at exit.
"""

from __future__ import annotations

import atexit
import os
import threading
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from barbule.backends.opening import is_persistent
from barbule.config import ProviderSettings, checked_timezone, load_settings
from barbule.errors import ConfigurationError
from barbule.session.session import Session
from barbule.suggestions import check_arguments
from barbule.tracing import operation

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["connect", "current"]

_lock = threading.RLock()
_default: Session | None = None


@check_arguments
def connect(
    backend: str | None = None,
    *,
    vectors: str | None = None,
    media: str | None = None,
    home: str | None = None,
    models: Mapping[str, Mapping[str, Any]] | None = None,
    lock_timeout: float | None = None,
    timezone: str | None = None,
) -> Session:
    """Open a session and make it the default session.

    Without a call of `connect`, the first use connects with the configuration. The first verb that
    uses a database creates barbule's own tables in it, `bb_...`, even if another program created
    the database.

    Parameters
    ----------
    backend
        Where tables, catalog and call ledger are stored: "duckdb:///data/app.duckdb".
    vectors
        Where vector indexes are stored: "chroma:///data/vectors", "chroma+http://host:8000",
        "exact:".
    media
        Where media files are stored: any fsspec URL, or a path.
    home
        The folder for everything without another location; ~/.barbule by default.
    models
        Settings of providers by their LiteLLM prefix, as in `[models.<prefix>]` of the
        configuration: `{"openai": {"api_base": "http://localhost:8080/v1"}}`.

    lock_timeout
        How long to wait for another process that uses a DuckDB file, or writes to Postgres, in
        seconds; 60 by default.
    timezone
        The time zone of timestamps without a zone when they are combined with timestamps that have
        one, for example "Europe/Berlin"; "UTC" by default. The parts of a timestamp with a zone are
        those of local time in this zone.

    Raises
    ------
    ConfigurationError
        If a key or value is wrong, or the database cannot be opened.
    DiskError
        If its file is damaged or not a DuckDB database, or was deleted or replaced while a session
        of this process has it open.
    LockedError
        If another process holds the database for longer than that.
    """
    global _default  # noqa: PLW0603 - one state of the process
    settings = load_settings(
        backend=backend, vectors=vectors, media=media, home=home, lock_timeout=lock_timeout
    )
    if zone := checked_timezone(timezone, "the argument timezone="):
        settings = replace(settings, timezone=zone)
    if models:
        settings = replace(settings, models={**settings.models, **_provider_settings(models)})
    with _lock:
        with operation("connect"):  # if that fails, the previous session continues
            opened = Session(settings, on_close=_unset_default)
        if _default is not None:
            _default.close()
        _default = opened
        return _default


def _provider_settings(models: Mapping[str, Mapping[str, Any]]) -> dict[str, ProviderSettings]:
    allowed = [field.name for field in fields(ProviderSettings)]
    for name, options in models.items():
        for key in options:
            if key not in allowed:
                raise ConfigurationError(
                    f"models[{name!r}] has no setting {key!r}.",
                    hint=f"Settings are {', '.join(allowed)}; api_key_env names the variable that "
                    "holds the key.",
                )
    return {name: ProviderSettings(**options) for name, options in models.items()}


def current() -> Session:
    """Return the default session, opened on first use; a forked child opens its own."""
    global _default  # noqa: PLW0603 - one state of the process
    with _lock:
        if _default is None:
            return connect()
        if _default.opened_by != os.getpid():
            _inherited.append(_default)
            _default = _reopen(_default)
        return _default


# Sessions of the parent process, kept alive: their finalizers would close its connections.
_inherited: list[Session] = []


def _reopen(inherited: Session) -> Session:
    """Open a session in a forked child, with the settings of its parent's default session."""
    if not is_persistent(inherited.settings.backend):
        raise ConfigurationError(
            f"the database is in the memory of the process {inherited.opened_by}, the parent of "
            "this forked process.",
            hint="Connect to a file or a server before you fork, or call bb.connect(...) in this "
            "process.",
        )
    return Session(inherited.settings, on_close=_unset_default)


def _unset_default(session: Session) -> None:
    """Unset the default session before it is closed, if it is this one."""
    global _default  # noqa: PLW0603 - one state of the process
    with _lock:
        if _default is session:
            _default = None


def _renew_lock() -> None:
    """Replace the lock in a forked child: a thread of the parent may hold it."""
    global _lock  # noqa: PLW0603 - one state of the process
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


@atexit.register
def _close_at_exit() -> None:
    with _lock:
        if _default is not None:
            _default.close()
