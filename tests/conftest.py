"""Shared fixtures: sessions on fresh folders, and a model server on loopback."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import barbule as bb
import gaps
import programs
from barbule.functions import registry
from fakes.models_server import FakeModels

if TYPE_CHECKING:
    from barbule.session import Session

# Read when the hub client is imported: no test accesses the hub.
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run every test in its own folder, whatever it connects to."""
    for name in list(os.environ):
        if name.startswith("BARBULE_"):
            monkeypatch.delenv(name)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("BARBULE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(work)
    known = set(registry.GENERATIONS)
    yield
    _close_default()
    # Functions of one test must not be found by name in the next test.
    for name in set(registry.GENERATIONS) - known:
        if not name.startswith("barbule."):
            del registry.GENERATIONS[name]


def _close_default() -> None:
    from barbule.session import default

    if default._default is not None:
        default._default.close()


@pytest.fixture(scope="session", autouse=True)
def _server_of_programs():
    yield
    programs.close()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option to run table tests on several backends: `--backends=duckdb,postgres`."""
    parser.addoption("--backends", default="duckdb", help="duckdb, postgres, or both")
    parser.addoption("--support", help="where to write the page of what backends cannot do")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Apply declared expected failures; write the page generated from them."""
    gaps.apply(items)
    if path := config.getoption("--support"):
        gaps.write(items, Path(path))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that uses a session once on each backend."""
    if "backend_name" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--backends").split(",")
        metafunc.parametrize("backend_name", chosen, indirect=True, scope="session")


@pytest.fixture(scope="session")
def backend_name(request: pytest.FixtureRequest) -> str:
    """Return the backend name of a test."""
    return request.param


@pytest.fixture(scope="session")
def postgres():
    """Start a Postgres server, or skip with the reason."""
    from servers import postgres

    try:
        server = postgres.start()
    except postgres.CannotStartError as error:
        pytest.skip(f"no Postgres server: {error}")
    yield server
    server.stop()


@pytest.fixture
def backend_url(backend_name: str, request: pytest.FixtureRequest):
    """Yield the URL of an empty database; None is the default DuckDB file."""
    if backend_name == "duckdb":
        yield None
        return
    with request.getfixturevalue("postgres").schema() as url:
        yield url
        _close_default()


@pytest.fixture
def session(tmp_path: Path, backend_url: str | None) -> Session:
    """Connect to a database with exact vector search."""
    return bb.connect(backend_url, vectors="exact:")


@pytest.fixture
def chroma_session(tmp_path: Path) -> Session:
    """Connect to a DuckDB file with an embedded Chroma."""
    return bb.connect()


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch):
    """Run a model server and make it the endpoint of the provider "openai"."""
    with FakeModels() as server:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789")
        Path("barbule.toml").write_text(f'[models.openai]\napi_base = "{server.url}"\n')
        yield server
