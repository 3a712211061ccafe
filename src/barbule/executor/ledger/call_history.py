"""Queries over past calls: which were made, for which cells, and their usage.

Owns these queries over the table `bb_calls`; nothing is written here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.schema as sch

from barbule.executor.ledger.answers import CALLS_SCHEMA, CALLS_TABLE

if TYPE_CHECKING:
    import datetime
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import ibis.expr.types as ir

    from barbule.backends.base import Reader

__all__ = ["REQUESTED_KEYS", "CallHistory"]

REQUESTED_KEYS = "bb_asked"
"""The name of the staged table of keys that a query searches."""

_REQUESTED_ROWS = "bb_asking_rows"


class CallHistory:
    """The calls that one ledger has recorded.

    Parameters
    ----------
    flush
        Writes the pending answers, so that queries see them.
    """

    def __init__(self, reader: Reader, flush: Callable[[], None]) -> None:
        self._reader = reader
        self._flush = flush

    def _calls(self) -> ir.Table:
        return self._reader.table(CALLS_TABLE, CALLS_SCHEMA).to_expr()

    def answer_lengths(
        self, function: str, template_hash: str, models: Sequence[str]
    ) -> Mapping[str, Mapping[str, Any]]:
        """Return the token counts of answers of a function, by model: number and bounds.

        Counts of the same call for other rows are more accurate than those of other calls; the
        latter are used for a model that has none of the former.
        """
        self._flush()
        calls = self._calls()
        answered = calls.answer.notnull() & calls.tokens_out.notnull()
        calls = calls.filter(calls.function == function, calls.model.isin(list(models)), answered)
        calls = calls.mutate(same=(calls.question == template_hash).fill_null(False))
        lengths = calls.group_by("model", "same").agg(
            n=calls.count(),
            low=calls.tokens_out.min(),
            expected=calls.tokens_out.mean(),
            high=calls.tokens_out.max(),
        )
        rows = self._reader.arrow(lengths, {}).to_pylist()
        return {row["model"]: row for row in sorted(rows, key=lambda row: bool(row["same"]))}

    def recorded_keys(self, keys: Sequence[str]) -> set[str]:
        """Return the `keys` that are recorded, with an answer or with a failure."""
        return set(self._distinct_values(keys, "key"))

    def functions(self, keys: Sequence[str]) -> set[str]:
        """Return the functions of the calls with these keys."""
        return set(self._distinct_values(keys, "function"))

    def _distinct_values(self, keys: Sequence[str], column: str) -> list[str]:
        """Return the values of a column in the rows of these keys."""
        import pyarrow as pa

        if not keys:
            return []
        self._flush()
        requested = self._reader.table(REQUESTED_KEYS, sch.Schema({"key": "string"})).to_expr()
        query = self._calls().semi_join(requested, "key").select(column).distinct()
        rows = self._reader.arrow(query, {REQUESTED_KEYS: pa.table({"key": list(keys)})})
        return list(rows[column].to_pylist())

    def versions(self, function: str) -> list[str]:
        """Return the versions of a function that have calls."""
        self._flush()
        calls = self._calls()
        query = calls.filter(calls.function == function).select("version").distinct()
        return list(self._reader.arrow(query, {})["version"].to_pylist())

    def keys_of_rows(
        self, tables: Iterable[str], rows: Sequence[int], since: datetime.datetime
    ) -> set[str]:
        """Return the keys of the calls that were first made for rows of a table.

        Parameters
        ----------
        tables
            The names that the table has had.
        """
        import pyarrow as pa

        self._flush()
        calls = self._calls()
        requested = self._reader.table(_REQUESTED_ROWS, sch.Schema({"row": "int64"})).to_expr()
        calls = calls.filter(calls.table.isin(list(tables)), calls["at"] >= ibis.literal(since))
        query = calls.semi_join(requested, "row").select("key").distinct()
        staged = {_REQUESTED_ROWS: pa.table({"row": pa.array(rows, pa.int64())})}
        return set(self._reader.arrow(query, staged)["key"].to_pylist())

    def spent(
        self, table: str, since: datetime.datetime, without: Iterable[str] = ()
    ) -> Mapping[str, Any]:
        """Return the spending of a table since a timestamp: calls, tokens and dollars.

        Parameters
        ----------
        without
            Holders of reservations that are counted elsewhere.
        """
        calls = self._calls()
        other = calls.holder.isnull() | ~calls.holder.isin(list(without))
        calls = calls.filter(calls.table == table, calls["at"] >= ibis.literal(since), other)
        query = calls.agg(
            calls=calls.requests.fill_null(1).sum(),  # older rows have no number of requests
            tokens=(calls.tokens_in.fill_null(0) + calls.tokens_out.fill_null(0)).sum(),
            usd=calls.usd.sum(),
        )
        (row,) = self._reader.arrow(query, {}).to_pylist()
        return {name: value or 0 for name, value in row.items()}
