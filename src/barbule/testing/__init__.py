"""Contracts of adapters, as tests for pytest.

Owns the contracts of backends, vector stores and model clients. Derive a test class from one,
define how the adapter is opened, and pytest runs all of its tests; barbule's own adapters pass
them.
"""

import pytest

_PARTS = ("cases", "fixtures", "indexes", "models", "queries", "rows", "tables", "transactions")
pytest.register_assert_rewrite(*(f"{__name__}.{part}" for part in _PARTS))

from barbule.testing.contract import LACKING, BackendContract  # noqa: E402 - once pytest knows of it
from barbule.testing.indexes import IndexContract  # noqa: E402 - as above
from barbule.testing.models import ModelContract  # noqa: E402 - as above

__all__ = ["LACKING", "BackendContract", "IndexContract", "ModelContract"]
