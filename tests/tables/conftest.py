"""Sessions on each selected backend; DuckDB's are in memory, as there are many tests."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

import barbule as bb
from barbule.config import load_settings
from barbule.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def session(backend_url: str | None) -> Session:
    """Connect to an empty database, searching exactly."""
    return bb.connect(backend_url or "duckdb://", vectors="exact:")


@pytest.fixture(scope="module")
def shared(
    backend_name: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Session]:
    """Open a session for all tests of a module, which is not the default one."""
    home = str(tmp_path_factory.mktemp("shared"))
    with contextlib.ExitStack() as held:
        url = "duckdb://"
        if backend_name == "postgres":
            url = held.enter_context(request.getfixturevalue("postgres").schema())
        settings = load_settings(backend=url, vectors="exact:", home=home)
        yield held.enter_context(Session(settings))
