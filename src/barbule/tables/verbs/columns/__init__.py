"""Verbs that change columns, one file each, and what they share."""
