"""The contract of vector stores, run over the built-in stores."""

from __future__ import annotations

import pytest

from barbule.indexes.stores import open_store
from barbule.testing import IndexContract
from servers.chroma import chroma_server


class TestExact(IndexContract):
    recall = 1.0
    durable = False

    @pytest.fixture
    def connect(self):
        return lambda: open_store("exact:")


class TestEmbedded(IndexContract):
    @pytest.fixture
    def connect(self, tmp_path):
        return lambda: open_store(f"chroma://{tmp_path / 'vectors'}")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with chroma_server(tmp_path_factory.mktemp("server")) as (url, _stop):
        yield url


class TestServer(IndexContract):
    @pytest.fixture
    def connect(self, server):
        return lambda: open_store(server)
