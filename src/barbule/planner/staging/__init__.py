"""Staging: calls become stages that later stages read."""
