"""Functions for loader workers, importable by other processes."""

from __future__ import annotations


def by_size(row):
    """Return the item of a row."""
    return row["n"], row["img"].size if row["img"] else None


def read_share(content, worker, workers, answers):
    """Read a worker's share and report the rows with an image of the right size."""
    answers.put([number for number, size in content.rows(worker, workers) if size == (2, 2)])
