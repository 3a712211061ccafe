"""Keyword and hybrid search: scores in each clause and version."""

from __future__ import annotations

import math
from collections import Counter

import ibis
import pyarrow as pa
import pytest
from ibis import _

import barbule as bb
from barbule.errors import ExpressionError
from barbule.indexes.keyword import query_terms

from .conftest import filled, nearest, texts_of

TEXTS = [
    "A barbule is a tiny hook.",
    "Hooks zip the barbs; each hook holds.",
    "A feather is light, a feather is warm.",
    None,
    "",
    "Crème brûlée im STRASSENCAFÉ",
    "東京都の猫は速い。",
]


def bm25(texts, query, k1=1.2, b=0.75):
    """Compute the scores as Lucene does, text by text."""
    cut = [None if text is None else query_terms(text) for text in texts]
    corpus = [each for each in cut if each is not None]
    mean = sum(map(len, corpus)) / len(corpus)
    scores = []
    for words in cut:
        if words is None:
            scores.append(None)
            continue
        total = 0.0
        for term in query_terms(query):
            df = sum(term in each for each in corpus)
            tf = Counter(words)[term]
            idf = math.log(1 + (len(corpus) - df + 0.5) / (df + 0.5))
            total += idf * tf / (tf + k1 * (1 - b + b * len(words) / mean)) if tf else 0.0
        scores.append(total)
    return scores


ENGLISH = TEXTS[:5]


@pytest.fixture
def notes(session):
    table = bb.create_table("notes", {"n": bb.Int, "text": bb.String})
    table.insert([{"n": n, "text": text} for n, text in enumerate(ENGLISH)])
    return table


def scored(table, query):
    return table.order_by("n").select(score=table.text.search(query)).collect()["score"]


@pytest.mark.parametrize("query", ["hook", "a feather", "barbule hook hook", "nowhere", "", "?!"])
def test_scores_match_bm25(notes, query):
    assert scored(notes, query) == pytest.approx(bm25(ENGLISH, query))


@pytest.mark.parametrize(
    ("text", "queries"),
    [
        ("Donau\u00addampf\u00adschiff", ["Donaudampfschiff", "DONAUDAMPF\u00adSCHIFF"]),
        ("zero\u200bwidth", ["zerowidth"]),
        ("word\u2060joiner\ufeff", ["wordjoiner"]),
        ("می\u200cخواهم", ["میخواهم", "می\u200cخواهم"]),
        ("\u202bשלום\u202c", ["שלום"]),
        ("كتـــاب", ["كتاب"]),
        ("葛\U000e0100飾", ["葛飾"]),
        ("Łódź, Wrocław", ["lodz", "wroclaw", "ŁÓDŹ"]),
        ("Smørrebrød på Ærø", ["smorrebrod", "aero", "SMØRREBRØD"]),
        ("cœur, œuvre", ["coeur", "ŒUVRE"]),
        ("ISTANBUL ıstanbul İstanbul", ["istanbul", "ıSTANBUL"]),
        ("Þingvellir, Đorđe, Ħamrun", ["thingvellir", "dorde", "hamrun"]),
        ("Straße, STRASSE", ["strasse", "straße"]),
        ("ƒlorin ɓ", ["ƒlorin"]),
    ],
)
def test_query_matches_after_unicode_folding(session, text, queries):
    table = bb.create_table("words", {"text": bb.String})
    table.insert([{"text": text}, {"text": "something else"}])
    for query in queries:
        found = table.where(table.text.search(query) > 0).collect()["text"]
        assert found == [text], query


def test_folded_letters_count_as_one_word():
    assert query_terms("cœur coeur CŒUR") == ["coeur"] * 3
    assert query_terms("Łódź \u00ad\u200b lodz") == ["lodz", "lodz"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("creme BRULEE", [5]),
        ("straßencafe", [5]),
        ("京都", [6]),
        ("猫", [6]),
        ("都京", []),
        ("ＨＯＯＫ", [0, 1]),
    ],
)
def test_query_matches_across_case_accents_width_and_scripts(session, query, found):
    table = bb.create_table("t", {"n": bb.Int, "text": bb.String})
    table.insert([{"n": n, "text": text} for n, text in enumerate(TEXTS)])
    hits = table.where(table.text.search(query) > 0).order_by("n").collect()["n"]
    assert hits == found


