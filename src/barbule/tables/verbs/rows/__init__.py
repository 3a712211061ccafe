"""Verbs that change rows, one file each, and what they share."""
