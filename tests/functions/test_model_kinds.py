"""Embeddings, moderation, reranking, images and audio of model providers as columns."""

from __future__ import annotations

from pathlib import Path

import pytest
from ibis import _

import barbule as bb
from barbule.errors import ConfigurationError, ExpressionError, ModelError
from fakes.models_server import embedding_of


@pytest.fixture
def openai(models, session):
    return bb.functions.openai


@pytest.fixture
def everyone(models):
    """Configure several providers for the model server."""
    with Path("barbule.toml").open("a") as file:
        file.writelines(
            f'[models.{name}]\napi_base = "{models.url}"\n'
            for name in ("vllm", "voyage", "mistral")
        )
    bb.connect(vectors="exact:")
    return bb.functions


def texts_of(*texts):
    table = bb.create_table("t", {"n": bb.Int, "text": bb.String})
    table.insert([{"n": n, "text": text} for n, text in enumerate(texts)])
    return table


def values(table, value):
    return table.order_by("n").select(x=value).collect()["x"]


def usage():
    calls = bb.calls()
    return calls.agg(n=_.count(), tokens=_.tokens_in.sum(), usd=_.usd.sum()).collect()[0]


# -- Embeddings -----------------------------------------------------------------------------------


def test_embeddings_are_requested_in_batches(openai, models):
    table = texts_of(*(f"text {n}" for n in range(150)), None)
    vectors = openai.embeddings(table.text, model="mine", length=8)
    assert vectors.type() == bb.Vector(8)
    found = values(table, vectors)
    assert list(found[7]) == pytest.approx(embedding_of("text 7"))
    assert found[150] is None
    assert sorted(len(request["input"]) for request in models.requests) == [22, 64, 64]
    assert not {"length", "dimensions"} & set(models.requests[0])
    assert usage() == {"n": 150, "tokens": 300, "usd": None}
    values(table, vectors)
    assert models.count == 3


def test_price_of_a_request_is_divided_among_its_rows(openai, models):
    table = texts_of("one", "two words", "three more words")
    values(table, openai.embeddings(table.text, model="text-embedding-3-small", dimensions=8))
    assert usage() == {"n": 3, "tokens": 6, "usd": pytest.approx(6 * 2e-8)}
    assert models.requests[0]["dimensions"] == 8


def test_vector_length_is_known_or_required(openai):
    table = texts_of("one")
    kinds = {
        "text-embedding-3-small": 1536,
        "text-embedding-3-large": 3072,
    }
    for model, length in kinds.items():
        assert openai.embeddings(table.text, model=model).type() == bb.Vector(length)
    assert bb.functions.ollama.embeddings(_.text, model="bge-m3") is not None
    with pytest.raises(ExpressionError, match=r"is unknown.*length=768.*dimensions=768"):
        openai.embeddings(table.text, model="mine")


def test_wrong_vector_length_names_the_row(openai):
    table = texts_of("one")
    with pytest.raises(bb.BarbuleError, match="8 items, not 9"):
        values(table, openai.embeddings(table.text, model="mine", length=9))


def test_embedding_requests_hold_rows_of_one_model(openai, models):
    table = bb.create_table("t", {"n": bb.Int, "text": bb.String, "model": bb.String})
    table.insert([{"n": n, "text": f"t{n}", "model": f"m{n % 2}"} for n in range(6)])
    found = values(table, openai.embeddings(table.text, model=table.model, length=8))
    assert list(found[3]) == pytest.approx(embedding_of("t3"))
    assert sorted((r["model"], r["input"]) for r in models.requests) == [
        ("m0", ["t0", "t2", "t4"]),
        ("m1", ["t1", "t3", "t5"]),
    ]


def test_transient_errors_retry_the_whole_batch(openai, models):
    table = texts_of("one", "two")
    models.script("429", "500")
    values(table, openai.embeddings(table.text, model="mine", length=8))
    assert [len(request["input"]) for request in models.requests] == [2, 2, 2]
    assert bb.calls().collect()["attempts"] == [3, 3]


def test_rejected_text_does_not_affect_the_others(openai, models):
    table = texts_of(*(f"t{n}" for n in range(8)))
    models.script("ctx", "ok", "ctx", "ctx")  # all, 0-3, 4-7, 4-5; then 4 passes alone
    found = values(table, openai.embeddings(table.text, model="mine", length=8))
    assert [list(vector) for vector in found] == [
        pytest.approx(embedding_of(f"t{n}")) for n in range(8)
    ]
    assert [len(request["input"]) for request in models.requests] == [8, 4, 4, 2, 1, 1, 2]


def test_rejection_of_all_rows_names_the_first(openai, models):
    table = texts_of("one", "two", "three")
    with pytest.raises(ModelError, match=r"row 0: .*Incorrect API key"):
        values(table, openai.embeddings(table.text, model="auth", length=8))


def test_embedding_index_uses_a_provider(openai, models):
    table = texts_of("a bird", "a stone", "bread")
    embed = openai.embeddings.using(model="mine", dimensions=8)
    table.add_embedding_index("text", string_embed=embed)
    near = table.order_by(table.text.similarity("a stone"), asc=False).limit(1)
    assert near.select("text").collect() == [{"text": "a stone"}]
    models.reset()
    table.insert(n=3, text="water")
    assert [request["input"] for request in models.requests] == [["water"]]


# -- Moderation and reranking ---------------------------------------------------------------------


def test_moderation_returns_categories_and_scores(openai):
    table = texts_of("I love birds", "I kill birds")
    judged = openai.moderations(table.text, model="omni-moderation-latest")
    assert values(table, judged.flagged) == [False, True]
    assert values(table, judged.categories.violence) == [False, True]
    assert values(table, judged.category_scores.hate_threatening + 1) == [1.1, 1.1]


