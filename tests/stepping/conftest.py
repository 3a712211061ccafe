"""Copies of a small database, one for each run, and a second process that works on them."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from typing import TYPE_CHECKING

import pytest

from stepping import world
from stepping.elsewhere import Elsewhere, opened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the home folder that all copies share."""
    return tmp_path_factory.mktemp("stepping")


@pytest.fixture(scope="session")
def copied(
    backend_name: str, request: pytest.FixtureRequest, home: Path
) -> Iterator[Callable[[], AbstractContextManager[str]]]:
    """Return a function that copies the database and yields the URL."""
    if backend_name == "postgres":
        server = request.getfixturevalue("postgres")
        with server.schema() as template:
            with opened(template, home) as session:
                world.make(session)
            yield lambda: server.schema(template.rsplit("=", 1)[1])
        return
    original = home / "original.duckdb"
    with opened(f"duckdb://{original}", home) as session:
        world.make(session)
    numbers = itertools.count()

    @contextlib.contextmanager
    def copy() -> Iterator[str]:
        path = home / f"copy{next(numbers)}.duckdb"
        shutil.copy(original, path)
        yield f"duckdb://{path}"
        path.unlink()

    yield copy


@pytest.fixture(scope="session")
def elsewhere(home: Path) -> Iterator[Elsewhere]:
    """Start a second process once for all pairs."""
    with Elsewhere(home) as process:
        yield process
