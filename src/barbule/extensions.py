"""Extension points: adapters that installed packages declare as entry points.

Owns how an adapter is found by name and loaded, the check of an object against a protocol, and the
errors of adapters that cannot be loaded or fail. The interface of an adapter is defined where it is
used: `backends.base`, `indexes.base` and `media.documents.reader`.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import re
import signal
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import distributions, entry_points
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol

from barbule.errors import BarbuleError, ConfigurationError, message_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from importlib.metadata import EntryPoint

__all__ = [
    "BACKENDS",
    "INDEXES",
    "READERS",
    "Extension",
    "Group",
    "extension",
    "extension_names",
    "is_interrupt",
    "misdeclaration_hint",
    "missing_package_hint",
    "signature_problem",
    "unfulfilled",
]

Group = Literal["barbule.backends", "barbule.indexes", "barbule.readers"]
BACKENDS: Group = "barbule.backends"
INDEXES: Group = "barbule.indexes"
READERS: Group = "barbule.readers"

_NOUNS: dict[Group, str] = {BACKENDS: "backend", INDEXES: "index", READERS: "reader"}
_SCHEME = (re.compile(r"[a-z][a-z0-9+.-]+"), "letters, digits, '+', '-' and '.'")
_SUFFIX = (re.compile(r"[a-z0-9][a-z0-9_+-]*"), "letters, digits, '_', '+' and '-'")
_VALID_NAMES = {BACKENDS: _SCHEME, INDEXES: _SCHEME, READERS: _SUFFIX}
_SIMILARITY = 0.85  # of a group that may be misspelt; that of Ibis is less similar
_PAGE = "See docs/extending.md."


@dataclass(frozen=True)
class Extension:
    """An adapter that an installed package declares.

    Attributes
    ----------
    package
        The name of the package, as messages show it.
    version
        The version of the package; None if it has no metadata.
    target
        The module and object that the entry point names.
    value
        The object itself.
    """

    group: Group
    name: str
    package: str
    version: str | None
    target: str
    value: Any

    @property
    def label(self) -> str:
        """The adapter, as messages name it."""
        return f"the {_NOUNS[self.group]} {self.name!r} of {self.package}"

    @property
    def origin(self) -> str:
        """The package with its version."""
        return f"{self.package} {self.version}" if self.version else self.package

    def problem(self, text: str, hint: str = "") -> ConfigurationError:
        """Return the error for an adapter that does not implement its interface."""
        return ConfigurationError(
            f"{self.label} {text}.",
            hint=f"{hint or f'Fix {self.target!r}, or report this to the author of the package.'} "
            f"{_PAGE}",
        )

    def failure(self, action: str, error: BaseException) -> ConfigurationError:
        """Return the error for an adapter that raised something else than an error of barbule."""
        return ConfigurationError(
            f"{self.label} failed when {action}: {type(error).__name__}: "
            f"{message_of(error).rstrip('.')}.",
            hint=f"Check the URL and the settings of {self.package}, or report this to its author.",
        )

    @contextmanager
    def guarded(self, action: str) -> Iterator[None]:
        """Convert what the code of an adapter raises to a `ConfigurationError` that names it.

        Errors of barbule and an interrupt by the user stay as they are.

        Parameters
        ----------
        action
            What the adapter is called for, as the end of "failed when".
        """
        try:
            yield
        except BarbuleError:
            raise
        except BaseException as error:
            if is_interrupt(error):
                raise
            raise self.failure(action, error) from error


def is_interrupt(error: BaseException) -> bool:
    """Whether an exception is an interrupt by the user, and not raised by other code.

    Python delivers Ctrl-C to the main thread only.
    """
    return (
        isinstance(error, KeyboardInterrupt)
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    )


# Finding and loading


def _normalized(group: Group, name: str) -> str:
    name = name.strip().lower()
    return name.removeprefix(".") if group == READERS else name


@functools.cache
def _declared(group: Group) -> dict[str, list[EntryPoint]]:
    """Return the entry points of a group by name; packages are listed once per process."""
    declared: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=group):
        entries = declared.setdefault(_normalized(group, entry.name), [])
        if entry not in entries:
            entries.append(entry)
    return declared


def extension_names(group: Group) -> list[str]:
    """Return the names of the adapters that installed packages declare, in order.

    A name in upper case, or a file extension with its dot, is normalized. A name that can be no URL
    scheme or file extension is left out.

    Examples
    --------
    >>> extension_names("barbule.backends")
    []
    """
    valid, _ = _VALID_NAMES[group]
    return sorted(name for name in _declared(group) if valid.fullmatch(name))


@functools.cache
def extension(group: Group, name: str) -> Extension | None:
    """Load the adapter that an installed package declares under a name.

    Parameters
    ----------
    group
        The extension point.
    name
        A URL scheme, or the extension of a file without its dot.

    Returns
    -------
    Extension or None
        The adapter; None if no package declares one.

    Raises
    ------
    ConfigurationError
        If two packages declare the name, the name is invalid, or the adapter cannot be imported.

    Examples
    --------
    >>> extension("barbule.readers", "rtf") is None
    True
    """
    name = _normalized(group, name)
    entries = _declared(group).get(name, [])
    if not entries:
        return None
    packages = sorted({_package(entry) for entry in entries})
    if len(entries) > 1:
        twice = "" if len(packages) > 1 else "twice "
        raise ConfigurationError(
            f"{name!r} is declared {twice}in {group!r} by {' and '.join(packages)}.",
            hint="Uninstall one of them." if len(packages) > 1 else "Reinstall the package.",
        )
    valid, letters = _VALID_NAMES[group]
    if not valid.fullmatch(name):
        raise ConfigurationError(
            f"{packages[0]} declares the {_NOUNS[group]} {name!r}, which is not a valid name.",
            hint=f"Its author must rename the entry point: a name consists of {letters}.",
        )
    entry = entries[0]
    try:
        loaded: object = entry.load()
    except BaseException as error:
        if is_interrupt(error):
            raise
        raise ConfigurationError(
            f"the extension {name!r} of {packages[0]} cannot be loaded "
            f"({type(error).__name__}: {message_of(error)}).",
            hint=f"Its entry point in {group!r} names {entry.value!r}: check that it can be "
            "imported, or reinstall the package.",
        ) from error
    version = entry.dist.version if entry.dist else None
    return Extension(group, name, packages[0], version, entry.value, loaded)


def _package(entry: EntryPoint) -> str:
    return f"package {entry.dist.name!r}" if entry.dist else f"module {entry.module!r}"


def missing_package_hint(group: Group, name: str) -> str:
    """Return a hint for a name that no package declares: what could be missing or misspelt.

    Examples
    --------
    >>> missing_package_hint("barbule.backends", "crow")
    "If a package provides 'crow', check that it is installed."
    """
    hints = [f"If a package provides {name!r}, check that it is installed."] if name else []
    return " ".join(hints + _misdeclared(group, name))


def misdeclaration_hint(group: Group, name: str) -> str:
    """Return a hint for a name that packages declare in a way that is not read; empty if none does.

    Examples
    --------
    >>> misdeclaration_hint("barbule.readers", "bird")
    ''
    """
    return " ".join(_misdeclared(group, name))


def _misdeclared(group: Group, name: str) -> list[str]:
    hints: list[str] = []
    valid, letters = _VALID_NAMES[group]
    for invalid, entries in sorted(_declared(group).items()):
        if not valid.fullmatch(invalid) and _resembles(invalid, name):
            hints.append(
                f"The name {invalid!r} of {_package(entries[0])} is ignored: a name consists of "
                f"{letters}."
            )
    # `entry_points()` returns another type in Python 3.11.
    for entry in (entry for package in distributions() for entry in package.entry_points):
        is_similar = entry.group not in _NOUNS and _normalized(group, entry.name) == name
        if is_similar and difflib.get_close_matches(entry.group, _NOUNS, 1, _SIMILARITY) == [group]:
            hints.append(
                f"The {_package(entry)} declares {name!r} in {entry.group!r}, which is "
                f"not read: its author must use {group!r}."
            )
    return hints


def _resembles(invalid: str, name: str) -> bool:
    """Whether an invalid name may be meant by another one, such as "tar.bird" by "bird"."""
    return invalid.endswith(f".{name}") or bool(difflib.get_close_matches(name, [invalid], 1, 0.7))


# Checking an object


def unfulfilled(found: object, protocol: type) -> str | None:
    """Return what an object lacks of a protocol, for a message; None if it lacks nothing.

    Parameters
    ----------
    found
        An instance, or a module.
    protocol
        Its methods, properties and annotated attributes are required, and those of the protocols
        that it combines, which the message names. A method must accept the arguments of the
        protocol's.

    Examples
    --------
    >>> class Opener:
    ...     def open(self, name: str) -> object: ...
    >>> class Wrong:
    ...     def open(self): ...
    >>> print(unfulfilled(Wrong(), Opener))
    has the method open(), but it is called as open(name)
    >>> print(unfulfilled(3, Opener))
    (int) lacks open
    """
    parts = _parts(protocol)
    missing = [
        f"{', '.join(lacking)}{f' of {part}' if len(parts) > 1 else ''}"
        for part, members in parts.items()
        if (lacking := [name for name in members if not _has(found, name)])
    ]
    if missing:
        return f"({_kind(found)}) lacks {'; '.join(missing)}"
    for name, method in [each for members in parts.values() for each in members.items()]:
        if not inspect.isfunction(method):
            continue
        if isinstance(found, type) and inspect.isfunction(inspect.getattr_static(found, name)):
            return f"is the class {found.__name__}, not an instance of it"
        implementation = getattr(found, name)
        if not callable(implementation):
            return f"has {name}, which is not a method"
        positional, keywords = _parameters(method)
        if not _accepts(implementation, positional, keywords):
            called = ", ".join([*positional, *(f"{keyword}=…" for keyword in keywords)])
            return (
                f"has the method {name}{_shown_signature(implementation)}, but it is called as "
                f"{name}({called})"
            )
    return None


def _parts(protocol: type) -> dict[str, dict[str, object]]:
    """Return the members of a protocol, by name, of it and of each protocol that it combines."""
    parts: dict[str, dict[str, object]] = {}
    for part in protocol.__mro__:
        if part in (Protocol, Generic, object):
            continue
        declared = dict.fromkeys(inspect.get_annotations(part)) | vars(part)
        if members := {name: each for name, each in declared.items() if not name.startswith("_")}:
            parts[part.__name__] = members
    return parts


def _has(found: object, name: str) -> bool:
    # A property of a class is not evaluated: it may open a connection.
    return hasattr(type(found), name) or hasattr(found, name)


def _kind(found: object) -> str:
    if isinstance(found, type):
        return f"the class {found.__name__}"
    return "None" if found is None else type(found).__name__


def _parameters(method: Callable[..., object]) -> tuple[list[str], list[str]]:
    """Return the positional parameters of a method without `self`, and its keywords."""
    _, *parameters = inspect.signature(method).parameters.values()
    keywords = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]
    return [each.name for each in parameters if each.kind is not each.KEYWORD_ONLY], keywords


def _accepts(function: Callable[..., object], positional: list[str], keywords: list[str]) -> bool:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of some functions in C
        return True
    try:
        signature.bind(*positional, **dict.fromkeys(keywords))
    except TypeError:
        return False
    return True


def _shown_signature(function: Callable[..., object]) -> str:
    parameters = inspect.signature(function).parameters.values()
    return f"({', '.join(str(each.replace(annotation=each.empty)) for each in parameters)})"


def signature_problem(function: object, *arguments: str) -> str | None:
    """Return why an object cannot be called with these arguments, None if it can.

    Examples
    --------
    >>> print(signature_problem(lambda: 1, "path"))
    takes the arguments (), but it is called with (path)
    >>> print(signature_problem(7, "path"))
    cannot be called: it is int
    """
    if not callable(function):
        return f"cannot be called: it is {_kind(function)}"
    if _accepts(function, list(arguments), []):
        return None
    return (
        f"takes the arguments {_shown_signature(function)}, but it is called with "
        f"({', '.join(arguments)})"
    )
