# ruff: noqa: D102, PLR2004 - tests say by their names what they show
"""Queries of backends, as tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.schema as sch
import numpy as np
import pyarrow as pa
import pytest

from barbule.errors import BarbuleError, UnsupportedError
from barbule.testing.cases import (
    STRUCT,
    VALUES,
    create_numbers,
)
from barbule.testing.fixtures import BackendFixtures

if TYPE_CHECKING:
    from barbule.backends.base import Backend

__all__ = ["QueryTests"]


class QueryTests(BackendFixtures):
    """Queries, streams, staged rows and similarity."""

    @pytest.mark.parametrize("writing", [False, True])
    def test_batches_give_all_rows_in_pieces(self, backend: Backend, writing: bool) -> None:
        query = create_numbers(backend, 10_000)
        if writing:
            with backend.transaction():
                backend.append("numbers", pa.table({"n": range(10_000, 12_000)}))
                batches = list(backend.batches(query, {}, 2048))
        else:
            batches = list(backend.batches(query, {}, 2048))
        result = pa.Table.from_batches(batches).column("n").to_pylist()
        assert result == list(range(12_000 if writing else 10_000))
        assert max(batch.num_rows for batch in batches) <= 2048

    def test_other_queries_may_run_between_two_batches(self, backend: Backend) -> None:
        query = create_numbers(backend, 10_000)
        leaf = backend.table("bb_given", sch.Schema({"n": "int64"})).to_expr()
        total = 0
        for batch in backend.batches(query, {"bb_given": pa.table({"n": [1]})}, 2048):
            total += batch.num_rows
            assert backend.arrow(leaf, {"bb_given": pa.table({"n": [2]})}).num_rows == 1
            backend.append("numbers", pa.table({"n": [-1]}))
        assert total == 10_000

    def test_batches_that_are_not_read_to_the_end_hold_nothing(self, backend: Backend) -> None:
        batches: Any = backend.batches(create_numbers(backend, 100_000), {}, 2048)
        next(batches)
        batches.close()
        backend.drop_table("numbers")
        assert backend.tables() == set()

    def test_in_memory_tables_of_a_query_are_staged(self, backend: Backend) -> None:
        query = create_numbers(backend, 5).join(ibis.memtable(pa.table({"n": [3, 9]})), "n")
        assert backend.arrow(query, {}).to_pylist() == [{"n": 3}]
        assert [batch.to_pylist() for batch in backend.batches(query, {}, 10)] == [[{"n": 3}]]

    def test_staged_tables_are_read_by_the_ibis_backend(self, backend: Backend) -> None:
        leaf = backend.table("bb_given", sch.Schema({"n": "int64", "s": "struct<x: int64>"}))
        rows = pa.table({"n": [1, 2], "s": [{"x": 1}, {"x": 2}]})
        with backend.staging({"bb_given": rows}) as reader:
            query = leaf.to_expr().filter(lambda t: t.s.x > 1)
            assert reader.to_pyarrow(query).to_pylist() == [{"n": 2, "s": {"x": 2}}]
            assert reader.execute(query.n.sum()) == 2
        with pytest.raises(Exception, match="bb_given"):
            backend.arrow(leaf.to_expr(), {})

    @pytest.mark.parametrize("count", [0, 1, 5, 64, 65, 300])
    @pytest.mark.parametrize("twice", [False, True])
    def test_staged_numbers_are_read_exactly(
        self, backend: Backend, count: int, twice: bool
    ) -> None:
        odd: list[Any] = [2**63 - 1, -(2**63), None, 0, -7]
        integers = [odd[n] if n < len(odd) else n for n in range(count)]
        values = [[0.1, -0.0, None, float("inf"), 1e-300][n % 5] for n in range(count)]
        leaf = backend.table("bb_given", sch.Schema({"n": "int64", 'a"b': "float64"})).to_expr()
        query: Any = leaf
        if twice:  # it becomes a common table expression of its own
            some = leaf.filter(leaf.n.notnull()).select("n", x=leaf.n)
            query = some.join(some.view(), "n")
        staged = pa.table(
            {"n": pa.array(integers, pa.int64()), 'a"b': pa.array(values, pa.float64())}
        )
        result = backend.arrow(query, {"bb_given": staged})
        if twice:
            expected = sorted(n for n in integers if n is not None)
            assert sorted(result["x"].to_pylist()) == expected
        else:
            assert sorted(map(repr, result.to_pylist())) == sorted(map(repr, staged.to_pylist()))

    def test_fields_and_values_within_are_computed(self, backend: Backend) -> None:
        schema = sch.Schema(
            {"s": STRUCT, "l": "array<struct<x: int64, s: string>>", "d": "array<array<int64>>"}
        )
        backend.create_table("t", schema)
        row = {"s": VALUES[STRUCT][0], "l": [{"x": 5, "s": "five"}], "d": [[1, 2], [3]]}
        backend.append("t", pa.Table.from_pylist([row], schema.to_pyarrow()))
        t = backend.table("t", schema).to_expr()
        query = t.filter(t.s.w.at.year() == 2024, t.l[0].s == "five").select(
            x=t.s.x, z=t.s.z[0], lx=t.l[0].x + 1, pair=ibis.struct({"x": t.l[0].x, "d": t.d[1]}),
            flat=t.d.flatten(), row=t.d[0], lengths=t.d.map(lambda inner: inner.length()),
        )  # fmt: skip
        assert backend.arrow(query, {}).to_pylist() == [
            {
                "x": 2**63 - 1,
                "z": 0.1,
                "lx": 6,
                "pair": {"x": 5, "d": [3]},
                "flat": [1, 2, 3],
                "row": [1, 2],
                "lengths": [2, 1],
            }
        ]

    def test_staged_rows_are_united_with_stored_ones_and_joined(self, backend: Backend) -> None:
        pairs = sch.Schema({"a": "int64", "b": "int64"})
        for name, rows in (("first", [(0, 0), (1, 1)]), ("second", [(0, 2), (1, 3), (2, 4)])):
            backend.create_table(name, pairs)
            backend.append(name, pa.table([*zip(*rows, strict=True)], names=["a", "b"]))
        kinds = sch.Schema({"a": "int64", "n": "int64", "k": "string"})
        backend.create_table("base", kinds)
        backend.append("base", pa.table({"a": range(5), "n": range(5), "k": ["x"] * 5}))
        first, second = (backend.table(name, pairs).to_expr() for name in ("first", "second"))
        base = backend.table("base", kinds).to_expr().filter(lambda t: t.n > 1)
        added = backend.table("bb_given", pairs).to_expr()
        joined: Any = second.join(base, second.b == base.a).select(c=second.a, k=base.k, n=base.n)
        joined = joined.filter(joined.n > 2)
        every: Any = ibis.union(first, added)
        result = every.join(joined, every.b == joined.c).group_by("k").agg(rows=lambda t: t.count())
        staged = {"bb_given": pa.table({"a": [2], "b": [2]})}
        assert backend.arrow(result, staged).to_pylist() == [{"k": "x", "rows": 2}]
        assert sum(map(len, backend.batches(result, staged, 10))) == 1
        assert backend.tables() == {"first", "second", "base"}

    @pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
    def test_similarities_are_those_of_numpy(self, backend: Backend, metric: str) -> None:
        schema = sch.Schema({"v": "array<float32, 16>", "q": "array<float32, 16>"})
        random = np.random.default_rng(7)
        v, q = random.normal(size=(2, 50, 16)).astype(np.float32)
        backend.create_table("t", schema)
        backend.append("t", pa.table({"v": list(v), "q": list(q)}, schema.to_pyarrow()))
        t = backend.table("t", schema).to_expr()
        value = backend.similarity(t.v.op(), t.q.op(), metric).to_expr()
        result = backend.arrow(t.select("v", s=value), {})
        dots = np.einsum("ij,ij->i", v, q)
        expected = {
            "cosine": dots / (np.linalg.norm(v, axis=1) * np.linalg.norm(q, axis=1)),
            "ip": dots,
            "l2": -np.linalg.norm(v - q, axis=1),
        }[metric]
        expected_by_first = dict(zip(v[:, 0].tolist(), expected.tolist(), strict=True))
        for row in result.to_pylist():
            assert row["s"] == pytest.approx(expected_by_first[row["v"][0]], rel=1e-4, abs=1e-5)

    def test_rows_are_made_of_the_arrays_in_an_array(self, backend: Backend) -> None:
        schema = sch.Schema({"d": "array<array<int64>>"})
        leaf = backend.table("bb_given", schema).to_expr()
        staged = {"bb_given": pa.table({"d": [[[1, 2], [3]]]}, schema.to_pyarrow())}
        query = leaf.select(x=leaf.d.unnest())
        if "unnest-nested" in self.lacks:
            with pytest.raises(UnsupportedError, match=r"unnest\(\) of an array of arrays"):
                backend.arrow(query, staged)
        else:
            assert backend.arrow(query, staged).to_pylist() == [{"x": [1, 2]}, {"x": [3]}]

    def test_a_cast_may_give_nothing_instead_of_failing(self, backend: Backend) -> None:
        leaf = backend.table("bb_given", sch.Schema({"s": "string"})).to_expr()
        staged = {"bb_given": pa.table({"s": ["1", "x"]})}
        query = leaf.select(x=leaf.s.try_cast("int64"))
        assert backend.arrow(query, staged).to_pylist() == [{"x": 1}, {"x": None}]

    def test_what_it_cannot_run_is_said_so(self, backend: Backend) -> None:
        query = create_numbers(backend, 3)
        with pytest.raises(BarbuleError, match=r"cannot run this expression.*@bb\.udf"):
            backend.arrow(query.select(x=query.n.cast("string").authority()), {})

    def test_a_value_that_cannot_be_computed_is_said_so(self, backend: Backend) -> None:
        query = create_numbers(backend, 3)
        bad = query.select(x=(query.n.cast("string") + "x").cast("int64"))
        with pytest.raises(BarbuleError, match="cannot compute this"):
            backend.arrow(bad, {})
        assert backend.arrow(query, {}).num_rows == 3
