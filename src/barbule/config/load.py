"""Settings from arguments, environment variables, the configuration file and defaults.

Defines their precedence and the environment variables. `addresses` checks the addresses,
`config_file` checks the file.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from barbule.config.addresses import ADDRESS_NAMES, Address, allowed_names, resolve
from barbule.config.config_file import Options, find_file, read_options
from barbule.config.settings import (
    LOCK_TIMEOUT,
    TIMEZONE,
    ZONE_NAMES,
    BudgetSettings,
    LedgerSettings,
    MediaSettings,
    ProviderSettings,
    SearchSettings,
    Settings,
    is_timezone,
)
from barbule.config.trust import TRUSTED_VARIABLE, check_trusted
from barbule.errors import ConfigurationError
from barbule.tracing import TRACE_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["checked_timezone", "load_settings"]

_ADDRESS_VARIABLES: Final = {name: f"BARBULE_{name.upper()}" for name in ADDRESS_NAMES}
_TIMEZONE_VARIABLE: Final = "BARBULE_TIMEZONE"
_TEST_PREFIX: Final = "BARBULE_TEST_"
# Read elsewhere: where local models are loaded, and where operations are traced.
_OTHER_VARIABLES: Final = frozenset({"BARBULE_DEVICE", TRACE_VARIABLE})


def load_settings(
    *,
    backend: str | os.PathLike[str] | None = None,
    vectors: str | os.PathLike[str] | None = None,
    media: str | os.PathLike[str] | None = None,
    home: str | os.PathLike[str] | None = None,
    lock_timeout: float | None = None,
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Find the settings: arguments, then environment, then a configuration file, then defaults.

    The file is the first `barbule.toml`, or `pyproject.toml` with a table `[tool.barbule]`, from
    `cwd` upwards; otherwise `barbule.toml` in the home folder. Only one file is read. Without any
    of these, everything is stored in the home folder, `~/.barbule`. If you pass a database file but
    no vectors or media, they are stored next to that file, so that they move with it. A database in
    memory stores them in memory.

    Parameters
    ----------
    backend
        Ibis URL, or the path of a `.duckdb` file.
    vectors
        URL of the vector index.
    media
        fsspec URL or path of the media store.
    home
        The folder for defaults.
    lock_timeout
        Seconds to wait for another process that uses the database.
    cwd
        The folder where the search starts, and the base of relative paths of arguments and
        environment variables; the working directory by default.
    environ
        Environment variables; those of the process by default. An empty variable counts as not set.

    Returns
    -------
    Settings
        Absolute, checked settings. Nothing is opened or created.

    Raises
    ------
    ConfigurationError
        A file cannot be read; a key, variable or value is wrong; or a file that the user does not
        own sets the address of a model server.

    Examples
    --------
    >>> settings = load_settings(backend="duckdb:///data/app.duckdb", cwd=Path("/"), environ={})
    >>> settings.vectors, settings.media
    ('chroma:///data/app.vectors', 'file:///data/app.media')
    """
    environ = os.environ if environ is None else environ
    cwd = Path.cwd() if cwd is None else Path(cwd).resolve()
    user = Path(environ.get("HOME") or Path.home())
    arguments = {"home": home, "backend": backend, "vectors": vectors, "media": media}
    addresses = _from_environment(environ, cwd, user) | _from_arguments(arguments, cwd, user)

    root = addresses["home"].path() if "home" in addresses else user / ".barbule"
    file = find_file(cwd, root)
    source, options = None, Options({}, {}, {}, {}, {}, {})
    if file is not None:
        source, options = file[0], read_options(file[1], file[0])
        check_trusted(
            source, options.models, cwd=cwd, home=root, trusted=environ.get(TRUSTED_VARIABLE)
        )
        file_addresses = {
            name: Address(value, f"{source}: {name}", source.parent, user)
            for name, value in options.addresses.items()
        }
        addresses = file_addresses | addresses
        root = addresses["home"].path() if "home" in addresses else root

    urls = resolve(addresses, root)
    models = {name: ProviderSettings(**keys) for name, keys in options.models.items()}
    return Settings(
        home=root,
        backend=urls[0],
        vectors=urls[1],
        media=urls[2],
        models=MappingProxyType(models),
        media_options=MediaSettings(**options.media),
        source=source,
        budget=BudgetSettings(**options.budget),
        lock_timeout=_lock_timeout_seconds(lock_timeout, options.lock_timeout),
        search=SearchSettings(**options.search),
        ledger=LedgerSettings(**options.ledger),
        timezone=checked_timezone(
            environ.get(_TIMEZONE_VARIABLE) or None,
            f"the environment variable {_TIMEZONE_VARIABLE}",
        )
        or options.timezone
        or TIMEZONE,
    )


def checked_timezone(name: str | None, origin: str) -> str | None:
    """Return the name of a time zone, or None if none is set.

    Parameters
    ----------
    origin
        Where it was given, for messages.
    """
    if name is not None and not is_timezone(name):
        raise ConfigurationError(f"{origin} must be {ZONE_NAMES}.", value=name)
    return name


def _lock_timeout_seconds(argument: float | None, in_file: float | None) -> float:
    seconds = argument if argument is not None else in_file
    if seconds is None:
        return LOCK_TIMEOUT
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds <= 0:
        raise ConfigurationError(
            "the argument lock_timeout= must be a number of seconds above 0.", value=seconds
        )
    return float(seconds)


def _from_arguments(arguments: Mapping[str, object], cwd: Path, user: Path) -> dict[str, Address]:
    addresses = {}
    for name, value in arguments.items():
        if value is None:
            continue
        text = os.fspath(value) if isinstance(value, os.PathLike) else value
        if not isinstance(text, str) or not text:
            raise ConfigurationError(
                f"the argument {name}= must be a URL or a path, not {_described_type(value)}.",
                hint="Leave it out to take it from the configuration.",
            )
        addresses[name] = Address(text, f"the argument {name}=", cwd, user)
    return addresses


def _from_environment(environ: Mapping[str, str], cwd: Path, user: Path) -> dict[str, Address]:
    variables = (
        *_ADDRESS_VARIABLES.values(),
        _TIMEZONE_VARIABLE,
        TRUSTED_VARIABLE,
        *_OTHER_VARIABLES,
    )
    for name in sorted(environ):
        if (
            name.startswith("BARBULE_")
            and name not in variables
            and not name.startswith(_TEST_PREFIX)
        ):
            raise ConfigurationError(
                f"the environment variable {name} is not supported.",
                hint=allowed_names("variable", name, variables),
            )
    return {
        name: Address(environ[variable], f"the environment variable {variable}", cwd, user)
        for name, variable in _ADDRESS_VARIABLES.items()
        if environ.get(variable)
    }


def _described_type(value: object) -> str:
    return "an empty string" if value == "" else f"an object of type {type(value).__name__!r}"
