"""Connections to a DuckDB database: a file that processes hand over, and interruptible reads."""
