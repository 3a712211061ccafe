"""SQL for Postgres: operations, statements, column types and literals."""
