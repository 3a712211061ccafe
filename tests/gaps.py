"""What a backend cannot do, declared on the tests that show it.

Owns the two declarations and the page of the documentation that is made of them. A test with one
has to fail on that backend, and in that way: where it passes, the declaration is to go.

- `never`: the database cannot do it, or does it otherwise (`raises=AssertionError`)
- `notimpl`: it could be built, and is not
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
    """Operations that a backend lacks; names are patterns as of a shell."""

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
    """Declare what the database cannot do, or does otherwise."""
    return Gap("never", backend, names, raises, reason)


def notimpl(backend: str, *names: str, reason: str, raises) -> Gap:
    """Declare what could be built."""
    return Gap("notimpl", backend, names, raises, reason)


def matching(gaps: Iterable[Gap], name: str, backend: str | None = None) -> list[Gap]:
    """Return what is declared of an operation."""
    return [
        gap
        for gap in gaps
        if backend in {None, gap.backend}
        and any(fnmatch.fnmatchcase(name, pattern) for pattern in gap.names)
    ]


def declared(items: Iterable[pytest.Item]):
    """Yield each declaration of tests that were collected, with what it is declared of."""
    for item in items:
        for mark in item.iter_markers():
            if mark.name in KINDS:
                yield item, mark


def apply(items: Iterable[pytest.Item]) -> None:
    """Expect of each test with a declaration for its backend that it fails as declared."""
    for item, mark in list(declared(items)):
        if _backend(item) in mark.args:
            item.add_marker(pytest.mark.xfail(strict=True, **mark.kwargs))


def _backend(item: pytest.Item) -> str | None:
    return getattr(item, "callspec", None) and item.callspec.params.get("backend_name")


def page(items: Iterable[pytest.Item]) -> str:
    """Write the page of the documentation that tells what backends cannot do."""
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
        parts.append(f"\n## {backend.capitalize()}\n\n| | what | operations |\n| --- | --- | --- |")
        for key in sorted(key for key in rows if key[0] == backend):
            shown = ", ".join(f"`{name}`" for name in sorted(set(rows[key])))
            parts.append(f"| {key[1]} | {key[2]} | {shown} |")
    return "\n".join(parts) + "\n"


def _kind(mark: pytest.Mark) -> str:
    if mark.name == "notimpl":
        return "not yet"
    return "otherwise" if mark.kwargs["raises"] is AssertionError else "cannot"


_HEAD = """\
# What backends cannot do

Everything that is tested runs on DuckDB and on Postgres, with the same results, but for what is
listed here. The list is made of declarations on tests, which fail when one is not true any more:
`nox -s support` writes this page.

- *cannot*: the database has nothing like it; an error says so before anything is written
- *not yet*: it could be built; an error says so, too
- *otherwise*: it runs, and gives something else than DuckDB does, for the reason given

An operation is named by the column it is tried with and what is done with it."""


def write(items: Iterable[pytest.Item], path: Path) -> None:
    """Write the page."""
    path.write_text(page(items))
