"""Fixtures that open the database of an adapter."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, ClassVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from barbule.backends.base import Backend

__all__ = ["BackendFixtures"]


class BackendFixtures:
    """A new database for each test."""

    opener: ClassVar[str] = "barbule.backends.opening:open_backend"
    lacks: ClassVar[frozenset[str]] = frozenset()

    @pytest.fixture
    def url(self) -> str:
        """Return the URL of a new database; override it."""
        pytest.fail(f"{type(self).__name__} returns no URL of a new database")

    @pytest.fixture
    def connect(self, url: str) -> Iterator[Callable[..., Backend]]:
        """Return a function that opens the database, any number of times."""
        module, name = self.opener.split(":")
        open_backend = getattr(importlib.import_module(module), name)
        opened: list[Backend] = []

        def connect(lock_timeout: float = 30.0) -> Backend:
            opened.append(open_backend(url, lock_timeout))
            return opened[-1]

        yield connect
        for backend in opened:
            backend.disconnect()

    @pytest.fixture
    def backend(self, connect: Callable[..., Backend]) -> Backend:
        """Open the database."""
        return connect()
