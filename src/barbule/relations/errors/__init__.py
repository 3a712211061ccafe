"""Errors of invalid queries, with hints."""
