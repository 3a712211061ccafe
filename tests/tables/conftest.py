"""Sessions in memory: what is tested here does not depend on files, and there are many tests."""

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
def session() -> Session:
    """Connect to a database in memory, searching exactly."""
    return bb.connect("duckdb://", vectors="exact:")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """Open a session for all tests of a module, which is not the default one."""
    home = tmp_path_factory.mktemp("shared")
    with Session(load_settings(backend="duckdb://", vectors="exact:", home=str(home))) as opened:
        yield opened


@pytest.fixture(scope="module")
def everywhere(
    backend_name: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Session]:
    """Open a session for all tests of a module, on each backend that was asked for."""
    home = str(tmp_path_factory.mktemp("everywhere"))
    with contextlib.ExitStack() as held:
        url = "duckdb://"
        if backend_name == "postgres":
            url = held.enter_context(request.getfixturevalue("postgres").schema())
        settings = load_settings(backend=url, vectors="exact:", home=home)
        yield held.enter_context(Session(settings))
