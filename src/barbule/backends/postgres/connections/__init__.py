"""Connections to a Postgres database: its address, the pool of them, and the write lock."""
