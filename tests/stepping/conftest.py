"""Copies of a small database, one for each run."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from typing import TYPE_CHECKING

import pytest

from barbule.config import load_settings
from barbule.session import Session
from stepping import world

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path


def _open(url: str, home: Path) -> Session:
    return Session(load_settings(backend=url, vectors="exact:", home=str(home)))


@pytest.fixture(scope="session")
def fresh(
    backend_name: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], AbstractContextManager[Session]]]:
    """Make sessions on copies of the database."""
    home = tmp_path_factory.mktemp("stepping")
    if backend_name == "postgres":
        server = request.getfixturevalue("postgres")
        with server.database() as template:
            with _open(template, home) as session:
                world.make(session)

            @contextlib.contextmanager
            def copy() -> Iterator[Session]:
                with (
                    server.database(template.rsplit("/", 1)[1]) as url,
                    _open(url, home) as session,
                ):
                    yield session

            yield copy
        return
    original = home / "original.duckdb"
    with _open(f"duckdb://{original}", home) as session:
        world.make(session)
    numbers = itertools.count()

    @contextlib.contextmanager
    def copy_file() -> Iterator[Session]:
        path = home / f"copy{next(numbers)}.duckdb"
        shutil.copy(original, path)
        with _open(f"duckdb://{path}", home) as session:
            yield session
        path.unlink()

    yield copy_file
