"""Mistakes that would silently do nothing, or something else, are refused with a hint."""

from __future__ import annotations

import copy
import json
import pickle

import ibis
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from ibis import _

import barbule as bb
from barbule.errors import (
    DependencyError,
    ExpressionError,
    SchemaError,
    TableExistsError,
    TableNotFoundError,
)


@pytest.fixture
def table(session):
    return session.create_table("t", [{"k": n, "a": n % 2, "s": str(n)} for n in range(3)])


MASKS = [
    np.array([True, False, False]),
    np.array([True]),
    pd.Series([True, False, False]),
    pd.Series([True, False, False]).array,
    pl.Series([True, False, False]),
    pa.array([True, False, False]),
    pa.chunked_array([[True], [False, False]]),
    [True, True, True],
    (False,),
    [True, None, False],
]


class TestMasks:
    @pytest.mark.parametrize("mask", MASKS, ids=lambda mask: type(mask).__name__)
    def test_boolean_mask_as_condition_is_refused(self, table, mask):
        for choose in (
            lambda: table.delete(where=mask),
            lambda: table.delete(where=mask, purge=True),
            lambda: table.update({"a": 7}, where=mask),
            lambda: table.recompute(where=mask),
            lambda: table.where(mask),
            lambda: table.filter(mask),
            lambda: table.join(table.view(), "k").filter(mask),
        ):
            with pytest.raises(ExpressionError, match=r"values by position.*isin"):
                choose()
        assert len(table.history()) == 1

    def test_python_bool_as_condition_is_refused(self, table):
        for source in (np.bool_(True), [table.k == 1, True]):
            with pytest.raises(ExpressionError, match="this one is the constant True"):
                table.delete(where=source)

    def test_list_of_conditions_is_accepted(self, table):
        assert table.filter([table.k > 0, _.a == 1]).collect()["k"] == [1]
        assert table.filter(True).count().to_pyarrow().as_py() == 3
        assert table.delete(where=[table.k > 0, _.a == 1]).rows == 1


class TestComputedColumns:
    @pytest.mark.parametrize("argument", ["a note", None, True, [1], {"a": 1}, b"x"])
    def test_constant_as_computed_column_is_refused(self, table, argument):
        with pytest.raises(ExpressionError, match=r"'comment'.*ibis.literal"):
            table.add_computed_column(x=table.a + 1, comment=argument)
        assert table.columns == ("k", "a", "s")

    def test_explicit_literal_as_computed_column_is_accepted(self, table):
        table.add_computed_column(comment=ibis.literal("a note"), number=7)
        assert table.collect()[0, "comment"] == "a note"


class TestDropping:
    def test_drop_table_takes_table_object(self, session, table):
        session.drop_table(table)
        assert session.list_tables() == []
        session.drop_table(table, if_not_exists="ignore")
        with pytest.raises(TableNotFoundError, match="dropped"):
            session.drop_table(table)

    def test_stale_table_object_does_not_drop_new_table(self, session, table):
        session.drop_table("t")
        session.create_table("t", {"other": bb.Int})
        session.drop_table(table, if_not_exists="ignore")
        assert session.list_tables() == ["t"]

    def test_drop_table_takes_view_object_and_respects_dependents(self, session, table):
        view = session.create_view("v", table)
        with pytest.raises(DependencyError, match="it is the base of the view 'v'"):
            session.drop_table(table)
        with pytest.raises(DependencyError):
            session.create_table("t", {"x": bb.Int}, if_exists="replace")
        view.add_computed_column(b=view.a + 1)
        session.create_view("w", view.filter(view.b > 0))
        with pytest.raises(DependencyError, match="used by the view 'w'"):
            view.drop_column("b")
        session.drop_table(view, cascade=True)
        session.drop_table(table)
        assert session.list_tables() == []

    @pytest.mark.parametrize("argument", [None, 7, ["t"]])
    def test_drop_of_non_table_is_refused(self, session, table, argument):
        with pytest.raises(ExpressionError, match="not a table that can be dropped"):
            session.drop_table(argument, if_not_exists="ignore")
        with pytest.raises(ExpressionError, match="not a table that can be dropped"):
            session.drop_table(table.filter(table.k > 0))

    def test_drop_of_old_version_is_refused(self, session, table):
        with pytest.raises(bb.errors.UnsupportedError, match="old version"):
            session.drop_table(table.at(0))

    def test_drop_dir_of_nonempty_folder_is_refused(self, session):
        session.create_table("f.t", {"a": bb.Int})
        with pytest.raises(DependencyError, match="the folder contains"):
            session.drop_dir("f")

    def test_dropped_table_refuses_checkpoint_and_history(self, session, table):
        table.checkpoint("one")
        session.drop_table("t")
        for look in (
            lambda: table.checkpoint("two"),
            lambda: table.drop_checkpoint("one"),
            table.history,
        ):
            with pytest.raises(TableNotFoundError, match="'t' has been dropped"):
                look()


