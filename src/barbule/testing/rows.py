# ruff: noqa: D102 - tests say by their names what they show
"""Stored values of every type, as tests."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import ibis.expr.schema as sch
import pyarrow as pa
import pytest

from barbule.errors import BarbuleError
from barbule.testing.cases import (
    NOON,
    TEXTS,
    VALUES,
    comparable,
    comparable_values,
    read,
    string_key,
)
from barbule.testing.fixtures import BackendFixtures

if TYPE_CHECKING:
    from barbule.backends.base import Backend

__all__ = ["RowTests"]


class RowTests(BackendFixtures):
    """Values round-trip unchanged."""

    @pytest.mark.parametrize("dtype", VALUES)
    def test_values_come_back_as_they_were(self, backend: Backend, dtype: str) -> None:
        schema = sch.Schema({"v": dtype})
        backend.create_table("t", schema)
        values = [*VALUES[dtype], None]
        rows = pa.table({"v": pa.array(values, schema.to_pyarrow().field("v").type)})
        backend.append("t", rows)
        leaf = backend.table("t", schema).to_expr()
        result = backend.arrow(leaf, {})
        expected = sorted(repr(comparable(dtype, value)) for value in rows["v"].to_pylist())
        assert result.schema.field("v").type == rows.schema.field("v").type
        assert comparable_values(dtype, result) == expected
        batches = pa.Table.from_batches(backend.batches(leaf, {}, 2))
        assert comparable_values(dtype, batches) == expected

    @pytest.mark.parametrize("dtype", VALUES)
    def test_staged_values_are_those_given(self, backend: Backend, dtype: str) -> None:
        schema = sch.Schema({"v": dtype})
        few = pa.table({"v": pa.array(VALUES[dtype], schema.to_pyarrow().field("v").type)})
        leaf = backend.table("bb_given", schema).to_expr()
        for rows in (few, pa.concat_tables([few] * 100)):
            result = backend.arrow(leaf.filter(leaf.v.notnull()), {"bb_given": rows})
            assert comparable_values(dtype, result) == comparable_values(dtype, rows)
        assert backend.tables() == set()

    def test_rows_are_matched_by_name_and_others_are_empty(self, backend: Backend) -> None:
        schema = {"a": "int64", "b": "string", "c": "array<float32>", "s": "struct<x: int64>"}
        backend.create_table("t", sch.Schema(schema))
        backend.append("t", pa.table({"b": ["x"], "a": pa.array([1], pa.int8())}))
        assert read(backend, "t", schema) == [{"a": 1, "b": "x", "c": None, "s": None}]

    def test_empty_tables_and_batches(self, backend: Backend) -> None:
        schema = sch.Schema({"a": "int64", "s": "struct<x: int64>", "v": "array<float32, 2>"})
        backend.create_table("t", schema)
        backend.append("t", schema.to_pyarrow().empty_table())
        leaf = backend.table("t", schema).to_expr()
        assert backend.arrow(leaf, {}).schema.types == schema.to_pyarrow().types
        assert [batch.num_rows for batch in backend.batches(leaf, {}, 10) if batch.num_rows] == []
        staged_leaf = backend.table("bb_given", schema).to_expr()
        staged = {"bb_given": schema.to_pyarrow().empty_table()}
        assert backend.arrow(staged_leaf, staged).num_rows == 0
        assert backend.arrow(leaf.count().as_table(), {}).to_pylist()[0].popitem()[1] == 0

    def test_texts_with_the_character_nul(self, backend: Backend) -> None:
        schema = {"v": "string"}
        backend.create_table("t", sch.Schema(schema))
        rows = pa.table({"v": ["fine", "a\0b"]})
        if "nul" in self.lacks:
            with pytest.raises(BarbuleError, match=r"NUL"):
                backend.append("t", rows)
            with pytest.raises(BarbuleError, match=r"NUL"):
                backend.insert("t", [{"v": "a\0b"}])
            assert read(backend, "t", schema) == []
        else:
            backend.append("t", rows)
            assert [row["v"] for row in read(backend, "t", schema)] == ["fine", "a\0b"]

    def test_a_thousand_columns(self, backend: Backend) -> None:
        schema = {f"c{n}": "int64" if n % 2 else "float64" for n in range(1000)}
        backend.create_table("t", sch.Schema(schema))
        row = {name: n if n % 2 else n / 8 for n, name in enumerate(schema)}
        backend.append("t", pa.Table.from_pylist([row]))
        assert read(backend, "t", schema) == [row]

    def test_rows_are_found_by_texts(self, backend: Backend) -> None:
        schema = {"s": "string", "n": "int64", "b": "binary", "at": "timestamp('UTC')"}
        moment = NOON.replace(tzinfo=datetime.UTC)
        rows = [
            {"s": text, "n": n, "b": text.encode() if text and n % 2 else None, "at": moment}
            for n, text in enumerate((*TEXTS, TEXTS[1], None))
        ]
        backend.create_table("t", sch.Schema(schema))
        backend.append("t", pa.Table.from_pylist(rows, sch.Schema(schema).to_pyarrow()))
        some = sch.Schema({name: schema[name] for name in ("b", "s", "at", "n")})
        leaf = backend.table("t", some).to_expr()

        def rows_with(*texts: str) -> pa.Table:
            return backend.rows_with_values(leaf, "s", texts).sort_by("n")

        assert rows_with("none").num_rows == 0
        assert rows_with("none").schema.types == some.to_pyarrow().types
        for text in TEXTS:
            expected = [row for row in rows if row["s"] == text]
            assert rows_with(text).to_pylist() == expected
            assert rows_with(text).column_names == [*some.names]
        assert rows_with(*TEXTS, "none").to_pylist() == rows[:-1]

    def test_insert_takes_plain_values(self, backend: Backend) -> None:
        schema = {
            "at": "timestamp('UTC')",
            "n": "int64",
            "f": "boolean",
            "s": "string",
            "x": "float64",
        }
        backend.create_table("t", sch.Schema(schema))
        moment = NOON.replace(tzinfo=datetime.UTC)
        rows = [{"at": moment, "n": 2**63 - 1, "f": False, "s": text, "x": 0.1} for text in TEXTS]
        rows.append(dict.fromkeys(schema))
        backend.insert("t", rows)
        result = read(backend, "t", schema)
        assert sorted(result, key=string_key) == sorted(rows, key=string_key)
        backend.delete_rows("t", {"s": TEXTS[2]})
        assert len(read(backend, "t", schema)) == len(rows) - 1
