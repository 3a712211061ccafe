"""Differences between backends, declared on the tests that show them.

Owns the two declarations and the documentation page that is generated from them. A test with a
declaration must fail on that backend in the declared way. If it passes, remove the declaration.

- `never`: the database does not support it, or gives another result (`raises=AssertionError`)
- `notimpl`: barbule does not implement it yet
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from barbule.testing import BackendContract
from barbule.testing.contract import LACKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["Gap", "apply", "matching", "never", "notimpl", "page"]

KINDS = ("never", "notimpl")


@dataclass(frozen=True)
class Gap:
    """Operations that differ on a backend; names are shell patterns."""

    kind: str
    backend: str
    names: tuple[str, ...]
    raises: type[Exception] | tuple[type[Exception], ...]
    reason: str

    def mark(self) -> pytest.MarkDecorator:
        """Make the declaration."""
        marker = getattr(pytest.mark, self.kind)
        return marker(self.backend, raises=self.raises, reason=self.reason)


def never(backend: str, *names: str, reason: str, raises=AssertionError) -> Gap:
    """Declare an operation that the database does not support, or that gives another result."""
    return Gap("never", backend, names, raises, reason)


def notimpl(backend: str, *names: str, reason: str, raises) -> Gap:
    """Declare an operation that is not implemented yet."""
    return Gap("notimpl", backend, names, raises, reason)


def matching(gaps: Iterable[Gap], name: str, backend: str | None = None) -> list[Gap]:
    """Return the declarations of an operation."""
    return [
        gap
        for gap in gaps
        if backend in {None, gap.backend}
        and any(fnmatch.fnmatchcase(name, pattern) for pattern in gap.names)
    ]


def declared(items: Iterable[pytest.Item]):
    """Yield each collected test that has a declaration, with the declaration."""
    for item in items:
        for mark in item.iter_markers():
            if mark.name in KINDS:
                yield item, mark


def apply(items: Iterable[pytest.Item]) -> None:
    """Mark each test with a declaration for its backend as a strict expected failure."""
    for item, mark in list(declared(items)):
        if _backend(item) in mark.args:
            item.add_marker(pytest.mark.xfail(strict=True, **mark.kwargs))


def _backend(item: pytest.Item) -> str | None:
    return getattr(item, "callspec", None) and item.callspec.params.get("backend_name")


def page(items: Iterable[pytest.Item]) -> str:
    """Return the documentation page on differences between backends."""
    items = list(items)
    rows: dict[tuple[str, str, str], list[str]] = {}
    for item, mark in declared(items):
        for backend in mark.args:
            if _backend(item) == backend:
                kind = _kind(mark)
                key = (backend, kind, mark.kwargs["reason"])
                names = rows.setdefault(key, [])
                if (operation := item.callspec.params.get("operation")) is not None:
                    names.append(operation)
    for item in items:
        if item.cls and issubclass(item.cls, BackendContract):
            for lack in item.cls.lacks:
                key = (item.cls.__name__.removeprefix("Test").lower(), "cannot", LACKING[lack])
                rows.setdefault(key, [])
    parts = [_HEAD]
    for backend in sorted({key[0] for key in rows}):
        parts.append(f"\n## {backend.capitalize()}\n\n{_TABLE_HEAD}")
        for key in sorted(key for key in rows if key[0] == backend):
            shown = ", ".join(f"`{name}`" for name in sorted(set(rows[key])))
            parts.append(f"| {key[1]} | {key[2]} | {shown} |")
    return "\n".join(parts) + "\n"


def _kind(mark: pytest.Mark) -> str:
    if mark.name == "notimpl":
        return "not yet"
    return "differs" if mark.kwargs["raises"] is AssertionError else "cannot"


_HEAD = """\
# Differences between backends

Every tested operation runs on DuckDB and on Postgres with the same results, except for the
operations on this page. `nox -s support` generates the page from declarations on tests. A test
fails when its declaration no longer holds.

- *cannot*: the database does not support the operation; an error says so before anything is written
- *not yet*: barbule does not implement the operation yet; an error says so as well
- *differs*: the operation runs, and its result differs from DuckDB's for the given reason

The name of an operation consists of the tested column and the operation on it."""

_TABLE_HEAD = """\
| | reason | operations |
| --- | --- | --- |"""


def write(items: Iterable[pytest.Item], path: Path) -> None:
    """Write the page."""
    path.write_text(page(items))
