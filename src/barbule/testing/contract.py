"""The contract of backends, as one class of tests."""

from __future__ import annotations

from barbule.testing.queries import QueryTests
from barbule.testing.rows import RowTests
from barbule.testing.tables import TableTests
from barbule.testing.transactions import TransactionTests

__all__ = ["LACKING", "BackendContract"]

# What a database may lack, by the word for it in `lacks`.
LACKING = {
    "nul": "texts that hold the character NUL",
    "unnest-nested": "rows made of the arrays in an array",
}


class BackendContract(RowTests, TableTests, TransactionTests, QueryTests):
    """What every adapter does; derive from it, and give `url`.

    Attributes
    ----------
    opener
        What opens a database: `module:function`, called with a URL and a lock timeout. Another
        process calls it too.
    lacks
        What the database cannot do, of `LACKING`; the tests then ask for an error that says so.

    Examples
    --------
    >>> import pytest
    >>> class TestMine(BackendContract):
    ...     opener = "my_package.adapter:open_backend"
    ...
    ...     @pytest.fixture
    ...     def url(self, tmp_path):
    ...         return f"mine://{tmp_path}/app.db"
    """
