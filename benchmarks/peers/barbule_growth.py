"""barbule as a table grows: what its versions cost, when inserting, now and a hundred ago."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from barbule_tables import SCHEMA, Barbule
from films import CHANGES, HALF, Films
from memory import peak_mb
from serve import Work, serve

import barbule as bb

if TYPE_CHECKING:
    from pathlib import Path


class Growth(Barbule):
    """The same questions about a table that nothing was done to, and one that was changed."""

    def __init__(self, home: Path, films: Films) -> None:
        super().__init__(home, films)
        self.home = home

    def changed(self) -> Any:
        """The table after a hundred updates of a thousandth of its rows each."""
        if not hasattr(self, "_changed"):
            self._changed = bb.create_table("changed", SCHEMA)
            self._before = self._changed.insert(self.films.arrow).version
            for number in range(CHANGES):
                films, genre = self._changed, f"genre {number:04}"
                films.update({"budget": films.budget + 1}, where=films.genre == genre)
        return self._changed

    def _ask(self, films: Any) -> Work:
        def work() -> Any:
            chosen = films.where(films.year >= HALF)
            return chosen.agg(
                count=chosen.count(), total=chosen.revenue.sum(), most=chosen.budget.max()
            ).collect()

        return work, lambda rows: list(rows[0].values())

    def latest_untouched(self) -> Work:
        return self._ask(self.standing())

    def latest_changed(self) -> Work:
        return self._ask(self.changed())

    def back_100(self) -> Work:
        return self._ask(self.changed().at(self._before))

    def small_query(self) -> Work:
        films = self.standing()
        return (
            lambda: list(films.where(films.year >= HALF).select("name").limit(1).collect()),
            len,
        )

    def insert_parquet(self) -> Work:
        big = bb.create_table("big", {"number": bb.Int, "text": bb.String, "value": bb.Float})
        return (
            lambda: big.insert(str(self.home / "big.parquet")),
            lambda result: {"peak_mb": peak_mb(), "rows": result.rows},
        )


if __name__ == "__main__":
    serve(Growth)
