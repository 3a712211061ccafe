"""The configuration file: its search path, and its valid keys and values.

A message names the file and the dotted key. A value that may be a secret is never shown.
"""

from __future__ import annotations

import math
import os
import re
import tomllib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from barbule.config.addresses import ADDRESS_NAMES, allowed_names
from barbule.config.settings import SECRET_WORDS, ZONE_NAMES, is_timezone, redact
from barbule.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

__all__ = ["Options", "find_file", "read_options"]

_FILE_NAME: Final = "barbule.toml"
_SECRET_KEY: Final = re.compile(rf"(?:.*[_-])?(?:api)?{SECRET_WORDS}", re.IGNORECASE)
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Options(NamedTuple):
    """The options of a checked file: addresses by name, and the fields of the settings records."""

    addresses: dict[str, str]
    models: dict[str, dict[str, Any]]
    media: dict[str, Any]
    budget: dict[str, Any]
    search: dict[str, Any]
    ledger: dict[str, Any]
    lock_timeout: float | None = None
    timezone: str | None = None


class _Rule(NamedTuple):
    """The values that a key may have; `is_shown` is False if an invalid value may be a secret."""

    allowed_names: str
    accepts: Callable[[Any], bool]
    is_shown: bool = True


def _is_number(value: object) -> bool:
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_TEXT: Final = _Rule("a non-empty string", lambda v: isinstance(v, str) and v != "")
_COUNT: Final = _Rule("an integer above 0", lambda v: _is_whole(v) and v > 0)
_SECONDS: Final = _Rule("a number of seconds above 0", lambda v: _is_number(v) and v > 0)
_FLAG: Final = _Rule("true or false", lambda v: isinstance(v, bool))
_ADDRESS_RULES: Final = dict.fromkeys(ADDRESS_NAMES, _TEXT)
_MEDIA_RULES: Final = {
    "url": _TEXT,
    "allow_private": _FLAG,
    "max_bytes": _COUNT,
    "image_format": _Rule('"png" or "webp"', lambda v: v in ("png", "webp")),
    "cache_bytes": _COUNT,
    "timeout": _SECONDS,
    "time_limit": _SECONDS,
    "validation": _Rule('"on_write" or "on_read"', lambda v: v in ("on_write", "on_read")),
    "max_elements": _COUNT,
    "max_cells": _COUNT,
    "max_pages": _COUNT,
    "max_text": _COUNT,
    "isolate": _FLAG,
    "max_memory": _COUNT,
    "max_seconds": _SECONDS,
}
_BUDGET_RULES: Final = {
    "usd": _Rule("a number of 0 or above", lambda v: _is_number(v) and v >= 0),
    "calls": _Rule("an integer of 0 or above", lambda v: _is_whole(v) and v >= 0),
    "tokens": _Rule("an integer of 0 or above", lambda v: _is_whole(v) and v >= 0),
}
_LEDGER_RULES: Final = {
    "max_age_days": _Rule("a number above 0", lambda v: _is_number(v) and v > 0),
    "max_bytes": _Rule("an integer of 0 or above", lambda v: _is_whole(v) and v >= 0),
}
_SEARCH_RULES: Final = {
    "max_matrix_bytes": _Rule("an integer of 0 or above", lambda v: _is_whole(v) and v >= 0),
    "m": _Rule("an integer from 2 to 256", lambda v: _is_whole(v) and 2 <= v <= 256),  # noqa: PLR2004 - said
    "ef_construction": _COUNT,
    "ef_search": _COUNT,
}
_PLAIN_RULES: Final = {
    "lock_timeout": _SECONDS,
    "timezone": _Rule(ZONE_NAMES, is_timezone),
}
_PROVIDER_RULES: Final = {
    "api_base": _Rule(
        "a URL that starts with http:// or https://",
        lambda v: isinstance(v, str) and re.match(r"https?://[^/\s]", v) is not None,
        is_shown=False,
    ),
    "api_key_env": _Rule(
        "the name of an environment variable (letters, digits and underscores)",
        lambda v: isinstance(v, str) and _VARIABLE.fullmatch(v) is not None,
        is_shown=False,
    ),
    "max_concurrency": _COUNT,
    "rpm": _COUNT,
    "tpm": _COUNT,
    "timeout": _SECONDS,
}


def find_file(cwd: Path, home: Path) -> tuple[Path, dict[str, Any]] | None:
    """Find the configuration file and barbule's table in it.

    Parameters
    ----------
    cwd
        The folder where the upward search starts.
    home
        The folder that is searched last.

    Returns
    -------
    tuple of Path and dict, or None
        The file and its unchecked section; None if no file was found.

    Raises
    ------
    ConfigurationError
        A file on the search path cannot be read or parsed.
    """
    for folder in (cwd, *cwd.parents):
        file = folder / _FILE_NAME
        if _is_file(file):
            return file, _parse(file)
        project = folder / "pyproject.toml"
        if _is_file(project):
            tool = _parse(project).get("tool")
            if isinstance(tool, dict) and "barbule" in tool:
                return project, _table(tool["barbule"], project, "tool.barbule")
    file = home / _FILE_NAME
    return (file, _parse(file)) if _is_file(file) else None


