"""Errors of queries that cannot be built, with hints."""
