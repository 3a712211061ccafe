"""The DuckDB adapter: a file that processes hand to each other, or a database in memory.

`adapter` is the backend, `file` the file and who has it, `statements` the SQL that writes,
`staging` the way of Arrow rows, `ibis` Ibis' own backend on the same connections.
"""

from barbule.backends.duckdb.adapter import DuckDBBackend, is_persistent, open_backend

__all__ = ["DuckDBBackend", "is_persistent", "open_backend"]