class TestIfExists:
    def test_if_exists_ignore_distinguishes_tables_and_views(self, session, table):
        session.create_view("v", table)
        with pytest.raises(TableExistsError, match="there is a view with this name"):
            session.create_table("v", {"a": bb.Int}, if_exists="ignore")
        with pytest.raises(TableExistsError, match="there is a table with this name"):
            session.create_view("t", table.filter(table.a > 0), if_exists="ignore")

    def test_if_exists_ignore_refuses_view_over_other_base(self, session, table):
        other = session.create_table("other", {"k": bb.Int, "a": bb.Int})
        view = session.create_view("v", table.filter(table.a > 0))
        assert session.create_view("v", table, if_exists="ignore").equals(view)
        both = table.join(other, "k").select("k")
        for query in (other, view, both):
            with pytest.raises(TableExistsError, match="already exists, over 't'"):
                session.create_view("v", query, if_exists="ignore")
        session.create_view("j", both)
        with pytest.raises(TableExistsError, match="over 't', 'other'"):
            session.create_view("j", table, if_exists="ignore")

    def test_if_exists_ignore_refuses_branch_of_other_table(self, session, table):
        session.create_table("other", {"k": bb.Int})
        with pytest.raises(TableExistsError, match="is not a branch of this table"):
            table.branch("other", if_exists="ignore")
        table.branch("own")
        assert table.branch("own", if_exists="ignore").columns == table.columns


class TestRows:
    def test_change_of_result_row_is_refused(self, table):
        rows = table.order_by("k").collect()
        with pytest.raises(ExpressionError, match=r"dict\(rows\[0\]\)"):
            rows[0]["k"] = 7
        for change in (
            lambda row: row.update(k=7),
            lambda row: row.pop("k"),
            lambda row: row.setdefault("x", 1),
            lambda row: row.clear(),
            lambda row: row.__delitem__("k"),
            lambda row: row.__ior__({"k": 7}),
        ):
            with pytest.raises(ExpressionError, match="a result is read-only"):
                change(rows[-1])
        assert rows[0] == {"k": 0, "a": 0, "s": "0"}

    def test_result_row_is_a_dict(self, table):
        row = table.order_by("k").collect()[1]
        assert isinstance(row, dict)
        assert json.loads(json.dumps(row)) == {**row} == row | {} == dict(row)
        for copied in (
            row.copy(),
            copy.copy(row),
            copy.deepcopy(row),
            pickle.loads(pickle.dumps(row)),
        ):
            copied["k"] = 9
            assert copied["k"] == 9
        assert row["k"] == 1

    def test_rows_from_iteration_are_mutable(self, table):
        rows = list(table.collect())
        for row in rows:
            row["x"] = 1
        assert [row["x"] for row in rows] == [1, 1, 1]


class TestPositions:
    @pytest.fixture
    def words(self):
        @bb.iterator(return_type={"pos": str, "w": str})
        def words(s: str):
            yield from ({"pos": "NOUN", "w": word} for word in s.split())

        return words

    @pytest.fixture
    def letters(self):
        @bb.iterator(return_type={"c": str})
        def letters(w: str):
            yield from ({"c": letter} for letter in w)

        return letters

    def test_iterator_field_named_pos_keeps_its_name(self, session, words):
        base = session.create_table("b", [{"s": "cat mat"}])
        view = session.create_view("v", base, iterator=words(base.s))
        assert list(view.order_by("pos_2").collect()) == [
            {"s": "cat mat", "pos_2": 0, "pos": "NOUN", "w": "cat"},
            {"s": "cat mat", "pos_2": 1, "pos": "NOUN", "w": "mat"},
        ]

    def test_nested_iterator_view_has_own_position_column(self, session, letters):
        base = session.create_table("b", [{"w": "ab"}])
        first = session.create_view("v", base, iterator=letters(base.w))
        second = session.create_view(
            "w", first.select("pos", w=first.c + "!"), iterator=letters(_.w)
        )
        base.insert(w="c")
        displayed = second.order_by("w", "pos_2").select("pos", "pos_2", "w", "c").collect()
        assert [tuple(row.values()) for row in displayed] == [
            (0, 0, "a!", "a"), (0, 1, "a!", "!"),
            (1, 0, "b!", "b"), (1, 1, "b!", "!"),
            (0, 0, "c!", "c"), (0, 1, "c!", "!"),
        ]  # fmt: skip

    def test_renamed_iterator_columns_receive_new_rows(self, session, words):
        base = session.create_table("b", [{"s": "cat mat"}])
        view = session.create_view("v", base, iterator=words(base.s))
        for old, new in (("pos_2", "place"), ("pos", "kind"), ("w", "word")):
            view.rename_column(old, new)
        base.insert(s="dog")
        assert view.filter(view.s == "dog").collect()[0] == {
            "s": "dog", "place": 0, "kind": "NOUN", "word": "dog",
        }  # fmt: skip