def test_score_works_in_every_clause(notes):
    score = notes.text.search("hook")
    best = notes.order_by(score, asc=False).limit(1).select(notes.n, score=score).collect()
    assert best["n"] == [0]
    assert notes.filter(score > 0, notes.n > 0).collect()["n"] == [1]
    assert notes.agg(best=score.max()).collect()[0, "best"] == pytest.approx(best[0, "score"])
    mutated = notes.mutate(score=score).filter(_.score > 0).order_by(_.n.desc())
    assert mutated.collect()["n"] == [1, 0]
    assert notes.order_by(_.n.desc()).mutate(s=score).collect()["n"] == [4, 3, 2, 1, 0]


def test_filter_does_not_change_score(notes):
    whole = bm25(ENGLISH, "hook")
    found = notes.filter(notes.n == 1).select(s=notes.text.search("hook")).collect()["s"]
    assert found == pytest.approx([whole[1]])


def test_scores_survive_a_join(notes, session):
    people = bb.create_table("people", {"who": bb.String, "note": bb.Int})
    people.insert([{"who": "Ada", "note": 0}, {"who": "Bo", "note": 0}, {"who": "Cy", "note": 2}])
    joined = people.join(notes, people.note == notes.n)
    found = joined.select(people.who, s=notes.text.search("hook")).order_by("who").collect()["s"]
    score = bm25(ENGLISH, "hook")[0]
    assert found == pytest.approx([score, score, 0.0])


def test_scores_follow_the_table_and_its_versions(notes):
    before = notes.checkpoint("before")
    now = list(ENGLISH)
    assert scored(notes, "hook") == pytest.approx(bm25(now, "hook"))
    notes.update({"text": "no more of it"}, where=notes.n == 0)
    now[0] = "no more of it"
    assert scored(notes, "hook") == pytest.approx(bm25(now, "hook"))
    notes.insert(n=5, text="hook, line")
    now.append("hook, line")
    assert scored(notes, "hook") == pytest.approx(bm25(now, "hook"))
    notes.delete(where=notes.n == 2)
    del now[2]
    assert scored(notes, "hook") == pytest.approx(bm25(now, "hook"))
    assert scored(notes.at(before), "hook") == pytest.approx(bm25(ENGLISH, "hook"))
    notes.revert(to=before)
    assert scored(notes, "hook") == pytest.approx(bm25(ENGLISH, "hook"))


def test_a_branch_has_a_corpus_of_its_own(notes):
    notes.branch("other")
    other = bb.get_table("other")
    other.insert(n=5, text="hook, line")
    assert scored(other, "hook") == pytest.approx(bm25([*ENGLISH, "hook, line"], "hook"))
    assert scored(notes, "hook") == pytest.approx(bm25(ENGLISH, "hook"))


def test_view_scores_use_rows_of_view(notes):
    view = bb.create_view("some", notes.where(notes.n < 2))
    assert scored(view, "hook") == pytest.approx(bm25(ENGLISH[:2], "hook"))
    notes.update({"text": "changed"}, where=notes.n == 0)
    assert scored(view, "hook") == pytest.approx(bm25(["changed", ENGLISH[1]], "hook"))


def test_virtual_column_can_be_searched(notes):
    notes.add_computed_column(twice=notes.text + " " + notes.text)
    twice = [None if text is None else f"{text} {text}" for text in ENGLISH]
    found = notes.order_by("n").select(s=notes.twice.search("hook")).collect()["s"]
    assert found == pytest.approx(bm25(twice, "hook"))


def test_delete_where_matches_keyword_search(notes):
    notes.delete(where=notes.text.search("hook") > 0)
    assert sorted(notes.collect()["n"]) == [2, 3, 4]


def test_scores_are_equal_after_index_reload(notes, session):
    first = scored(notes, "hook")
    session._engine.database.keywords._open.clear()
    assert scored(notes, "hook") == first


def test_many_small_inserts_score_like_one_insert(session):
    texts = [f"word{n % 7} word{n % 3} word{n}" for n in range(40)]
    table = bb.create_table("t", {"n": bb.Int, "text": bb.String})
    for n, text in enumerate(texts):
        table.insert(n=n, text=text)
        table.where(table.text.search("word1") > 0).count().execute()
    assert scored(table, "word1 word2") == pytest.approx(bm25(texts, "word1 word2"))


