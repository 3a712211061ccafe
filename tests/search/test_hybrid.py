"""Hybrid scores and reranking, in each clause, relation and version."""

from __future__ import annotations

import ibis
import pytest

import barbule as bb

from .conftest import filled

QUERY = "number 7"
DEPTH = 6


@pytest.fixture
def table(session, embed):
    return filled(embed, 30)


@pytest.fixture
def judge():
    """Score a text by its negated number; `judge.asked` lists the texts."""
    asked: list[str] = []

    @bb.udf
    def judge(query: str, text: str) -> float:
        asked.append(text)
        return -float(text.rpartition(" ")[2])

    judge.__dict__["asked"] = asked
    return judge


def fused(table) -> dict[int, float]:
    """The scores of the mode "hybrid", by the number of the row."""
    rows = table.select(table.n, s=table.text.search(QUERY, mode="hybrid")).collect()
    return dict(zip(rows["n"], rows["s"], strict=True))


def best(scores: dict[int, float], count: int = DEPTH) -> list[int]:
    return sorted(scores, key=scores.__getitem__, reverse=True)[:count]


def test_rerank_scores_best_of_hybrid_order(table, judge):
    wanted = best(fused(table))
    score = table.text.search(QUERY, mode="hybrid", rerank=judge, depth=DEPTH)
    rows = table.order_by(score, asc=False).limit(DEPTH).select(table.n, s=score).collect()
    assert rows["n"] == sorted(wanted)
    assert rows["s"] == [-float(n) for n in sorted(wanted)]
    assert sorted(judge.asked) == sorted(f"text number {n}" for n in wanted)


@pytest.mark.parametrize("mode", ["keyword", "vector", "hybrid"])
def test_reranked_score_works_in_every_clause(table, judge, mode):
    score = table.text.search("text 7", mode=mode, rerank=judge, depth=DEPTH)
    whole = table.select(table.n, s=score).collect()
    known = {row["n"]: row["s"] for row in whole if row["s"] is not None}
    assert len(whole) == 30
    assert len(known) == DEPTH
    kept = table.filter(score < 0).select(table.n).collect()["n"]
    assert sorted(kept) == sorted(n for n in known if n)
    added = table.mutate(s=score).order_by(ibis.desc("s"), "n").limit(3).collect()
    assert added["n"] == sorted(known)[:3]
    assert table.aggregate(top=score.max()).collect()[0, "top"] == max(known.values())


def scored(rows) -> set[int]:
    return {row["n"] for row in rows if row["s"] is not None}


@pytest.mark.parametrize("mode", ["keyword", "vector", "hybrid"])
@pytest.mark.parametrize("old", [False, True])
def test_rerank_scores_best_rows_that_pass_filter(table, judge, mode, old):
    plain = table.select(table.n, s=table.text.search(QUERY, mode=mode)).collect()
    fits = {row["n"]: row["s"] for row in plain if row["n"] % 3 == 1}
    wanted = sorted(fits, key=lambda n: (-fits[n], n))[:2]
    if old:
        before = table.checkpoint("before")
        table.delete(where=table.n % 2 == 0)
        table = table.at(before)
    judge.asked.clear()
    kept = table.where(table.n % 3 == 1)
    score = table.text.search(QUERY, mode=mode, rerank=judge, depth=2)
    rows = kept.order_by(score, asc=False).limit(2).select(kept.n, s=score).collect()
    assert rows["n"] == sorted(wanted)
    assert rows["s"] == [-float(n) for n in sorted(wanted)]
    assert sorted(judge.asked) == sorted(f"text number {n}" for n in wanted)


def test_filter_after_score_does_not_change_score(table, judge):
    score = table.text.search(QUERY, mode="hybrid", rerank=judge, depth=DEPTH)
    rows = table.mutate(s=score).filter(ibis._.n >= 10).collect()
    assert scored(rows) == {n for n in best(fused(table)) if n >= 10}
    assert len(judge.asked) == DEPTH


