"""Fake servers and data for tests, used over real protocols; no part of barbule is replaced."""
