"""Timeout of tests for expected events, long enough for a slow machine."""

PATIENCE = 300  # seconds, on a machine under load