def test_filter_and_order_by_one_score_call_reranker_once(table, judge):
    score = table.text.search(QUERY, mode="hybrid", rerank=judge, depth=DEPTH)
    kept = table.filter(score.notnull(), table.n >= 10)
    rows = kept.order_by(score, asc=False).limit(3).select(kept.n, s=score).collect()
    fits = {n: s for n, s in fused(table).items() if n >= 10}
    assert rows["n"] == sorted(best(fits))[:3]
    assert sorted(judge.asked) == sorted(f"text number {n}" for n in best(fits))


@pytest.mark.parametrize("mode", ["keyword", "vector", "hybrid"])
def test_rerank_of_tied_rows_stops_at_depth(table, judge, mode):
    table.update({"text": "text number 5"})
    score = table.text.search("number", mode=mode, rerank=judge, depth=2)
    rows = table.select(table.n, s=score).collect()
    assert scored(rows) == {0, 1}
    assert len(judge.asked) <= 2


def test_rerank_skips_rows_without_match(table, judge):
    score = table.text.search("zzz", rerank=judge, depth=2)
    rows = table.select(table.n, s=score).collect()
    assert len(rows) == 30
    assert scored(rows) == set()
    assert judge.asked == []


def test_row_repeated_by_join_has_one_rank(table, judge):
    other = bb.create_table("other", {"half": bb.Int})
    other.insert([{"half": half} for half in (0, 1, 1)])
    joined = table.join(other, table.n % 2 == other.half).filter(ibis._.n >= 3)
    score = joined.text.search("number", rerank=judge, depth=3)
    assert scored(joined.select("n", s=score).collect()) == {3, 4, 5}


def test_rerank_of_view_over_base_column(table, judge, embed):
    view = bb.create_view("late", table.where(table.n >= 10))
    view.add_embedding_index("text", string_embed=embed)
    wanted = best(fused(view))
    score = view.text.search(QUERY, mode="hybrid", rerank=judge, depth=DEPTH)
    rows = view.order_by(score, asc=False).limit(3).select(view.n).collect()
    assert rows["n"] == sorted(wanted)[:3]


def test_rerank_of_old_version(table, judge):
    wanted = best(fused(table))
    before = table.checkpoint("before")
    table.delete(where=table.n < 20)
    old = table.at(before)
    score = old.text.search(QUERY, mode="hybrid", rerank=judge, depth=DEPTH)
    rows = old.order_by(score, asc=False).limit(DEPTH).select(old.n).collect()
    assert rows["n"] == sorted(wanted)


def test_null_text_has_no_reranked_score(table, judge):
    table.insert([{"n": 100, "text": None}])
    score = table.text.search(QUERY, mode="hybrid", rerank=judge, depth=DEPTH)
    rows = table.where(table.n == 100).select(s=score).collect()
    assert rows["s"] == [None]


@pytest.mark.parametrize("reranked", [False, True])
def test_windows_and_groups_over_hybrid_score(table, judge, reranked):
    """Ibis passes the frame of a window to inner windows; a score of all rows has no frame."""
    options = {"rerank": judge, "depth": DEPTH} if reranked else {}
    score = table.text.search(QUERY, mode="hybrid", **options)
    flat = {row["n"]: row["s"] for row in table.select(table.n, s=score).collect()}
    place = ibis.row_number().over(order_by=[score.isnull(), ibis.desc(score), table.n])
    rows = table.select(table.n, place=place).collect()
    order = sorted(flat, key=lambda n: (flat[n] is None, -(flat[n] or 0.0), n))
    assert {row["n"]: row["place"] for row in rows} == {n: at for at, n in enumerate(order)}
    halves = table.mutate(half=table.n % 2)
    score = halves.text.search(QUERY, mode="hybrid", **options)
    grouped = halves.group_by("half").mutate(s=score).collect()
    assert {row["n"]: row["s"] for row in grouped} == pytest.approx(flat, nan_ok=True)


def test_two_reranked_searches_in_one_query(table, judge):
    one = table.text.search(QUERY, mode="hybrid", rerank=judge, depth=2)
    other = table.text.search("number 21", mode="hybrid", rerank=judge, depth=3)
    rows = table.select(table.n, a=one, b=other).collect()
    assert sum(value is not None for value in rows["a"]) == 2
    assert sum(value is not None for value in rows["b"]) == 3
