"""Tests for adapters: what barbule asks of each, for pytest.

Owns the contracts of backends, vector stores and model clients. Derive a test class from one
beside your adapter, say how a fresh one is opened, and pytest runs all of it; our own adapters
pass the same tests.
"""

import pytest

_PARTS = ("cases", "fixtures", "indexes", "models", "queries", "rows", "tables", "transactions")
pytest.register_assert_rewrite(*(f"{__name__}.{part}" for part in _PARTS))

from barbule.testing.contract import BackendContract  # noqa: E402 - once pytest knows of it
from barbule.testing.indexes import IndexContract  # noqa: E402 - as above
from barbule.testing.models import ModelContract  # noqa: E402 - as above

__all__ = ["BackendContract", "IndexContract", "ModelContract"]
