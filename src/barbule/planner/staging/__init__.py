"""Staging: calls become stages, which later ones read."""
