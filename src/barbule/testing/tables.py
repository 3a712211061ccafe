# ruff: noqa: D102, PLR2004 - tests say by their names what they show
"""Tables, columns and the lifetimes of rows, as tests."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.schema as sch
import pyarrow as pa
import pytest

from barbule.backends.base import FOREVER, FROM, RID, TO
from barbule.testing.cases import (
    LIFE,
    ODD_NAMES,
    STRUCT,
    VALUES,
    comparable,
    create_live_rows,
    read,
)
from barbule.testing.fixtures import BackendFixtures

if TYPE_CHECKING:
    from barbule.backends.base import Backend

__all__ = ["TableTests"]


class TableTests(BackendFixtures):
    """Tables, columns, names, and the end of rows."""

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_any_name_is_only_a_name(self, backend: Backend, name: str) -> None:
        schema = {**LIFE, name: "string"}
        backend.create_table("t", sch.Schema({"a": "int64"}))
        backend.create_table("u", sch.Schema({**LIFE, "x": "int64"}))
        backend.add_column("u", name, ibis.dtype("string"))
        backend.insert("u", [{RID: 0, FROM: 1, TO: FOREVER, name: name}])
        backend.append("u", pa.table({RID: [1], FROM: [1], TO: [FOREVER], name: ["y"]}))
        backend.fill_column("u", name, pa.table({RID: [1], name: ["filled"]}))
        result = {row[RID]: row[name] for row in read(backend, "u", schema)}
        assert result == {0: name, 1: "filled"}
        leaf = backend.table("u", sch.Schema(schema)).to_expr()
        joined = leaf.join(leaf.view(), RID).filter(leaf[name] == name).select(name)
        assert backend.arrow(joined, {}).to_pylist() == [{name: name}]
        backend.delete_rows("u", {name: name})
        assert [row[RID] for row in read(backend, "u", schema)] == [1]
        backend.drop_column("u", name)
        backend.add_column("u", name, ibis.dtype("int64"))
        assert read(backend, "u", {name: "int64"}) == [{name: None}]

    @pytest.mark.parametrize("name", [name for name in ODD_NAMES if len(name) < 60])
    def test_any_name_of_a_table(self, backend: Backend, name: str) -> None:
        backend.create_table("t", sch.Schema({"a": "int64"}))
        backend.create_table(name, sch.Schema({"a": "int64"}))
        backend.append(name, pa.table({"a": [1]}))
        assert read(backend, name, {"a": "int64"}) == [{"a": 1}]
        assert backend.tables() == {"t", name}
        backend.drop_table(name)
        backend.drop_table(name)
        assert backend.tables() == {"t"}

    def test_what_a_crash_left_is_replaced(self, backend: Backend) -> None:
        schema = create_live_rows(backend)
        backend.fill_column("t", "x", pa.table({RID: [0], "x": [7]}))
        backend.add_column("t", "x", ibis.dtype("string"))
        assert [row["x"] for row in read(backend, "t", {**schema, "x": "string"})] == [None] * 3
        backend.create_table("t", sch.Schema({"z": "string"}))
        assert read(backend, "t", {"z": "string"}) == []

    def test_columns_can_be_dropped_and_added(self, backend: Backend) -> None:
        schema = create_live_rows(backend)
        backend.drop_column("t", "x")
        backend.drop_column("t", "x")
        for name, kind in (
            ("y", STRUCT),
            ("z", "array<array<int64>>"),
            ("w", "array<float32, 2>"),
        ):
            backend.add_column("t", name, ibis.dtype(kind))
            schema[name] = kind
        del schema["x"]
        assert read(backend, "t", schema)[0].keys() == schema.keys()

    @pytest.mark.parametrize("length", [2, 1000], ids=["small", "large"])
    def test_columns_are_added_with_their_values(self, backend: Backend, length: int) -> None:
        """Live rows have the values and ended rows have none; the others keep their values."""
        schema = create_live_rows(backend)
        backend.append("t", pa.table({RID: [9], FROM: [2], TO: [3], "x": [90]}))
        backend.end_rows("t", [1], 4)
        more = [1, *range(20, 3020)]
        state = {FROM: [4] * len(more), TO: [FOREVER] * len(more), "x": more}
        backend.append("t", pa.table({RID: more, **state}))
        before = _sorted_by_life(read(backend, "t", schema))
        rids = sorted((row[RID] for row in before if row[TO] == FOREVER), reverse=True)
        kind = f"array<float32, {length}>"
        flat = pa.array([float(rid) for rid in rids for _ in range(length)], pa.float32())
        vectors = pa.FixedSizeListArray.from_arrays(flat, length)
        rows = pa.table({RID: rids, "v": vectors, "n": [10 * rid for rid in rids]})
        kinds = {"n": ibis.dtype("int64"), "v": ibis.dtype(kind), "e": ibis.dtype("string")}
        with backend.transaction():
            backend.add_columns("t", kinds, {"v": rows, "n": rows.select([RID, "n"])})
        result = _sorted_by_life(
            read(backend, "t", {**schema, "n": "int64", "v": kind, "e": "string"})
        )
        assert [{name: row[name] for name in schema} for row in result] == before
        for row in result:
            live = row[TO] == FOREVER
            assert row["n"] == (10 * row[RID] if live else None)
            assert (row["v"] or [None])[-1] == (row[RID] if live else None)
            assert row["e"] is None

    # Lifetimes of rows

    def test_close_ends_live_rows_only_and_once(self, backend: Backend) -> None:
        schema = create_live_rows(backend)
        backend.end_rows("t", [0, 1], 4)
        backend.append("t", pa.table({RID: [0], FROM: [4], TO: [FOREVER]}))
        backend.end_rows("t", pa.array([1, 99], pa.int64()), 9)
        backend.end_rows("t", [], 9)
        lives = sorted((row[RID], row[FROM], row[TO]) for row in read(backend, "t", schema))
        assert lives == [(0, 1, 4), (0, 4, FOREVER), (1, 1, 4), (2, 1, FOREVER)]

    def test_close_ends_many_rows(self, backend: Backend) -> None:
        schema = {**LIFE}
        backend.create_table("t", sch.Schema(schema))
        count = 20_000
        rows = {RID: range(count), FROM: [1] * count, TO: [FOREVER] * count}
        backend.append("t", pa.table(rows))
        backend.end_rows("t", pa.array(range(0, count, 2)), 2)
        assert sum(row[TO] == 2 for row in read(backend, "t", schema)) == count // 2

    def test_newer_states_take_the_place_of_the_rows_they_come_from(self, backend: Backend) -> None:
        schema = create_live_rows(backend)
        leaf = backend.table("t", sch.Schema(schema)).to_expr()
        newer = leaf.filter((leaf[RID] >= 1) & (leaf[TO] == FOREVER))
        newer = newer.select(RID, x=newer[RID] * 10)
        with backend.transaction():
            assert backend.replace_rows("t", newer, 7) == 2
            assert backend.replace_rows("t", newer.filter(newer.x > 99), 8) == 0
        rows = sorted(tuple(row[name] for name in schema) for row in read(backend, "t", schema))
        assert [row[:3] for row in rows] == [
            (0, 1, FOREVER), (1, 1, 7), (1, 7, FOREVER), (2, 1, 7), (2, 7, FOREVER),
        ]  # fmt: skip
        assert [row[3] for row in rows] == [None, None, 10, None, 20]

    @pytest.mark.parametrize("around", [False, True])
    def test_newer_states_keep_what_is_not_given(self, backend: Backend, around: bool) -> None:
        schema = {**LIFE, "a": "int64", "b": "string"}
        backend.create_table("t", sch.Schema(schema))
        rows = {RID: [0, 1], FROM: [1, 1], TO: [FOREVER] * 2, "a": [3, 4], "b": ["x", None]}
        backend.append("t", pa.table(rows))
        leaf = backend.table("t", sch.Schema(schema)).to_expr()
        mean = leaf.agg(mean=leaf.a.mean()).as_scalar() if around else ibis.literal(3.5)
        newer = leaf.filter(leaf.a > mean).select(RID, a=leaf.a + 1)
        with backend.transaction():
            assert backend.replace_rows("t", newer, 2, ["b"]) == 1
        result = {(row[RID], row[FROM], row["a"], row["b"]) for row in read(backend, "t", schema)}
        assert result == {(0, 1, 3, "x"), (1, 1, 4, None), (1, 2, 5, None)}

    def test_rows_that_are_chosen_at_random_have_one_live_state(self, backend: Backend) -> None:
        schema = {**LIFE}
        backend.create_table("t", sch.Schema(schema))
        count = 1000
        backend.append("t", pa.table({RID: range(count), FROM: [1] * count, TO: [FOREVER] * count}))
        leaf = backend.table("t", sch.Schema(schema)).to_expr()
        chosen = leaf.filter(ibis.random() < 0.5).select(RID)
        with backend.transaction():
            replaced = backend.replace_rows("t", chosen, 2)
        assert 0 < replaced < count
        live = [row[RID] for row in read(backend, "t", schema) if row[TO] == FOREVER]
        assert sorted(live) == list(range(count))

    def test_rows_that_a_query_gives_end(self, backend: Backend) -> None:
        schema = create_live_rows(backend)
        leaf = backend.table("t", sch.Schema(schema)).to_expr()
        query = leaf.filter(leaf[RID] < 2).select(RID)
        assert backend.end_query_rows("t", query, 9, {}) == 2
        assert backend.end_query_rows("t", query, 10, {}) == 0
        ended = {row[RID]: row[TO] for row in read(backend, "t", schema) if row[TO] != FOREVER}
        assert ended == {0: 9, 1: 9}

    def test_fill_sets_live_rows_only(self, backend: Backend) -> None:
        schema = create_live_rows(backend)
        backend.end_rows("t", [0], 4)
        backend.append("t", pa.table({RID: [0], FROM: [4], TO: [FOREVER]}))
        backend.fill_column("t", "x", pa.table({RID: [0, 1], "x": [10, None]}))
        result = {(row[RID], row[TO]): row["x"] for row in read(backend, "t", schema)}
        assert result == {(0, 4): None, (0, FOREVER): 10, (1, FOREVER): None, (2, FOREVER): None}

    @pytest.mark.parametrize("around", [False, True])
    def test_columns_of_live_rows_are_filled_by_a_query(
        self, backend: Backend, around: bool
    ) -> None:
        schema = create_live_rows(backend, {"x": "int64", "y": "float64", "z": "string"})
        backend.end_rows("t", [0], 4)
        newer = {RID: [0, 3], FROM: [4, 4], TO: [FOREVER] * 2, "x": [1, None]}
        backend.append("t", pa.table(newer))
        leaf = backend.table("t", sch.Schema(schema)).to_expr()
        most = leaf.agg(most=leaf[RID].max()).as_scalar() if around else ibis.literal(3)
        live = leaf.filter(leaf[TO] == FOREVER)
        chosen = live.filter((live[RID] < 1) | (live[RID] >= most))
        query = chosen.select(RID, y=chosen.x / 2, z=chosen[RID].cast("string"))
        with backend.transaction():
            assert backend.fill_columns("t", query) == 2
        rows = read(backend, "t", schema)
        assert {(row[RID], row[FROM]): (row["y"], row["z"]) for row in rows} == {
            (0, 1): (None, None), (0, 4): (0.5, "0"), (1, 1): (None, None), (2, 1): (None, None),
            (3, 4): (None, "3"),
        }  # fmt: skip

    @pytest.mark.parametrize("kind", [STRUCT, "array<array<int64>>", "json", "uuid"])
    def test_fill_takes_every_type(self, backend: Backend, kind: str) -> None:
        create_live_rows(backend, {"x": kind})
        arrow_schema = sch.Schema({RID: "int64", "x": kind}).to_pyarrow()
        rows = pa.Table.from_pylist([{RID: 1, "x": VALUES[kind][0]}], arrow_schema)
        backend.fill_column("t", "x", rows)
        result = read(backend, "t", {RID: "int64", "x": kind})
        values = {row[RID]: comparable(kind, row["x"]) for row in result}
        assert values[1] == comparable(kind, rows["x"].to_pylist()[0])

    def test_purge_deletes_ended_rows_but_those_to_keep(self, backend: Backend) -> None:
        schema = {**LIFE}
        backend.create_table("t", sch.Schema(schema))
        lives = [(0, 1, 3), (1, 1, 6), (2, 4, 5), (3, 2, 9), (4, 1, FOREVER)]
        backend.append("t", pa.table([*zip(*lives, strict=True)], names=[RID, FROM, TO]))
        assert backend.purge_rows("t", 6, [5]) == 2
        assert sorted(row[RID] for row in read(backend, "t", schema)) == [1, 3, 4]
        assert backend.purge_rows("t", 9, []) == 2
        assert [row[RID] for row in read(backend, "t", schema)] == [4]

    def test_columns_are_named_and_rows_deleted_by_values(self, backend: Backend) -> None:
        assert backend.columns("t") == set()
        backend.create_table("t", sch.Schema({"key": "string", "n": "int64"}))
        assert backend.columns("t") == {"key", "n"}
        rows = [{"key": f"it's {n % 3}", "n": n} for n in range(6)] + [{"key": None, "n": 6}]
        backend.insert("t", rows)
        backend.delete_with_values("t", "key", ["it's 0", "it's 2", "none"])
        result = read(backend, "t", {"key": "string", "n": "int64"})
        assert sorted(row["n"] for row in result) == [1, 4, 6]


def _sorted_by_life(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=itemgetter(RID, FROM))
