"""Every adapter passes the contract that `barbule.testing` ships."""

from __future__ import annotations

import pytest

from barbule.backends.postgres import PostgresBackend
from barbule.testing import BackendContract


class TestDuckDB(BackendContract):
    @pytest.fixture
    def url(self, tmp_path):
        return f"duckdb://{tmp_path}/app.duckdb"


class TestPostgres(BackendContract):
    lacks = PostgresBackend.lacks

    @pytest.fixture
    def url(self, postgres):
        with postgres.schema() as url:
            yield url
