"""Extension points: adapters that installed packages declare as entry points.

Owns how an adapter is found by name and loaded, and the errors of adapters that cannot be loaded.
The interface of an adapter is defined where it is used: `backends.base`, `indexes.base` and
`media.documents.reader`.
"""

from __future__ import annotations

import functools
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Literal

from barbule.errors import ConfigurationError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["BACKENDS", "INDEXES", "READERS", "Group", "extension", "extension_names"]

Group = Literal["barbule.backends", "barbule.indexes", "barbule.readers"]
BACKENDS: Group = "barbule.backends"
INDEXES: Group = "barbule.indexes"
READERS: Group = "barbule.readers"


@functools.cache
def _declared(group: Group) -> dict[str, list[EntryPoint]]:
    """Return the entry points of a group by name; packages are listed once per process."""
    declared: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=group):
        if entry not in declared.setdefault(entry.name.lower(), []):
            declared[entry.name.lower()].append(entry)
    return declared


def extension_names(group: Group) -> list[str]:
    """Return the names of the adapters that installed packages declare, in order.

    Examples
    --------
    >>> extension_names("barbule.backends")
    []
    """
    return sorted(_declared(group))


def extension(group: Group, name: str) -> object | None:
    """Load the adapter that an installed package declares under a name.

    Parameters
    ----------
    group
        The extension point.
    name
        A URL scheme, or the extension of a file without its dot.

    Returns
    -------
    object or None
        The object that the entry point names; None if no package declares one.

    Raises
    ------
    ConfigurationError
        If two packages declare the name, or the adapter cannot be imported.

    Examples
    --------
    >>> extension("barbule.readers", "rtf") is None
    True
    """
    entries = _declared(group).get(name.lower(), [])
    if not entries:
        return None
    packages = sorted({_package(entry) for entry in entries})
    if len(entries) > 1:
        raise ConfigurationError(
            f"{name!r} is declared in {group!r} by {' and '.join(packages)}.",
            hint="Uninstall one of them.",
        )
    try:
        loaded: object = entries[0].load()
    except Exception as error:
        raise ConfigurationError(
            f"the extension {name!r} of {packages[0]} cannot be loaded "
            f"({type(error).__name__}: {error}).",
            hint=f"Its entry point in {group!r} names {entries[0].value!r}: check that it can be "
            "imported, or reinstall the package.",
        ) from error
    return loaded


def _package(entry: EntryPoint) -> str:
    return f"package {entry.dist.name!r}" if entry.dist else f"module {entry.module!r}"
