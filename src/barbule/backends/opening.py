"""How a URL opens a backend: the adapter of its scheme, of barbule or of an installed package."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from barbule.backends.base import Adapter, Backend
from barbule.errors import ConfigurationError
from barbule.extensions import (
    BACKENDS,
    Extension,
    extension,
    extension_names,
    missing_package_hint,
    unfulfilled,
)

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["is_persistent", "open_backend"]

_ADAPTERS = {
    "duckdb": "barbule.backends.duckdb",
    "postgres": "barbule.backends.postgres",
    "postgresql": "barbule.backends.postgres",
}


def open_backend(url: str, lock_timeout: float = 60.0, home: Path | None = None) -> Backend:
    """Open the backend of a URL.

    Parameters
    ----------
    lock_timeout
        Seconds to wait for another process that uses or writes the database.
    home
        A folder that is created if the database is in it; other folders must exist.

    Raises
    ------
    ConfigurationError
        If no adapter has the scheme, or the database cannot be opened.
    """
    adapter, package = _adapter(url)
    if package is None:
        return adapter.open_backend(url, lock_timeout, home)
    with package.guarded("it opened the database"):
        backend = adapter.open_backend(url, lock_timeout, home)
    if lack := unfulfilled(backend, Backend):
        raise package.problem(f"opened an object that is no backend: it {lack}")
    return backend


def is_persistent(url: str) -> bool:
    """Whether the database of a URL outlives its session.

    Raises
    ------
    ConfigurationError
        If no adapter has the scheme.
    """
    adapter, package = _adapter(url)
    if package is None:
        return adapter.is_persistent(url)
    with package.guarded("it was asked whether the database is persistent"):
        answer: object = adapter.is_persistent(url)
    if not isinstance(answer, bool):
        raise package.problem(f"returned {answer!r} from is_persistent, not True or False")
    return answer


def _adapter(url: str) -> tuple[Adapter, Extension | None]:
    """Return the adapter of a URL, and the extension that provides it if it is not barbule's."""
    scheme = url.split(":", 1)[0]
    if scheme in _ADAPTERS:
        adapter: Adapter = importlib.import_module(_ADAPTERS[scheme])
        return adapter, None
    installed = extension(BACKENDS, scheme)
    if installed is None:
        schemes = sorted({*_ADAPTERS, *extension_names(BACKENDS)})
        raise ConfigurationError(
            f"there is no backend for {scheme!r}.",
            hint=f"Supported schemes: {', '.join(schemes)}; for example duckdb:///data/app.duckdb. "
            f"{missing_package_hint(BACKENDS, scheme)}".rstrip(),
        )
    if lack := unfulfilled(installed.value, Adapter):
        raise installed.problem(
            lack,
            "Its entry point must name a module or an object with the functions open_backend and "
            "is_persistent.",
        )
    adapter = installed.value
    return adapter, installed
