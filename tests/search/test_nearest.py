"""Nearest rows by `similarity`, in each clause, compared with brute force."""

from __future__ import annotations

import ibis
import numpy as np
import pytest
from ibis import _

import barbule as bb

from .conftest import filled, nearest, similarities, texts_of, vector_of


@pytest.fixture
def chunks(session, embed):
    return filled(embed)


TEXTS = texts_of(40)


def top(table, query, k):
    return table.order_by(table.text.similarity(query), asc=False).limit(k).collect()["text"]


def test_nearest_rows_come_first_in_each_store(store, embed):
    assert top(filled(embed), "what is near", 5) == nearest(TEXTS, "what is near", 5)


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_each_metric_orders_and_scores_rows(session, embed, metric):
    chunks = filled(embed, metric=metric)
    sim = chunks.text.similarity("query")

    rows = chunks.order_by(sim, asc=False).limit(6).select(chunks.text, score=sim).collect()

    assert rows["text"] == nearest(TEXTS, "query", 6, metric)
    expected = np.sort(similarities(TEXTS, "query", metric))[::-1][:6]
    np.testing.assert_allclose(rows["score"], expected, rtol=1e-4)


@pytest.mark.parametrize("share", [1, 2, 20])
def test_a_filtered_search_returns_the_right_k_rows(store, embed, share):
    chunks = filled(embed, 60)
    kept = [text for n, text in enumerate(texts_of(60)) if n % 20 < share]

    found = top(chunks.where(chunks.n % 20 < share), "query", 5)

    assert found == nearest(kept, "query", 5)


def test_filter_after_limit_applies_to_nearest_rows_only(chunks):
    sim = chunks.text.similarity("query")
    best = nearest(TEXTS, "query", 5)

    found = chunks.order_by(sim, asc=False).limit(5).filter(_.n < 20).collect()["text"]

    assert found == [text for text in best if TEXTS.index(text) < 20]


def test_the_farthest_come_first_in_ascending_order(chunks):
    found = chunks.order_by(chunks.text.similarity("query")).limit(3).collect()["text"]
    assert found == nearest(TEXTS, "query", 40)[::-1][:3]


def test_offset_continues_after_first_page(store, embed):
    chunks = filled(embed)
    ranked = chunks.order_by(chunks.text.similarity("query"), asc=False)

    assert ranked.limit(4, offset=3).collect()["text"] == nearest(TEXTS, "query", 7)[3:]


def test_a_second_key_breaks_ties(session, embed):
    table = bb.create_table("t", {"n": bb.Int, "text": bb.String})
    table.insert([{"n": n, "text": "same"} for n in (3, 1, 2)])
    table.add_embedding_index("text", string_embed=embed)
    sim = table.text.similarity("query")

    assert table.order_by(ibis.desc(sim), "n").limit(3).collect()["n"] == [1, 2, 3]


@pytest.mark.parametrize(("k", "rows"), [(0, 0), (1, 1), (40, 40), (1000, 40)])
def test_limit_may_be_zero_or_exceed_row_count(store, embed, k, rows):
    assert top(filled(embed), "query", k) == nearest(TEXTS, "query", rows)


def test_search_of_empty_table_returns_no_rows(store, embed):
    assert top(filled(embed, 0), "query", 3) == []


def test_null_text_comes_last_and_empty_text_is_embedded(store, embed):
    table = bb.create_table("t", {"text": bb.String})
    table.insert([{"text": text} for text in ("a", None, "", "b")])
    table.add_embedding_index("text", string_embed=embed)
    sim = table.text.similarity("a")

    rows = table.order_by(sim, asc=False).limit(10).select(table.text, sim=sim).collect()

    assert rows["text"] == [*nearest(["a", "", "b"], "a", 3), None]
    assert rows[3, "sim"] is None


def test_similarity_is_a_number_in_select_filter_and_aggregate(chunks):
    sim = chunks.text.similarity("query")
    expected = similarities(TEXTS, "query")

    scores = chunks.order_by("n").select(s=sim).collect()["s"]
    above = chunks.filter(sim > 0.3).order_by("n").collect()["n"]
    best = chunks.aggregate(best=sim.max(), mean=sim.mean()).collect()[0]

    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)
    assert above == np.flatnonzero(expected > 0.3).tolist()
    assert best["best"] == pytest.approx(expected.max())
    assert best["mean"] == pytest.approx(expected.mean(), abs=1e-6)


