"""SQL for DuckDB: operations, statements and parameters."""