def test_hybrid_score_fuses_both_ranks(session, embed):
    table = filled(embed, 40)
    texts = texts_of(40)
    by_vector = nearest(texts, "number 7", 40)
    words = bm25(texts, "number 7")

    def expected(text):
        n = texts.index(text)
        place = sum(each > words[n] + 1e-12 for each in words)
        fused = 1 / (61 + place) if words[n] > 0 else 0.0
        return fused + 1 / (61 + by_vector.index(text))

    score = table.text.search("number 7", mode="hybrid")
    rows = table.order_by(score, asc=False).limit(5).select(table.text, score=score).collect()

    assert rows["score"] == pytest.approx([expected(text) for text in rows["text"]])
    assert rows["score"] == pytest.approx(sorted(map(expected, texts), reverse=True)[:5])


def test_filter_does_not_change_hybrid_score(session, embed):
    table = filled(embed, 40)
    whole = table.order_by("n").select(s=table.text.search("7", mode="hybrid")).collect()["s"]
    kept = table.where(table.n >= 30)
    score = kept.text.search("7", mode="hybrid")
    rows = kept.order_by(score, asc=False).limit(3).select(kept.n, score=score).collect()
    assert rows["score"] == pytest.approx(sorted(whole[30:], reverse=True)[:3])
    assert rows["score"] == pytest.approx([whole[n] for n in rows["n"]])


def test_hybrid_search_of_an_old_version(session, embed):
    table = filled(embed, 20)
    before = table.checkpoint("before")
    score = table.text.search("number 7", mode="hybrid")
    whole = table.order_by("n").select(s=score).collect()["s"]
    table.delete(where=table.n < 15)
    old = table.at(before)
    score = old.text.search("number 7", mode="hybrid")
    assert old.order_by("n").select(s=score).collect()["s"] == pytest.approx(whole)


def test_vector_mode_equals_similarity(session, embed):
    table = filled(embed)
    score = table.text.search("what is near", mode="vector")
    found = table.order_by(score, asc=False).limit(3).collect()["text"]
    assert found == nearest(texts_of(40), "what is near", 3)


def test_rerank_scores_best_keyword_matches(notes):
    asked = []

    @bb.udf
    def judge(query: str, text: str) -> float:
        asked.append(text)
        return float(len(text))

    score = notes.text.search("hook", rerank=judge, depth=2)
    found = notes.order_by(score, asc=False).limit(2).select(notes.n, s=score).collect()

    assert found["n"] == [1, 0]
    assert found["s"] == [len(ENGLISH[1]), len(ENGLISH[0])]
    assert sorted(set(asked)) == sorted(ENGLISH[:2])


def test_the_plan_names_the_search(notes):
    shown = str(notes.filter(notes.text.search("hook") > 0).explain())
    assert "Keywords 0: rows whose 'text' contains words of 'hook'" in shown


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda t: t.n.search("x"), "cannot be searched by words"),
        (lambda t: t.text.search(3), "cannot be used in a search by words"),
        (lambda t: t.text.search("x", mode="fuzzy"), "no such search mode"),
        (lambda t: t.text.search("x", rerank="model"), "must be a function"),
        (lambda t: t.text.search("x", rerank=len, depth=0), "this number of rows"),
        (lambda t: t.filter(t.text.search("x", mode="vector") > 0).collect(), "no embedding index"),
        (lambda t: t.filter(t.text.search("x", mode="hybrid") > 0).collect(), "no embedding index"),
        (
            lambda t: t.mutate(loud=t.text.upper()).filter(_.loud.search("x") > 0).collect(),
            "needs a column of a table",
        ),
        (lambda t: t.add_computed_column(s=t.text.search("x")), "cannot be saved"),
    ],
)
def test_invalid_searches_are_refused(notes, ask, message):
    with pytest.raises(ExpressionError, match=message):
        ask(notes)


def test_score_is_float_in_arrow(notes):
    found = notes.select(s=notes.text.search("hook")).to_pyarrow()
    assert found.schema.field("s").type == pa.float64()
    assert isinstance(notes.text.search("hook"), ibis.expr.types.FloatingColumn)
