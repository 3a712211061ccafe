"""What workers of a loader run, where other processes can import it."""

from __future__ import annotations


def by_size(row):
    """Make the item of a row."""
    return row["n"], row["img"].size if row["img"] else None


def read_share(content, worker, workers, answers):
    """Read what a worker has to, and say which rows had a picture of the right size."""
    answers.put([number for number, size in content.rows(worker, workers) if size == (2, 2)])
