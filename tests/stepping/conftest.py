"""Copies of a small database, one for each run, and a second process that works on them."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stepping.copies import Copies
from stepping.elsewhere import Elsewhere

if TYPE_CHECKING:
    from collections.abc import Iterator

_MEMORY = Path("/dev/shm")
_FREE_BYTES = 2 << 30


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the home folder that all copies share.

    It is in memory where there is enough: on a disk, half of the time is spent on flushing it.
    """
    if not _MEMORY.is_dir() or shutil.disk_usage(_MEMORY).free < _FREE_BYTES:
        yield tmp_path_factory.mktemp("stepping")
        return
    with tempfile.TemporaryDirectory(prefix="barbule-stepping-", dir=_MEMORY) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def copies(backend_name: str, request: pytest.FixtureRequest, home: Path) -> Iterator[Copies]:
    """Return the copies of the database."""
    server = request.getfixturevalue("postgres") if backend_name == "postgres" else None
    with Copies(home, server) as copies:
        yield copies


@pytest.fixture(scope="session")
def elsewhere(home: Path) -> Iterator[Elsewhere]:
    """Start a second process once for all pairs."""
    with Elsewhere(home) as process:
        yield process