def test_rerank_orders_documents(everyone, models):
    table = bb.create_table("t", {"n": bb.Int, "q": bb.String, "docs": bb.Array(bb.String)})
    table.insert([{"n": 0, "q": "a bird", "docs": ["a stone", "a bird"]}])
    ranked = everyone.vllm.rerank(table.q, table.docs, model="reranker", top_n=1)
    assert values(table, ranked) == [[{"index": 1, "relevance_score": 1.0, "document": "a bird"}]]
    assert models.requests[0]["top_n"] == 1
    fixed = everyone.voyage.rerank("stone", ["a bird", "a stone"], model="rerank-2")
    assert values(table, fixed[0].document) == ["a stone"]
    assert usage()["usd"] is not None


def test_relevance_of_many_rows_is_one_request(everyone, models):
    table = texts_of("a bird", "a stone", None, "a stone and a bird")
    fit = everyone.vllm.relevance("stone bird", table.text, model="reranker")
    assert values(table, fit) == [0.5, 0.5, None, 1.0]
    assert [request["documents"] for request in models.requests] == [
        ["a bird", "a stone", "a stone and a bird"]
    ]
    values(table, fit)
    assert len(models.requests) == 1


@pytest.mark.parametrize("name", ["rerank", "relevance"])
def test_keyword_search_is_reranked_by_a_model(everyone, models, name):
    texts = ["hook hook hook", "hook", "a hook that zips", "zips"]
    table = texts_of(*texts, "nothing")
    judge = getattr(everyone.vllm, name).using(model="reranker")
    score = table.text.search("hook zips", rerank=judge, depth=3)

    found = table.order_by(score, asc=False).limit(3).select(table.text, s=score).collect()

    assert found[0] == {"text": "a hook that zips", "s": 1.0}
    assert found["s"][1:] == [0.5, 0.5]
    (request,) = models.requests
    assert (request["query"], len(request["documents"])) == ("hook zips", 3)
    assert usage()["n"] == 3


@pytest.mark.parametrize("name", ["rerank", "relevance"])
def test_hybrid_search_is_reranked_by_a_model(everyone, models, name):
    table = texts_of("hook hook hook", "hook", "a hook that zips", "zips", "nothing")

    @bb.udf(batch_size=8)
    def embed(texts: list[str]) -> list[bb.Vector(2)]:
        return [[text.count("hook"), 1 + text.count("zips")] for text in texts]

    table.add_embedding_index("text", string_embed=embed)
    judge = getattr(everyone.vllm, name).using(model="reranker")
    score = table.text.search("hook zips", mode="hybrid", rerank=judge, depth=3)

    found = table.order_by(score, asc=False).limit(3).select(table.text, s=score).collect()

    assert found[0] == {"text": "a hook that zips", "s": 1.0}
    (request,) = models.requests
    assert (request["query"], len(request["documents"])) == ("hook zips", 3)


def test_rerank_accepts_query_results(everyone):
    words = bb.create_table("words", {"word": bb.String})
    words.insert([{"word": "stone"}, {"word": "bird"}])

    @bb.query
    def found(text: str):
        return words.filter(words.word != text).select(words.word)

    table = texts_of("x")
    ranked = everyone.vllm.rerank("bird", found(table.text), model="reranker")
    assert values(table, ranked[0].document) == ["bird"]


# -- Images and sounds ----------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["gpt-image-1", "image-by-url"])
def test_generated_images_are_image_cells(openai, models, model):
    table = texts_of("a feather", "a feather", None)
    table.add_computed_column(img=openai.image_generations(table.text, model=model, size="64x64"))
    assert values(table, table.img.width()) == [1, 1, None]
    assert models.count == 1
    assert models.requests[0]["size"] == "64x64"
    seen = openai.vision("What?", table.img, model="gpt-4o-mini")
    assert values(table, seen)[0] == "parts: text,image_url"


def test_image_generation_returns_one_image_per_cell(openai):
    table = texts_of("a feather")
    with pytest.raises(ExpressionError, match="one image"):
        openai.image_generations(table.text, model="dall-e-3", n=2)


def test_speech_and_transcription_round_trip(openai, models):
    table = texts_of("hello", None)
    table.add_computed_column(snd=openai.speech(table.text, model="tts-1", voice="alloy"))
    assert table.schema()["snd"] == bb.Audio()
    heard = openai.transcriptions(table.snd, model="whisper-1", language="en")
    table.add_computed_column(heard=heard)
    first, second = values(table, table.heard)
    assert first["text"].startswith("heard 124 bytes")
    assert first["segments"][0]["end"] == 1.5
    assert second is None
    assert values(table, table.heard.duration) == [1.5, None]
    assert models.count == 2
    assert usage()["usd"] == pytest.approx(5 * 15e-6 + 1.5 * 0.0001)


def test_transcription_requires_audio(openai):
    table = texts_of("hello")
    for wrong in (table.text, "hello"):
        with pytest.raises(ExpressionError, match=r"takes an audio file.*bb\.Audio"):
            openai.transcriptions(wrong, model="whisper-1")


# -- Keys -----------------------------------------------------------------------------------------


def test_missing_key_is_named(models, monkeypatch):
    Path("barbule.toml").write_text(
        f'[models.openai]\napi_base = "{models.url}"\napi_key_env = "MY_KEY"\n'
    )
    bb.connect(vectors="exact:")
    table = texts_of("one")
    for value in (
        bb.functions.openai.summarize(table.text),
        bb.functions.openai.embeddings(table.text, model="mine", length=8),
    ):
        with pytest.raises(ConfigurationError, match="'MY_KEY'"):
            values(table, value)
    assert models.count == 0
