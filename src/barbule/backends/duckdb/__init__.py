"""The DuckDB backend: a file that processes hand over to each other, or a database in memory.

`adapter` opens it and combines its three parts: `connection`, `reader` and `row_store`.
`connections` owns the file and its cursors, `sql` the SQL, `arrow` the results, `staging` the Arrow
rows that statements read, `ibis` Ibis' own backend on the same connections.
"""

from barbule.backends.duckdb.adapter import DuckDBBackend, is_persistent, open_backend

__all__ = ["DuckDBBackend", "is_persistent", "open_backend"]