def test_similarity_in_a_group_finds_the_best_of_each(chunks):
    groups = chunks.group_by(g=chunks.n % 3).agg(best=chunks.text.similarity("query").max())
    expected = similarities(TEXTS, "query")

    for row in groups.collect():
        members = [s for n, s in enumerate(expected) if n % 3 == row["g"]]
        assert row["best"] == pytest.approx(max(members))


@pytest.mark.parametrize("kind", ["list", "numpy"])
def test_vector_query_is_not_embedded(chunks, embed, kind):
    embed.asked.clear()
    vector = vector_of("query")

    found = top(chunks, vector if kind == "list" else np.array(vector, "float32"), 4)

    assert found == nearest(TEXTS, "query", 4)
    assert embed.asked == []


def test_similarity_to_column_is_computed_per_row(chunks):
    sim = chunks.text.similarity(chunks.text.upper())
    scores = chunks.order_by("n").limit(3).select(s=sim).collect()["s"]

    expected = [similarities([text], text.upper())[0] for text in TEXTS[:3]]
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_a_query_text_is_embedded_once(chunks, embed):
    embed.asked.clear()
    sim = chunks.text.similarity("asked once")

    chunks.filter(sim > 0).order_by(sim, asc=False).limit(3).select(s=sim).collect()
    chunks.where(chunks.n > 3).order_by(sim, asc=False).limit(3).collect()

    assert embed.asked == ["asked once"]


def test_equal_texts_are_embedded_once(session, embed):
    table = bb.create_table("t", {"text": bb.String})
    table.insert([{"text": text} for text in ("a", "b", "a", "a")])
    table.add_embedding_index("text", string_embed=embed)
    done = table.insert([{"text": "b"}, {"text": "c"}, {"text": "c"}])

    assert sorted(embed.asked) == ["a", "b", "c"]
    assert (done.calls, done.hits) == (1, 1)


def test_search_of_old_version_finds_old_rows(store, embed):
    chunks = filled(embed, 10)
    chunks.checkpoint("ten")
    chunks.update({"text": "query"}, where=chunks.n == 3)
    chunks.delete(where=chunks.n == 4)
    chunks.insert([{"n": 10, "text": "query"}])

    old = chunks.at("ten")

    assert top(old, "query", 4) == nearest(texts_of(10), "query", 4)
    assert top(chunks, "query", 2) == ["query", "query"]


def test_search_works_over_projections_and_joins(chunks):
    labels = bb.create_table("labels", {"n": bb.Int, "label": bb.String})
    labels.insert([{"n": n, "label": "even" if n % 2 == 0 else "odd"} for n in range(40)])
    joined = chunks.join(labels, "n")
    even = joined.filter(joined.label == "even")

    found = even.order_by(even.text.similarity("query"), asc=False).limit(3).collect()["text"]
    renamed = chunks.select(body=chunks.text)
    best = renamed.order_by(renamed.body.similarity("query"), asc=False).limit(3)

    assert found == nearest(TEXTS[::2], "query", 3)
    assert best.collect()["body"] == nearest(TEXTS, "query", 3)


def test_a_query_function_searches_for_each_row(chunks):
    @bb.query
    def best(text: str, k: int = 2):
        sim = chunks.text.similarity(text)
        return chunks.order_by(sim, asc=False).limit(k).select(chunks.text)

    asked = bb.create_table("asked", {"q": bb.String})
    asked.insert([{"q": "one"}, {"q": "two"}])
    rows = asked.order_by("q").select(asked.q, found=best(asked.q)).collect()

    for row in rows:
        assert [each["text"] for each in row["found"]] == nearest(TEXTS, row["q"], 2)


def test_chunks_of_a_view_are_searched(session, embed):
    notes = bb.create_table("notes", {"text": bb.String})
    notes.insert([{"text": "strands hooks"}, {"text": "vane"}])

    @bb.iterator(return_type={"word": str})
    def split(text: str):
        return [{"word": word} for word in text.split()]

    words = bb.create_view("words", notes, iterator=split(notes.text))
    words.add_embedding_index("word", string_embed=embed)
    notes.insert(text="quill down")

    found = words.order_by(words.word.similarity("quill"), asc=False).limit(2).collect()

    assert found["word"] == nearest(["strands", "hooks", "vane", "quill", "down"], "quill", 2)
    assert found[0, "text"] == "quill down"
