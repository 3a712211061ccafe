"""Similarity, keyword and hybrid search of old versions, branches and snapshots."""

from __future__ import annotations

import pytest

import barbule as bb

from .conftest import filled, nearest, similarities, texts_of

MODES = ["vector", "keyword", "hybrid"]
QUERY = "number 7 of what is near"
COUNT = 20


def best(table, mode, query=QUERY, k=6):
    """Return the rows that a search finds first, and their scores."""
    score = table.text.search(query, mode=mode)
    found = table.order_by(score, asc=False).limit(k).select("n", "text", s=score).collect()
    return {row["n"]: (row["text"], pytest.approx(row["s"])) for row in found}


def changed(table):
    """Change the results of all searches for `QUERY`: remove the best row, add better ones."""
    table.delete(where=table.n == 7)
    table.update({"text": QUERY}, where=table.n == 3)
    table.insert([{"n": COUNT, "text": QUERY}, {"n": COUNT + 1, "text": "number 7"}])


def pinned(table, how):
    """Pin the current state of the table; return a function that opens it."""
    if how == "version":
        version = table.checkpoint("before")
        return lambda: bb.get_table("chunks").at(version)
    if how == "branch":
        table.branch("other")
        return lambda: bb.get_table("other")
    bb.snapshot("release")
    return lambda: bb.at("release").get_table("chunks")


@pytest.mark.parametrize("how", ["version", "branch", "snapshot"])
@pytest.mark.parametrize("mode", MODES)
def test_search_of_old_state_returns_same_rows_after_changes(store, embed, mode, how):
    table = filled(embed, COUNT)
    before = best(table, mode)
    look = pinned(table, how)

    changed(table)

    assert best(look(), mode) == before
    assert best(table, mode) != before
    table.rename_column("text", "body")
    bb.get_table("chunks").drop_embedding_index("body")
    assert best(look(), mode) == before


@pytest.mark.parametrize("mode", MODES)
def test_filtered_search_in_snapshot(store, embed, mode):
    table = filled(embed, COUNT)
    before = best(table.where(table.n % 2 == 1), mode)
    bb.snapshot("release")
    changed(table)

    held = bb.at("release").get_table("chunks")
    assert best(held.where(held.n % 2 == 1), mode) == before


@pytest.mark.parametrize("mode", MODES)
def test_snapshot_search_works_after_table_is_dropped(store, embed, mode):
    table = filled(embed, COUNT)
    before = best(table, mode)
    bb.snapshot("release")
    changed(table)
    bb.drop_table("chunks")
    other = filled(embed, 3)

    assert best(bb.at("release").get_table("chunks"), mode) == before
    assert best(other, mode).keys() == {0, 1, 2}


@pytest.mark.parametrize("mode", MODES)
def test_snapshot_search_covers_views_and_branches(store, embed, mode):
    table = filled(embed, COUNT)
    view = bb.create_view("some", table.where(table.n < 15))
    view.add_embedding_index("text", string_embed=embed)
    branch = table.branch("other")
    branch.delete(where=branch.n == 5)
    before = {name: best(bb.get_table(name), mode) for name in ("some", "other")}
    bb.snapshot("release")

    changed(table)
    changed(branch)

    held = bb.at("release")
    for name, found in before.items():
        assert best(held.get_table(name), mode) == found
        assert best(bb.get_table(name), mode) != found


def test_each_snapshot_has_its_own_nearest_rows(store, embed):
    table = filled(embed, 0)
    texts = texts_of(COUNT)
    for n, text in enumerate(texts):
        table.insert([{"n": n, "text": text}])
        bb.snapshot(f"s{n}")
    table.delete()

    for n in range(COUNT):
        held = bb.at(f"s{n}").get_table("chunks")
        sim = held.text.similarity(QUERY)
        found = held.order_by(sim, asc=False).limit(5).select("text", s=sim).collect()
        there = texts[: n + 1]
        assert found["text"] == nearest(there, QUERY, 5)
        expected = sorted(similarities(there, QUERY), reverse=True)[:5]
        assert found["s"] == pytest.approx(expected, abs=1e-6)
