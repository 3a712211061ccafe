"""Tests for adapters: what barbule asks of each, for pytest.

Owns the contract of backends. Derive a test class from it beside your adapter, say how a fresh
database is opened, and pytest runs all of it; our own adapters pass the same tests.
"""

import pytest

_PARTS = ("cases", "fixtures", "queries", "rows", "tables", "transactions")
pytest.register_assert_rewrite(*(f"{__name__}.{part}" for part in _PARTS))

from barbule.testing.contract import BackendContract  # noqa: E402 - once pytest knows of it

__all__ = ["BackendContract"]
