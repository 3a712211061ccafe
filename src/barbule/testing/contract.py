"""The contract of backends, as one class of tests."""

from __future__ import annotations

from barbule.testing.queries import QueryTests
from barbule.testing.rows import RowTests
from barbule.testing.tables import TableTests
from barbule.testing.transactions import TransactionTests

__all__ = ["LACKING", "BackendContract"]

# Features that a database may lack, by name in `lacks`.
LACKING = {
    "nul": "strings with the character NUL",
    "unnest-nested": "unnesting of nested arrays",
}


class BackendContract(RowTests, TableTests, TransactionTests, QueryTests):
    """The tests of backends; derive from it, and define `url`.

    `TransactionTests` test the `Connection`, `QueryTests` the `Reader`, and `RowTests` and
    `TableTests` the `RowStore` of `barbule.backends.base.Backend`.

    Attributes
    ----------
    opener
        The function that opens a database, as `module:function`; it is called with a URL and a lock
        timeout, also in another process.
    lacks
        The features that the database lacks, from `barbule.testing.LACKING`; the tests then require
        an error that says so.

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