def read_options(table: dict[str, Any], path: Path) -> Options:
    """Check every key and value of a file.

    Parameters
    ----------
    table
        The parsed file, or barbule's section in it.
    path
        The file, for messages.

    Returns
    -------
    Options
        The checked options.

    Raises
    ------
    ConfigurationError
        A key is unknown, a value is wrong, or the file contains a secret.
    """
    prefix = "tool.barbule." if path.name == "pyproject.toml" else ""
    _refuse_unknown(
        table, (*ADDRESS_NAMES, "models", "budget", "search", "ledger", *_PLAIN_RULES), path, prefix
    )
    addresses = {name: table[name] for name in ADDRESS_NAMES if name in table}
    media: dict[str, Any] = {}
    if isinstance(addresses.get("media"), dict):
        media = _check_table(addresses.pop("media"), _MEDIA_RULES, path, f"{prefix}media")
        if "url" in media:
            addresses["media"] = media.pop("url")
    models = _table(table.get("models", {}), path, f"{prefix}models")
    return Options(
        addresses=_check_table(addresses, _ADDRESS_RULES, path, prefix.rstrip(".")),
        models={
            name: _check_table(keys, _PROVIDER_RULES, path, f"{prefix}models.{name}")
            for name, keys in models.items()
        },
        media=media,
        budget=_check_table(table.get("budget", {}), _BUDGET_RULES, path, f"{prefix}budget"),
        search=_check_table(table.get("search", {}), _SEARCH_RULES, path, f"{prefix}search"),
        ledger=_check_table(table.get("ledger", {}), _LEDGER_RULES, path, f"{prefix}ledger"),
        **_check_table(
            {name: table[name] for name in _PLAIN_RULES if name in table},
            _PLAIN_RULES,
            path,
            prefix.rstrip("."),
        ),
    )


def _is_file(path: Path) -> bool:
    # Path.is_file raises if a parent folder is not accessible.
    return os.path.isfile(path)  # noqa: PTH113 - never raises


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        # The error text ends with "(at line 3, column 5)", or "(at end of document)".
        raise ConfigurationError(
            f"{path} is not valid TOML: {error}.", hint=_correction(str(error))
        ) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        # Not chained: the original error holds the complete text of the file.
        raise ConfigurationError(
            f"{path} is not UTF-8 text (at line {line}).", hint="Save it as UTF-8."
        ) from None
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error.strerror}.", hint="Check its permissions."
        ) from error


def _correction(fault: str) -> str:
    """Return the hint for a TOML error."""
    if not fault.startswith(("Cannot overwrite", "Cannot declare", "Cannot mutate", "Cannot re")):
        return "Correct it there."
    # The TOML error contains neither name; media is the only key that may be an address or a
    # section.
    return (
        "A name is defined twice, as a value or a section: keep one of them. If the file has a "
        'section [media], write the URL of the media store in it: url = "...".'
    )


def _check_table(
    table: object, rules: Mapping[str, _Rule], path: Path, dotted: str
) -> dict[str, Any]:
    checked = dict(_table(table, path, dotted))
    prefix = f"{dotted}." if dotted else ""
    _refuse_unknown(checked, rules, path, prefix)
    for key, value in checked.items():
        rule = rules[key]
        if not rule.accepts(value):
            hint = None if rule.is_shown else "The value is not shown because it may be a secret."
            raise ConfigurationError(
                f"{path}: {prefix}{key} must be {rule.allowed_names}.",
                hint=hint,
                value=_printable_value(value) if rule.is_shown else None,
            )
    return checked


def _table(value: object, path: Path, dotted: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    # The value is not shown: it may be a key that was written here by mistake.
    raise ConfigurationError(
        f"{path}: {dotted} must be a table.",
        hint=f"Write it as a section [{dotted}] with its keys below.",
    )


def _refuse_unknown(
    table: Mapping[str, Any], names: Iterable[str], path: Path, prefix: str
) -> None:
    names = list(names)
    for key in table:
        if key in names:
            continue
        if _SECRET_KEY.fullmatch(key):
            raise ConfigurationError(
                f"{path}: {prefix}{key} would store a secret in a file.",
                hint="Put the secret into an environment variable and set the name of that "
                'variable:  api_key_env = "MY_KEY" in [models.<provider>].',
            )
        raise ConfigurationError(
            f"{path}: {prefix}{key} is not a supported key.", hint=allowed_names("key", key, names)
        )


def _printable_value(value: object) -> object:
    if isinstance(value, dict | list):
        return None  # may hold an address with a password, at any depth
    return redact(value) if isinstance(value, str) else value