class TestLetterCase:
    def test_view_columns_that_differ_only_in_case_are_refused(self, session, table):
        with pytest.raises(SchemaError, match=r"'A'.*only in case"):
            session.create_view("v", table.select("a", A=table.k))
        assert session.list_tables() == ["t"]

    def test_table_names_that_differ_only_in_case_are_refused(self, session, table):
        for make in (
            lambda: session.create_table("T", {"a": bb.Int}),
            lambda: session.create_table("T", {"a": bb.Int}, if_exists="replace"),
            lambda: session.create_view("T", table),
            lambda: table.branch("T"),
        ):
            with pytest.raises(TableExistsError, match="only in case"):
                make()

    def test_struct_fields_that_differ_only_in_case_are_refused(self, session):
        nested = bb.Array(bb.Struct({"x": bb.Struct({"b": bb.Int, "B": bb.Int})}))
        for kind in (bb.Struct({"a": bb.Int, "A": bb.Int}), nested):
            with pytest.raises(SchemaError, match=r"column 's'.*only in case"):
                session.create_table("u", {"s": kind})

    def test_column_that_conflicts_with_view_column_in_case_is_refused(self, session, table):
        view = session.create_view("v", table)
        session.create_view("w", view).add_computed_column(zz=_.a + 1)
        for change in (
            lambda: table.add_columns({"ZZ": bb.Int}),
            lambda: table.add_computed_column(ZZ=table.a),
            lambda: table.rename_column("s", "ZZ"),
        ):
            with pytest.raises(SchemaError, match="the view 'w' has a column with this name"):
                change()


class TestColumnObjects:
    def test_verbs_take_column_objects(self, table):
        assert table.upsert([{"k": 1, "a": 7}], on=table.k).updated == 1
        assert table.upsert([{"k": 1, "a": 8, "s": "1"}], on=[_.k, table.s]).updated == 1
        assert table.batch_update([{"k": 1, "a": 9}], on=table["k"]).updated == 1
        assert table.update({table.a: 10}, where=_.k == 2).rows == 1
        table.change_type(table.filter(_.k > 0).s, bb.String)
        table.rename_column(table.s, "text")
        table.drop_column(table.text)
        assert table.columns == ("k", "a")

    def test_index_and_recompute_take_column_objects(self, session):
        @bb.udf
        def embed(text: str) -> bb.Vector(2):
            return [float(len(text)), 1.0]

        table = session.create_table("docs", [{"s": "abc"}])
        table.add_computed_column(
            loud=bb.udf(str.upper, name="loud", return_type=bb.String)(table.s)
        )
        table.add_embedding_index(table.s, string_embed=embed)
        assert table.recompute(table.loud).rows == 1
        assert table.order_by(table.s.similarity("abc"), asc=False).collect()["s"] == ["abc"]
        table.drop_embedding_index(table.s)
        view = session.create_view("v", table)
        view.add_embedding_index(view.s, string_embed=embed)

    def test_foreign_column_object_is_refused(self, session, table):
        other = session.create_table("other", {"k": bb.Int})
        for source in (other.k, table.k + 1, 7):
            with pytest.raises(ExpressionError, match="is not a column of the table"):
                table.upsert([{"k": 1}], on=source)
            with pytest.raises(ExpressionError, match="is not a column of the table"):
                table.drop_column(source)

    def test_joins_take_on_argument(self, session, table):
        other = session.create_table("other", [{"k": 1, "a": 1, "b": 5}])
        names = ("k", "a", "s", "a_right", "b")
        assert table.join(other, on="k").columns == names
        assert table.join(other, on=table.k).columns == names
        assert table.left_join(other, on="k").count().to_pyarrow().as_py() == 3
        assert table.semi_join(other, on=[table.k, "a"]).collect()["k"] == [1]
        assert table.anti_join(other, on=other.k).order_by("k").collect()["k"] == [0, 2]
        assert table.join(other, on=table.k == other.b).count().to_pyarrow().as_py() == 0
        twice = table.join(other, on="k").join(other.view(), on="k", rname="{name}_2")
        assert twice.collect()[0, "b_2"] == 5
        assert table.join(other, how="cross").count().to_pyarrow().as_py() == 3
        with pytest.raises(ExpressionError, match="predicates or on="):
            table.join(other, "k", on="k")
