"""Reverts, branches and compactions, with renamed or replaced columns and with views."""

from __future__ import annotations

import pytest

import barbule as bb
from barbule.errors import DependencyError, VersionError


@pytest.fixture
def table(session):
    table = bb.create_table("t", {"k": bb.Int, "v": bb.Int})
    table.insert([{"k": 1, "v": 10}, {"k": 2, "v": 20}])
    return table


def pairs(relation, *names):
    rows = relation.select(*names).collect()
    return sorted(zip(*(rows[name] for name in names), strict=True))


def test_each_revert_goes_back_one_version(table):
    view = bb.create_view("big", table.where(table.v > 15))
    table.insert(k=3, v=30)
    table.update({"v": 0}, where=table.k == 1)
    table.delete(where=table.k == 2)

    table.revert()
    assert pairs(table, "k", "v") == [(1, 0), (2, 20), (3, 30)]
    table.revert()
    assert pairs(table, "k", "v") == [(1, 10), (2, 20), (3, 30)]
    table.revert()
    assert pairs(table, "k", "v") == [(1, 10), (2, 20)]
    assert pairs(view, "k", "v") == [(2, 20)]
    assert table.history()["operation"][:3] == ["revert to 1", "revert to 2", "revert to 3"]
    table.revert()
    assert pairs(table, "k", "v") == []
    with pytest.raises(VersionError, match=r"'t': there is no version before the current one"):
        table.revert()


def test_revert_after_new_changes_undoes_them(table):
    table.insert(k=3, v=30)
    table.revert()
    table.insert(k=4, v=40)
    table.revert()
    assert pairs(table, "k") == [(1,), (2,)]
    table.revert()
    assert pairs(table, "k") == []


def test_revert_after_revert_to_version_goes_before_it(table):
    table.insert(k=3, v=30)
    table.insert(k=4, v=40)
    table.revert(to=2)
    table.revert()
    assert pairs(table, "k") == [(1,), (2,)]
    table.revert(to=3)
    assert pairs(table, "k") == [(1,), (2,), (3,), (4,)]


def test_revert_sequence_continues_in_another_session(backend_url):
    with bb.connect(backend_url, vectors="exact:"):
        table = bb.create_table("t", {"k": bb.Int})
        table.insert(k=1)
        table.insert(k=3)
        table.revert()
    bb.connect(backend_url, vectors="exact:")
    table = bb.get_table("t")
    table.revert()
    assert pairs(table, "k") == []


def test_revert_restores_renamed_columns_and_views(table):
    table.checkpoint("before")
    view = bb.create_view("big", table.where(table.v > 15))
    table.rename_column("v", "worth")
    table.insert(k=3, worth=30)
    table.revert(to="before")
    table = bb.get_table("t")
    assert list(table.columns) == ["k", "v"]
    assert pairs(table, "k", "v") == [(1, 10), (2, 20)]
    view = bb.get_table("big")
    assert pairs(view, "k", "v") == [(2, 20)]
    bb.get_table("t").insert(k=4, v=40)
    assert pairs(bb.get_table("big"), "k", "v") == [(2, 20), (4, 40)]


def test_revert_of_replaced_expression_updates_views(table):
    table.add_computed_column(w=table.v + 1, stored=True)
    table.checkpoint("before")
    bb.create_view("over", table.where(table.k > 1), computed_columns={"x": table.w * 2})
    table = bb.get_table("t")
    table.add_computed_column(w=table.v + 100, stored=True, if_exists="replace")
    assert pairs(bb.get_table("over"), "k", "x") == [(2, 240)]
    bb.get_table("t").revert(to="before")
    assert pairs(bb.get_table("t"), "k", "w") == [(1, 11), (2, 21)]
    assert pairs(bb.get_table("over"), "k", "x") == [(2, 42)]


def test_revert_that_drops_view_columns_is_refused(table):
    table.checkpoint("before")
    table.add_computed_column(w=table.v + 1, stored=True)
    first = bb.create_view("first", table.where(table.v > 0))
    bb.create_view("second", first.where(first.w > 15))
    with pytest.raises(DependencyError, match=r"\(w\).*'second'"):
        table.revert(to="before")
    assert pairs(bb.get_table("t"), "k", "w") == [(1, 11), (2, 21)]
    assert pairs(bb.get_table("second"), "k") == [(2,)]


def test_compact_of_a_branch_keeps_deleted_rows_deleted(table):
    branch = table.branch("other")
    branch.delete(branch.k == 1)
    branch.update({"v": 21}, where=branch.k == 2)
    branch.insert(k=3, v=30)
    branch = bb.get_table("other")
    branch.compact()
    assert pairs(bb.get_table("other"), "k", "v") == [(2, 21), (3, 30)]
    assert pairs(bb.get_table("t"), "k", "v") == [(1, 10), (2, 20)]


def test_compact_keeps_labelled_versions(table):
    table.checkpoint("first")
    table.update({"v": 0}, where=table.k == 1)
    table.update({"v": 5}, where=table.k == 1)
    table.compact()
    table = bb.get_table("t")
    assert pairs(table.at("first"), "k", "v") == [(1, 10), (2, 20)]
    assert pairs(table, "k", "v") == [(1, 5), (2, 20)]


def test_a_snapshot_reads_a_branch_whose_origin_is_dropped(table):
    branch = table.branch("other")
    branch.insert(k=3, v=30)
    bb.snapshot("held")
    bb.drop_table("other")
    bb.drop_table("t")
    held = bb.at("held")
    assert pairs(held.get_table("other"), "k", "v") == [(1, 10), (2, 20), (3, 30)]
    bb.drop_snapshot("held")
    assert bb.list_tables() == []


def test_diff_treats_column_with_incompatible_type_as_added(session):
    table = bb.create_table("d", {"k": bb.Int, "v": bb.Int})
    table.insert(k=1, v=5)
    table.rename_column("v", "old")
    table.add_columns({"v": bb.Array(bb.Int)})
    actual = bb.get_table("d").diff(1, 3)
    assert actual.schema.renamed == {"v": "old"}
    assert actual.schema.added == ("v",)
    assert actual.counts() == {"added": 0, "removed": 0, "changed": 0}
    assert "renamed columns: v → old" in repr(actual)
