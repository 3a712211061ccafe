"""The rows that every side works on: from a seed, the same for all, in the forms they come in."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    import pandas as pd

SEED = 20
GENRES = 1000
FIRST_YEAR, YEARS = 1920, 100

# What the operations choose. Each year has one row in a hundred.
HALF = 1970  # years from here on are half of the rows
TENTH = 2010  # and from here on a tenth
LATE = 1930  # the years before are a tenth
CHANGES = 100  # updates of one genre each, so of a tenth of the rows together


class Films:
    """Films with a name, a revenue, a budget, one of a thousand genres, and a year."""

    def __init__(self, rows: int) -> None:
        self.count = rows
        self.one_name = f"film {rows // 2:07}"
        self.one = {
            "name": "one more film",
            "revenue": 800.5,
            "budget": 200.25,
            "genre": "genre 0007",
            "year": 1999,
        }

    @cached_property
    def arrow(self) -> pa.Table:
        """The rows as an Arrow table."""
        noise = np.random.default_rng(SEED)
        years = FIRST_YEAR + noise.permutation(self.count) % YEARS
        # Quarters are exact, so that sums are the same in whatever order an engine adds them.
        return pa.table(
            {
                "name": pa.array([f"film {number:07}" for number in range(self.count)]),
                "revenue": pa.array(noise.integers(0, 4_000_000, self.count) / 4),
                "budget": pa.array(noise.integers(4, 2_000_000, self.count) / 4),
                "genre": pa.array(
                    [f"genre {kind:04}" for kind in noise.integers(0, GENRES, self.count)]
                ),
                "year": pa.array(years.astype("int64")),
            }
        )

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The rows as dicts."""
        return self.arrow.to_pylist()

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The rows as a DataFrame."""
        return self.arrow.to_pandas()


def shout(name: str) -> str:
    """Stand for the function of a user, which is called with one row."""
    return name.upper() + "!"


def shout_all(names: list[str]) -> list[str]:
    """Stand for one that is called with a batch."""
    return [name.upper() + "!" for name in names]
